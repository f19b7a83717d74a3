"""What is answered at once, without a job: methods, laws, plans, recommendations."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache, lru_cache
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from assay.api.auth import Reader
from assay.api.routes.common import answer, failing
from assay.api.shapes import NewPlan, NewRecommendation
from assay.jobs.errors import NoSuchJob
from assay.scaling.commands import Budget, Reply, laws_run, plan_run, recommend_run
from assay.scaling.costs import Rates
from assay.scaling.errors import BadFitSetting, OutOfReach
from assay.scaling.hardware import USUAL_MFU, USUAL_PUE
from assay.scaling.hardware import find as find_hardware
from assay.scaling.opinions import Request
from assay.scaling.plan import MixtureSpec, PlanSpec, known
from assay.scaling.registry import find
from assay.selectors import catalog
from assay.selectors.errors import AssayError

router = APIRouter(tags=["answers"])
OPEN = {"application/json": {"schema": {"type": "object", "additionalProperties": True}}}
FOUND: dict[int | str, dict[str, Any]] = {200: {"description": "The answer", "content": OPEN}}
REMEMBERED = 4096  # recommendations: 8 kB each


@router.post("/v1/recommendations", operation_id="recommend", responses={**FOUND, **failing(413)})
async def recommend(body: NewRecommendation, who: Reader) -> Response:
    """Learning rate, batch, weight decay, warm-up: every law's word, and one to use. No job."""
    asked = Request(**body.__dict__)
    if (content := RECOMMENDED.get(asked)) is None:
        content = await run_in_threadpool(_recommended, asked)
    return Response(content, media_type="application/json")


RECOMMENDED: dict[Request, bytes] = {}  # an answer hangs on the question alone


def _recommended(asked: Request) -> bytes:
    document = within_reach(lambda: recommend_run(asked)).document
    content = json.dumps({"object": "recommendation", **document}).encode()
    if len(RECOMMENDED) >= REMEMBERED:
        RECOMMENDED.clear()
    RECOMMENDED[asked] = content
    return content


def within_reach(ask: Callable[[], Reply]) -> Reply:
    """Numbers that no training ever has leave the range of arithmetic: the request is at fault."""
    try:
        return ask()
    except (ArithmeticError, ValueError, IndexError) as cause:
        raise OutOfReach(
            f"these numbers lie beyond anything that could be trained ({cause})"
        ) from cause


@router.post("/v1/plans", operation_id="plan", responses={**FOUND, **failing(413)})
def plan(body: NewPlan, who: Reader) -> Response:
    """What a budget buys: size, tokens, loss, hours, money."""
    if body.activation is None and body.granularity is not None:
        raise BadFitSetting("granularity is of a mixture: give its activation too")
    rates = Rates(
        hardware=find_hardware(body.hardware),
        accelerators=body.gpus,
        mfu=body.mfu or USUAL_MFU,
        pue=body.pue or USUAL_PUE,
        dollars_per_hour=body.dollars_per_hour,
    )
    mixed = None
    if body.activation is not None:
        mixed = MixtureSpec(body.activation, body.granularity)
    spec = PlanSpec(
        compute=Budget(body.compute, body.money, body.gpu_hours).compute(rates),
        unique_tokens=body.unique_tokens,
        inference_tokens=body.inference_tokens,
        params=body.params,
        mixture=mixed,
        sequence=body.sequence,
    )
    law = known(find(body.law), body.published)
    found = within_reach(lambda: plan_run(spec, rates, law))
    return answer({"object": "plan", **found.document})


@router.get("/v1/laws", operation_id="list_laws", responses={**FOUND, **failing()})
def list_laws(who: Reader) -> Response:
    """Every law, its inputs, and what was published of it."""
    return answer(_laws())


@router.get("/v1/methods", operation_id="list_methods", responses={**FOUND, **failing()})
def list_methods(who: Reader) -> Response:
    """Every method of selection that is installed, with the schema of its settings."""
    return answer({"object": "list", "data": _methods(), "has_more": False})


@router.get("/v1/methods/{name}", operation_id="get_method", responses={**FOUND, **failing(404)})
def get_method(name: Annotated[str, Path(max_length=100)], who: Reader) -> Response:
    """One method."""
    for method in _methods():
        if method["name"] == name:
            return answer(method)
    raise NoSuchJob(f"there is no method {name!r}")


@lru_cache(1)
def _laws() -> Mapping[str, Any]:
    found = laws_run().document["laws"]
    return {"object": "list", "data": found, "has_more": False}


@cache
def _methods() -> list[dict[str, Any]]:
    found = []
    for method in catalog.methods():
        try:
            schema: Any = catalog.schema(method.name)
        except AssayError:
            schema = None
        plain = json.loads(json.dumps(asdict(method), default=str))
        found.append({"object": "method", **plain, "schema": schema})
    return found
