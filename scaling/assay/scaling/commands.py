"""What the faces call: arguments in, a JSON document and a text for people out.

answer = recommend_run(Request(params=1e9, tokens=1e11))
answer.document                      # plain JSON values
answer.text                          # the same for people
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from assay.scaling import memory, pictures, texts
from assay.scaling.architecture import Shape, count, dense, dense_of_total
from assay.scaling.costs import Rates, flops_for_hours, flops_for_money, price_of
from assay.scaling.documents import plain
from assay.scaling.errors import OutOfReach
from assay.scaling.law import Law
from assay.scaling.laws.chinchilla import Chinchilla
from assay.scaling.opinions import Request
from assay.scaling.plan import Known, Plan, PlanSpec, known, plan
from assay.scaling.recommend import Advice, recommend
from assay.scaling.registry import laws

Document = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """One answer, for machines, for people, and as pictures when they are asked for."""

    document: Document
    text: str
    draw: Callable[[], Mapping[str, bytes]]  # name.svg, name.png -> bytes


# Laws ----------------------------------------------------------------------------------


def laws_run() -> Reply:
    """Every law with what it reads, what it leaves open and what was published for it."""
    known = laws()
    document = {"laws": [law_document(law) for law in known]}
    return Reply(document, texts.laws(document), lambda: pictures.of_laws(known))


def law_document(law: Law) -> Document:
    return {
        "name": law.name,
        "about": (type(law).__doc__ or "").strip().split("\n")[0],
        "predicts": law.predicts,
        "inputs": list(law.inputs),
        "parameters": plain(law.parameters),
        "published": plain(law.published),
    }


# Recommend -----------------------------------------------------------------------------


def recommend_run(request: Request) -> Reply:
    """Hyperparameters with intervals, the laws behind them, and what being off costs."""
    advice = recommend(request)
    document = advice_document(request, advice)
    return Reply(document, texts.advice(document), lambda: pictures.of_advice(request, advice))


def advice_document(request: Request, advice: Advice) -> Document:
    document: Document = plain(advice)
    return {"request": plain(request), **document}


# Plan ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Budget:
    """Exactly one of compute, money and time of accelerators; `compute` makes a PlanSpec of it."""

    flops: float | None = None
    dollars: float | None = None
    accelerator_hours: float | None = None

    def compute(self, rates: Rates) -> float:
        given = [x for x in (self.flops, self.dollars, self.accelerator_hours) if x is not None]
        if len(given) != 1:
            raise OutOfReach(
                "a plan needs one budget: --compute FLOPS, --money DOLLARS or --gpu-hours HOURS"
            )
        if not given[0] > 0:
            raise OutOfReach(f"a budget of {given[0]:g} buys nothing")
        if self.flops is not None:
            return self.flops
        if self.dollars is not None:
            return flops_for_money(self.dollars, rates)
        return flops_for_hours(given[0], rates)


def plan_run(spec: PlanSpec, rates: Rates, law: Known | None = None) -> Reply:
    """Size, tokens and loss for a budget, what it costs, whether it fits, how to train it."""
    found = plan(law or known(Chinchilla()), spec)
    document = plan_document(found, rates)
    return Reply(document, texts.plan(document), lambda: pictures.of_plan(found))


def plan_document(found: Plan, rates: Rates) -> Document:
    spec = found.spec
    shape = shape_of(found)
    advice = recommend(dense_request(found, shape))
    document: Document = {
        "spec": plain(spec),
        "law": found.source,
        "counted": found.counted,
        "dense": {
            **plain(found.dense),
            "nearly_as_good": list(found.nearly),
            "cost": plain(price_of(found.dense.training_compute, rates)),
            "placement": placement(shape, rates, advice),
            "hyperparameters": hyperparameters(advice),
        },
        "mixture": mixture_document(found, rates),
        "machine": {**plain(rates), "hardware": plain(rates.hardware)},
        "curve": plain(found.curve),
        "warnings": [*found.warnings, *(f"dense: {w}" for w in advice.warnings)],
    }
    if found.mixture is not None:
        document["warnings"] += [f"mixture: {w}" for w in document["mixture"]["warnings"]]
    return document


def shape_of(found: Plan) -> Shape:
    """A usual model of the planned size, which a law may count with or without embeddings."""
    params, sequence = found.dense.params.value, found.spec.sequence
    with_embeddings = found.counted != "non-embedding"
    return dense_of_total(params, sequence) if with_embeddings else dense(params, sequence)


def dense_request(found: Plan, shape: Shape) -> Request:
    """Laws of hyperparameters count without embeddings."""
    return Request(
        params=count(shape).non_embedding,
        tokens=found.dense.tokens.value,
        sequence=found.spec.sequence,
        unique_tokens=found.spec.unique_tokens,
        loss=found.dense.loss.value,
    )


def mixture_document(found: Plan, rates: Rates) -> Document | None:
    mixed = found.mixture
    if mixed is None:
        return None
    advice = recommend(
        Request(
            params=mixed.total_params,
            tokens=mixed.tokens,
            sequence=found.spec.sequence,
            active_params=mixed.active_params,
            experts=mixed.experts,
        )
    )
    return {
        **plain(mixed),
        "cost": plain(price_of(found.spec.compute, rates)),
        "placement": placement(mixed.shape, rates, advice),
        "hyperparameters": hyperparameters(advice),
        "warnings": list(advice.warnings),
    }


def placement(shape: Shape, rates: Rates, advice: Advice) -> Document:
    """A parallelism that fits, or why there is none: a plan is of use without it too."""
    batch = int(advice.batch_sequences.value)
    try:
        placed = memory.place(shape, rates.hardware, rates.accelerators, batch)
    except OutOfReach as problem:
        return {"fits": False, "problem": str(problem), "shape": plain(shape)}
    return {
        "fits": True,
        "shape": plain(shape),
        "total_params": count(shape).total,
        "parallelism": plain(placed.how),
        "memory": {**plain(placed.memory), "total": placed.memory.total},
        "limit": placed.limit,
    }


def hyperparameters(advice: Advice) -> Document:
    named = ("learning_rate", "batch_tokens", "weight_decay", "warmup_steps", "steps")
    return {name: plain(getattr(advice, name)) for name in named}
