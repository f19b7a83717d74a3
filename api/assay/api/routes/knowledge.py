"""What needs no job: methods, laws, advice and plans."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from assay.api.auth import Reader
from assay.scaling.commands import Budget, laws_run, plan_run, recommend_run
from assay.scaling.costs import Rates
from assay.scaling.hardware import TABLE, USUAL_MFU, USUAL_PUE
from assay.scaling.hardware import find as find_hardware
from assay.scaling.opinions import Request as Asked
from assay.scaling.plan import MixtureSpec, PlanSpec, known
from assay.scaling.registry import find
from assay.selectors import catalog

ROUTER = APIRouter(prefix="/v1", tags=["knowledge"])
Number = Annotated[float, Field(allow_inf_nan=False)]
Document = dict[str, Any]


class Strict(BaseModel):
    """A body in which every field is known."""

    model_config = ConfigDict(extra="forbid")


class Listed(BaseModel):
    """All there is."""

    object: str = "list"
    data: list[Document]


@ROUTER.get("/methods")
def methods(_: Reader) -> Listed:
    """Every method with a JSON schema of its settings; plug-ins too."""
    told = [catalog.describe(name) for name in catalog.names()]
    return Listed(
        data=[
            {
                "name": method.name,
                "about": method.about,
                "package": method.package,
                "settings": catalog.schema(method.name),
            }
            for method in told
        ]
    )


@ROUTER.get("/laws")
def laws(_: Reader) -> Listed:
    """Every scaling law, with what was published of it."""
    return Listed(data=laws_run().document["laws"])


@ROUTER.get("/hardware")
def hardware(_: Reader) -> Listed:
    """The accelerators that plans can be made for."""
    rows = [{"name": name, "peak_flops": one.peak} for name, one in TABLE.items()]
    return Listed(data=rows)


# Advice ------------------------------------------------------------------------------


class Training(Strict):
    """What is to be trained. Parameters without embeddings; of a mixture, all of them."""

    params: Number
    tokens: Number
    sequence: int = Field(4096, ge=1, le=2**31)
    active_params: Number | None = None
    experts: Number = 1
    unique_tokens: Number | None = None
    loss: Number | None = None
    proxy_learning_rate: Number | None = None
    width_ratio: Number | None = None


@ROUTER.post("/recommendations")
def recommendations(_: Reader, asked: Training) -> Document:
    """Learning rate, batch size, weight decay, warm-up and steps, with every law's word."""
    return {"object": "recommendation", **recommend_run(Asked(**asked.model_dump())).document}


# Plans -------------------------------------------------------------------------------


class Planned(Strict):
    """What there is to spend (one of compute, money and gpu_hours), and on what terms."""

    compute: Number | None = Field(None, description="FLOPs")
    money: Number | None = Field(None, description="dollars; needs dollars_per_hour")
    gpu_hours: Number | None = None
    hardware: str = "H100"
    gpus: int = Field(8, ge=1, le=10_000_000)
    mfu: Number = USUAL_MFU
    pue: Number = USUAL_PUE
    dollars_per_hour: Number | None = None
    unique_tokens: Number | None = None
    inference_tokens: Number = 0.0
    params: Number | None = None
    activation: Number | None = Field(None, description="active share of a mixture beside it")
    granularity: Number | None = None
    sequence: int = Field(4096, ge=1, le=2**31)
    law: str = "chinchilla"
    published: str | None = None


@ROUTER.post("/plans")
def plans(_: Reader, asked: Planned) -> Document:
    """Size, tokens, loss, hours, money and a parallelism that fits."""
    rates = Rates(
        find_hardware(asked.hardware), asked.gpus, asked.mfu, asked.pue, asked.dollars_per_hour
    )
    budget = Budget(asked.compute, asked.money, asked.gpu_hours)
    mixture = None
    if asked.activation is not None:
        mixture = MixtureSpec(asked.activation, asked.granularity)
    spec = PlanSpec(
        compute=budget.compute(rates),
        unique_tokens=asked.unique_tokens,
        inference_tokens=asked.inference_tokens,
        params=asked.params,
        mixture=mixture,
        sequence=asked.sequence,
    )
    reply = plan_run(spec, rates, known(find(asked.law), asked.published))
    return {"object": "plan", **reply.document}
