"""How to train it: learning rate, batch, weight decay, warm-up, schedule and steps.

    advice = recommend(Request(params=1e9, tokens=100e9))
    advice.learning_rate.value, advice.learning_rate.low, advice.learning_rate.high
    advice.laws                  # every law that had something to say, with its range
    advice.tolerance             # what it costs to be off by a factor

Several laws answer each question. All answers are shown; one is put first, by rule: sources that
were read come before sources that were quoted, then the law whose runs lie nearest, then the one
that came closest to the best of the released sweeps. What being wrong costs is read off the
surface that was fitted to those sweeps (laws/steplaw.py), which is the only one public. A learning
rate that does not know how long the training is comes after those that do: on the same sweeps the
best one moves with the tokens, at one size, by an exponent of 0.2 to 0.3.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, exp, hypot, log, log10

import numpy as np

from assay.scaling.law import Law, decades_outside
from assay.scaling.laws.critical_batch import CriticalBatchOfLoss, CriticalBatchOfTokens
from assay.scaling.laws.power_lines import PowerLinesCriticalBatch, Timescale, weight_decay
from assay.scaling.opinions import (
    BATCHES,
    LEARNING_RATES,
    TIMELESS,
    Opinion,
    Request,
    opinions,
    predicted,
)
from assay.scaling.tolerance import FARTHEST, HARMLESS, Off, excess, harmless, tolerance

APART = 2.0  # laws that differ by more than this factor are said to disagree


@dataclass(frozen=True)
class Answer:
    """The value to use, how sure it is, whose it is and why."""

    value: float
    low: float
    high: float
    law: str
    reason: str
    interval: str  # what low and high mean


@dataclass(frozen=True)
class Schedule:
    kind: str
    final_learning_rate: float
    reason: str
    alternative: str


@dataclass(frozen=True)
class Advice:
    """How to train it, and on whose word."""

    learning_rate: Answer
    batch_tokens: Answer
    batch_sequences: Answer
    weight_decay: Answer
    warmup_steps: Answer
    steps: Answer
    schedule: Schedule
    laws: tuple[Opinion, ...]
    tolerance: tuple[Off, ...]
    warnings: tuple[str, ...]


def recommend(request: Request) -> Advice:
    """Everything at once; a millisecond or two."""
    rates = opinions("learning_rate", LEARNING_RATES, request)
    batches = opinions("batch_tokens", BATCHES, request)
    learning_rate, batch = primary(rates), primary(batches)
    rates = costed(rates, learning_rate.value, lambda u: (u, 0.0))
    batches = costed(batches, batch.value, lambda v: (0.0, v))
    decay = decay_opinion(request, learning_rate, batch)
    steps = steps_for(request, batch)
    laws = (*rates, *batches, decay, *critical(request))
    return Advice(
        learning_rate=learning_rate,
        batch_tokens=batch,
        batch_sequences=in_sequences(batch, request.sequence),
        weight_decay=decay_answer(decay),
        warmup_steps=warmup(steps),
        steps=steps,
        schedule=schedule(learning_rate),
        laws=laws,
        tolerance=tolerance(),
        warnings=tuple(warnings(request, learning_rate, batch, laws)),
    )


# The first among them ------------------------------------------------------------------


def primary(candidates: tuple[Opinion, ...]) -> Answer:
    """The first by rule, with an interval from its own replicates or from the tolerance."""
    marks = {"verified": 0, "second-hand": 1, "unverified": 2}
    ranked = sorted(
        candidates,
        key=lambda o: (o.law != "mup", marks[o.mark], o.law in TIMELESS, round(o.distance, 3)),
    )
    first = ranked[0]
    if first.low is not None and first.high is not None:
        low, high = first.low, first.high
        meaning = "95 % over replicates of the law's constants"
    else:
        low, high = (first.value * factor for factor in harmless(first.quantity))
        meaning = f"costs less than {HARMLESS:g} % of the loss, if the law is right"
    if first.outside:
        # Beyond the runs no replicate knows the error; how far read laws differ is a hint of it.
        others = [o.value for o in ranked if o.mark == "verified" and o.law not in TIMELESS]
        low, high = min([low, *others]), max([high, *others])
        meaning += "; outside its runs, and so widened to the other verified laws"
    return Answer(first.value, low, high, first.law, reason(first), meaning)


def reason(first: Opinion) -> str:
    if first.law == "mup":
        return "carried over from the proxy that was tuned"
    read = {
        "verified": "read at its source or measured again",
        "second-hand": "quoted by others, its source was not read",
        "unverified": "its constants were not verified",
    }[first.mark]
    if not first.outside:
        return f"{read}; the request lies inside its runs"
    far = ", ".join(f"{name} by {d:.1f} decades" for name, d in first.outside.items())
    return f"{read}; its runs lie nearest, but the request leaves them in {far}"


def costed(
    said: tuple[Opinion, ...], best: float, place: Callable[[float], tuple[float, float]]
) -> tuple[Opinion, ...]:
    """With what each would cost if the primary answer were right."""
    return tuple(with_cost(o, *place(log(o.value / best))) for o in said)


def with_cost(said: Opinion, u: float, v: float) -> Opinion:
    return replace(said, cost=None if max(abs(u), abs(v)) > FARTHEST else excess(u, v))


# The rest ------------------------------------------------------------------------------


def in_sequences(batch: Answer, sequence: int) -> Answer:
    value, low, high = (
        float(max(1, round(b / sequence))) for b in (batch.value, batch.low, batch.high)
    )
    return Answer(value, low, high, batch.law, f"of {sequence} tokens each", batch.interval)


def steps_for(request: Request, batch: Answer) -> Answer:
    value, low, high = (
        float(ceil(request.tokens / b)) for b in (batch.value, batch.high, batch.low)
    )
    return Answer(value, low, high, batch.law, "tokens over batch", batch.interval)


DECAY_LAW = Timescale()


def decay_opinion(request: Request, learning_rate: Answer, batch: Answer) -> Opinion:
    """From AdamW's best time-scale (laws/power_lines.py) and the two answers before."""
    x = {name: np.array([value]) for name, value in request.columns.items()}
    published = DECAY_LAW.published[0]
    timescale = predicted("timescale", DECAY_LAW, published, x)
    value = float(
        weight_decay(
            np.array(timescale),
            np.array(learning_rate.value),
            np.array(batch.value),
            np.array(request.tokens),
        )
    )
    factor = exp(hypot(half_width(learning_rate), half_width(batch)))
    return Opinion(
        quantity="weight_decay",
        law=DECAY_LAW.name,
        value=value,
        low=value / factor,
        high=value * factor,
        source=published.source,
        mark=published.mark,
        range=published.range,
        outside=decades_outside(published, x),
        cost=None,
        note=f"AdamW remembers {timescale:.3g} of the run; {published.note}",
    )


