"""Round values along an axis, and their labels."""

import math

from assay.selectors.report.words import amount, minus, significant


def ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round values between two others, with labels."""
    step = tick_step((high - low) / 6)
    if not (math.isfinite(step) and high - low > abs(low) * 1e-9):
        return [((low + high) / 2, significant((low + high) / 2))]
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    values = [n * step for n in range(first, last + 1)]
    largest = max([abs(value) for value in values], default=0)
    return [(value, tick_label(value, step, largest)) for value in values]


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Powers of ten; also twos and fives where there is room."""
    decades = math.log10(max(high, 1)) - math.log10(max(low, 0.5))
    inside = (1,) if decades > 3.5 else (1, 2, 5) if decades > 1 else (1, 1.5, 2, 3, 4, 5, 6, 8)
    powers = range(0, math.ceil(math.log10(max(high, 10))) + 1)
    values = [step * 10**power for power in powers for step in inside]
    zero = [(0.5, "0")] if low < 1 else []
    whole = [value for value in values if low <= value <= high and value == int(value)]
    return zero + [(value, amount(int(value))) for value in whole]


def tick_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is no less."""
    if not least > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next((n * power for n in (1, 2, 5) if n * power >= least * (1 - 1e-9)), 10 * power)


def tick_label(value: float, step: float, largest: float) -> str:
    """As many digits as tell a tick from the next; powers of ten where all would be long."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(step) + 1e-9)
    if largest >= 1e7 or exponent < -4:
        digits = max(0, math.floor(math.log10(abs(value)) + 1e-9) - exponent)
        return minus(_short_power(f"{value:.{digits}e}"))
    return minus(f"{value:,.{max(0, -exponent)}f}")


def _short_power(shown: str) -> str:
    """2e+09 as 2e9."""
    number, _, power = shown.partition("e")
    return f"{number}e{int(power)}"


def tick_percent(share: float, step: float) -> str:
    digits = max(0, -math.floor(math.log10(step * 100) + 1e-9))
    return f"{share * 100:.{digits}f} %"


def label_of(value: float, scale: float) -> str:
    """A number with as many digits as a scale of this width needs."""
    if value == 0 or (scale and abs(value) < scale * 1e-9):
        return "0"
    if abs(value) >= 1e7 or abs(value) < 1e-4:
        return significant(value, 4)
    digits = max(0, min(8, 2 - math.floor(math.log10(scale)))) if scale > 0 else 4
    shown = f"{value:,.{digits}f}"
    return minus(shown.rstrip("0").rstrip(".") if "." in shown else shown)
