"""A formula is written once, in plain numpy; its slopes follow it.

Forward-mode differentiation (Griewank & Walther, Evaluating Derivatives, chapter 3). A `Traced`
stands where an array would stand and carries, beside its values, the exact partial derivative of
those values by each parameter that reached it. Only parameters that reached it are stored, so a
law of six terms costs what its hand-written gradient would cost. A law never notices.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Partials = tuple[Any, tuple[Any, ...]]  # the value, and its partial derivative by each argument


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """Values, and their slope by each parameter (numbered) on which they depend."""

    __slots__ = ("slopes", "value")

    def __init__(self, value: Any, slopes: Mapping[int, Any]) -> None:
        self.value = value
        self.slopes = slopes

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *given: Any, **more: Any) -> Any:
        if method != "__call__" or more or ufunc not in RULES:
            return NotImplemented
        value, partials = RULES[ufunc](*(g.value if isinstance(g, Traced) else g for g in given))
        return Traced(value, chain(given, partials))


def chain(given: tuple[Any, ...], partials: tuple[Any, ...]) -> dict[int, Any]:
    """The chain rule: each argument's slopes times the partial derivative by that argument."""
    slopes: dict[int, Any] = {}
    for argument, partial in zip(given, partials, strict=True):
        if isinstance(argument, Traced):
            for number, slope in argument.slopes.items():
                # A slope of exactly 1 is common (sums, bare parameters): spare the product.
                step = slope if partial is ONE else partial if slope is ONE else partial * slope
                slopes[number] = slopes[number] + step if number in slopes else step
    return slopes


def log_sum_exp(*terms: Any) -> Floats:
    """log(exp(t1) + exp(t2) + ...), which no size of term can make overflow."""
    values = [t.value if isinstance(t, Traced) else t for t in terms]
    top = values[0]
    for value in values[1:]:
        top = np.maximum(top, value)
    parts = [np.exp(value - top) for value in values]
    total = sum(parts[1:], start=parts[0])
    log_total = top + np.log(total)
    if not any(isinstance(t, Traced) for t in terms):
        return cast(Floats, log_total)
    shares = tuple(part / total for part in parts)
    return cast(Floats, Traced(log_total, chain(terms, shares)))


def leaf(number: int, value: Floats, slope: Any = None) -> Floats:
    """Parameter `number`, as what the formula is handed."""
    return cast(Floats, Traced(value, {number: ONE if slope is None else slope}))


def dense(traced: Any, count: int, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Values of `shape` = (..., n) and slopes (..., count, n), out of what a formula returned."""
    if isinstance(traced, np.ndarray) and traced.dtype == object:
        traced = traced.item()  # what np.asarray makes of a Traced
    slopes = np.empty((*shape[:-1], count, shape[-1]))
    own = traced.slopes if isinstance(traced, Traced) else {}
    for number in range(count):
        slopes[..., number, :] = own.get(number, 0.0)
    if isinstance(traced, Traced):
        traced = traced.value
    return np.broadcast_to(np.asarray(traced, float), shape), slopes


ONE = np.float64(1.0)
MINUS = np.float64(-1.0)


def _multiply(a: Any, b: Any) -> Partials:
    return a * b, (b, a)


def _divide(a: Any, b: Any) -> Partials:
    ratio = a / b
    return ratio, (1 / b, -ratio / b)


def _power(a: Any, b: Any) -> Partials:
    """The slope by a constant exponent is never asked for; its log is then harmless."""
    value = a**b
    with np.errstate(divide="ignore", invalid="ignore"):
        return value, (b * a ** (b - 1), value * np.log(a))


def _exp(a: Any) -> Partials:
    value = np.exp(a)
    return value, (value,)


def _sqrt(a: Any) -> Partials:
    value = np.sqrt(a)
    return value, (0.5 / value,)


def _minimum(a: Any, b: Any) -> Partials:
    first = np.less_equal(a, b)
    return np.minimum(a, b), (first * 1.0, ~first * 1.0)


def _maximum(a: Any, b: Any) -> Partials:
    first = np.greater_equal(a, b)
    return np.maximum(a, b), (first * 1.0, ~first * 1.0)


RULES: dict[np.ufunc, Callable[..., Partials]] = {
    np.add: lambda a, b: (a + b, (ONE, ONE)),
    np.subtract: lambda a, b: (a - b, (ONE, MINUS)),
    np.negative: lambda a: (-a, (MINUS,)),
    np.multiply: _multiply,
    np.divide: _divide,
    np.power: _power,
    np.square: lambda a: (a * a, (2 * a,)),
    np.sqrt: _sqrt,
    np.exp: _exp,
    np.expm1: lambda a: (np.expm1(a), (np.exp(a),)),
    np.log: lambda a: (np.log(a), (1 / a,)),
    np.log1p: lambda a: (np.log1p(a), (1 / (1 + a),)),
    np.log2: lambda a: (np.log2(a), (1 / (a * np.log(2.0)),)),
    np.log10: lambda a: (np.log10(a), (1 / (a * np.log(10.0)),)),
    np.minimum: _minimum,
    np.maximum: _maximum,
}