def half_width(answer: Answer) -> float:
    return 0.5 * log(answer.high / answer.low)


def decay_answer(said: Opinion) -> Answer:
    assert said.low is not None and said.high is not None
    return Answer(
        said.value,
        said.low,
        said.high,
        said.law,
        "batch / (learning rate x time-scale x tokens); most published runs use 0.1",
        "carried over from learning rate and batch; how well the time-scale is known is not public",
    )


WARMUP_STEPS = 2000  # DeepSeek LLM (arXiv 2401.02954, 2.3), Step Law's runs; second-hand
WARMUP_SHARE = 0.05  # at most this share of the run: our choice, no law is known


def warmup(steps: Answer) -> Answer:
    value = float(max(1, min(WARMUP_STEPS, round(WARMUP_SHARE * steps.value))))
    least = float(max(1, round(0.01 * steps.value)))
    return Answer(
        value,
        min(value, least),
        max(value, least),
        "usual practice",
        f"{WARMUP_STEPS} steps, as the runs behind the laws; at most {WARMUP_SHARE:.0%} of the run",
        "usual values: from one per cent of the run to this",
    )


def schedule(learning_rate: Answer) -> Schedule:
    """As the runs behind the learning rate were scheduled: its best peak depends on it."""
    wsd = (
        "constant, then down over the last 20 % as 1 - sqrt, matches a cosine and can be prolonged"
        " (Hagele et al. 2024, arXiv 2405.18392, second-hand)"
    )
    if learning_rate.law.startswith("ling"):
        return Schedule(
            "warm-up, stable, decay",
            0.0,
            "as in the runs of Tian et al. 2025",
            "cosine to a tenth of the peak",
        )
    return Schedule(
        "cosine",
        1e-5,
        "every released run of Step Law ends at 1e-5, whatever its peak; a higher end wants a"
        " lower peak",
        wsd,
    )


def critical(request: Request) -> tuple[Opinion, ...]:
    laws: tuple[Law, ...] = (
        CriticalBatchOfTokens(),
        PowerLinesCriticalBatch(),
        CriticalBatchOfLoss(),
    )
    return opinions("critical_batch_tokens", laws, request)


# Warnings ------------------------------------------------------------------------------


def warnings(
    request: Request, learning_rate: Answer, batch: Answer, laws: tuple[Opinion, ...]
) -> list[str]:
    return [
        *outside_warnings(learning_rate, batch, laws),
        *disagreements("learning_rate", learning_rate, laws),
        *disagreements("batch_tokens", batch, laws),
        *repetition(request),
        *critical_warning(batch, laws),
    ]


def outside_warnings(learning_rate: Answer, batch: Answer, laws: tuple[Opinion, ...]) -> list[str]:
    """The range by name, for each primary law that is asked beyond it."""
    said = []
    for quantity, answer in (("learning_rate", learning_rate), ("batch_tokens", batch)):
        own = next(o for o in laws if o.quantity == quantity and o.law == answer.law)
        for name, far in own.outside.items():
            low, high = own.range[name]
            said.append(
                f"{quantity}: {answer.law} was fitted to {name} from {low:.3g} to {high:.3g};"
                f" the request lies {far:.2f} decades outside"
            )
    return said


def disagreements(quantity: str, answer: Answer, laws: tuple[Opinion, ...]) -> list[str]:
    far = [
        f"{o.law} says {o.value:.3g}"
        + (f" ({o.cost:.2f} % of the loss)" if o.cost is not None else " (off the map)")
        for o in laws
        if o.quantity == quantity and abs(log10(o.value / answer.value)) > log10(APART)
    ]
    if not far:
        return []
    return [f"{quantity}: {answer.law} says {answer.value:.3g}, but {', '.join(far)}"]


def repetition(request: Request) -> list[str]:
    if request.unique_tokens is None or request.unique_tokens >= request.tokens:
        return []
    epochs = request.tokens / request.unique_tokens
    return [
        f"{epochs:.1f} epochs: the laws here saw every token once. With many epochs a weight decay"
        " of 0.8 to 3.2 was best at 200 million unique tokens (arXiv 2509.14786, second-hand)"
    ]


def critical_warning(batch: Answer, laws: tuple[Opinion, ...]) -> list[str]:
    limits = [o for o in laws if o.quantity == "critical_batch_tokens" and batch.value > o.value]
    return [
        f"the batch lies above the critical one of {o.law}, {o.value:.3g} tokens ({o.mark}): more"
        " of it saves few steps"
        for o in limits
    ]
