"""What requests and answers look like. The settings of each method come from the catalogue."""

import json
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    create_model,
)

from assay.selectors import catalog

PLAIN = r"^[^\x00-\x1f\x7f]*$"
Word = Annotated[str, StringConstraints(max_length=200, pattern=PLAIN)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=PLAIN)]
ONE_URI = {"type": "string", "minLength": 1, "maxLength": 2000, "pattern": PLAIN}
Uri = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=PLAIN)]
Uris = Annotated[
    list[Uri],
    Field(min_length=1, max_length=1000),
    BeforeValidator(lambda given: [given] if isinstance(given, str) else given),
    WithJsonSchema(
        {
            "anyOf": [
                ONE_URI,
                {"type": "array", "minItems": 1, "maxItems": 1000, "items": ONE_URI},
            ]
        },
        mode="validation",
    ),
]
Label = Annotated[
    str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.:/-]+$")
]
Labels = Annotated[dict[Label, Word], Field(max_length=16)]
Positive = Annotated[float, Field(gt=0, le=1e300, allow_inf_nan=False)]
DEEPEST = 16
ULID = "[0-9A-HJKMNP-TV-Z]{26}"


def sound(value: Any) -> Any:
    """Text that every database takes: no NUL, no half of a character, no NaN."""
    if _depth(value) > DEEPEST:
        raise ValueError(f"lists and objects are nested at most {DEEPEST} deep")
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    text.encode()
    if "\\u0000" in text:
        raise ValueError("NUL characters are not taken")
    return value


def _depth(value: Any) -> int:
    """How deep lists and objects are nested; level by level, since the call stack is finite."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        inner = [one.values() if isinstance(one, dict) else one
                 for one in level if isinstance(one, dict | list)]  # fmt: skip
        level, depth = [child for some in inner for child in some], depth + 1
    return depth - 1


class Strict(BaseModel):
    """An unknown field is an error: it is a field mistyped."""

    model_config = ConfigDict(extra="forbid")


# Selections ----------------------------------------------------------------------------------

Settings = Annotated[dict[str, Any], AfterValidator(sound)]


class Stage(Strict):
    """What a stage's method does not rule out is left to the next; `keep` and `least` limit it."""

    method: Name
    settings: Settings = Field(default_factory=dict)
    keep: Word | None = Field(None, description="At most so much: 20000docs, 10GB or 50%.")
    least: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        None, description="The score that a document has to reach."
    )


class SelectionBase(Strict):
    raw: Uris = Field(description="Paths, globs or folders under a storage root of the server.")
    target: dict[Name, Uris] | Uris | None = Field(
        None, description="Text of the kind that is wanted: URIs, or ids of targets (tgt_...)."
    )
    budget: Word = Field(description="20000docs, 1.5e9tokens, 10GB or 10%", examples=["10%"])
    out: Uri = Field(description="Folder for the subset, the scores and the manifest.")
    stages: Annotated[list[Stage], Field(max_length=8)] = Field(default_factory=list)
    scores: Annotated[dict[Name, Uri], Field(max_length=16)] = Field(
        default_factory=dict,
        description="Earlier selections of this corpus whose scores are used: folders, or ids.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    text_column: Name = "text"
    id_column: Name | None = None
    group_by: Name | None = None
    max_bad_rows: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    metadata: Labels = Field(default_factory=dict)


def selection_request() -> Any:
    """One shape for each method that is installed, plug-ins too, told apart by `method`."""
    kinds = [_selection_of(name) for name in catalog.names() if _works(name)]
    if len(kinds) == 1:
        return kinds[0]
    union = reduce(or_, kinds)
    return Annotated[union, Field(discriminator="method")]


def _selection_of(name: str) -> Any:
    schema = {**catalog.schema(name), "additionalProperties": False}
    settings = Annotated[dict[str, Any], AfterValidator(sound), WithJsonSchema(schema)]
    title = "".join(part.capitalize() for part in name.replace("_", "-").split("-"))
    fields: dict[str, Any] = {
        "method": (Literal[name], ...),
        "settings": (settings, Field(default_factory=dict)),
    }
    return create_model(f"SelectionBy{title}", __base__=SelectionBase, **fields)


def _works(name: str) -> bool:
    """A plug-in that is broken does not take the service down with it."""
    try:
        catalog.schema(name)
    except Exception:
        return False
    return True


class Shards(BaseModel):
    total: int
    completed: int


class ProgressDocument(BaseModel):
    stage: str
    shards: Shards
    bytes: int
    bytes_total: int
    rows: int
    bad_rows: int


class Failure(BaseModel):
    code: str
    message: str
    retryable: bool


class JobDocument(BaseModel):
    """A job: a selection or a fit. `status` may get new words."""

    id: str
    object: str
    status: str
    attempt: int
    created_at: int
    queued_at: int
    started_at: int | None
    finished_at: int | None
    request: dict[str, Any]
    progress: ProgressDocument
    result: dict[str, Any] | None
    error: Failure | None
    warnings: list[str]
    metadata: dict[str, str]
    links: dict[str, str]


class EventDocument(BaseModel):
    id: int
    object: Literal["event"]
    created_at: int
    level: str
    type: str
    message: str
    data: dict[str, Any]


class Page(BaseModel):
    object: Literal["list"]
    first_id: str | int | None
    last_id: str | int | None
    has_more: bool


class JobPage(Page):
    data: list[JobDocument]


class EventPage(Page):
    data: list[EventDocument]


class WhatIf(Strict):
    budgets: Annotated[list[Word], Field(min_length=1, max_length=20)]


class Diff(Strict):
    a: Annotated[str, StringConstraints(pattern=f"^sel_{ULID}$")]
    b: Annotated[str, StringConstraints(pattern=f"^sel_{ULID}$")]


# Targets -------------------------------------------------------------------------------------


class NewTarget(Strict):
    name: Name
    uris: Uris
    text_column: Name = "text"


class TargetDocument(BaseModel):
    id: str
    object: Literal["target"]
    name: str
    uris: list[str]
    text_column: str
    created_at: int
    shards: int
    rows: int
    bytes: int
    hash: str


class TargetPage(Page):
    data: list[TargetDocument]


# Scaling -------------------------------------------------------------------------------------

Cell = str | float | int | bool | None
Rows = Annotated[
    list[dict[str, Any]],
    Field(min_length=1, max_length=20_000),
    AfterValidator(sound),
    WithJsonSchema(
        {
            "type": "array",
            "minItems": 1,
            "maxItems": 20_000,
            "items": {"type": "object", "additionalProperties": {"type": ["number", "string"]}},
        }
    ),
]


class NewFit(Strict):
    """Runs by URI or as rows; the rest as `assay fit` has it."""

    law: Name
    runs: Uri | None = None
    rows: Rows | None = None
    map: dict[Name, Name] = Field(default_factory=dict, max_length=50)
    scale: dict[Name, Positive] = Field(default_factory=dict, max_length=50)
    counted: Word = ""
    loss_unit: Word = ""
    bootstrap: Annotated[int, Field(ge=2, le=20_000)] = 4000
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    starts: Annotated[int, Field(ge=1, le=1000)] = 64
    delta: Positive = 1e-3
    tied: dict[Name, Name] = Field(default_factory=dict, max_length=50)
    fixed: dict[Name, Annotated[float, Field(allow_inf_nan=False)]] = Field(
        default_factory=dict, max_length=50
    )
    holdout_above: Positive | None = None
    metadata: Labels = Field(default_factory=dict)


Size = Literal["100K", "1M", "4M", "20M", "60M", "150M", "300M"]
Arm = Literal["subset", "uniform", "uniform-2", "matched", "full", "cost"]


def usual_sizes() -> list[Size]:
    return ["1M", "4M"]


def usual_arms() -> list[Arm]:
    return ["subset", "uniform", "matched", "full", "cost"]


class NewValidation(Strict):
    """As `assay validate` has it."""

    subset: Uri = Field(description="A finished selection: its folder, or its id (sel_...).")
    raw: Uris = Field(description="The whole corpus.")
    target: Uris = Field(description="Held-out text: URIs, or ids of targets (tgt_...).")
    out: Uri = Field(description="A folder on the server's own disk, for trainings and report.")
    sizes: Annotated[list[Size], Field(min_length=1, max_length=7)] = Field(
        default_factory=usual_sizes
    )
    seeds: Annotated[int, Field(ge=1, le=100)] = 3
    arms: Annotated[list[Arm], Field(min_length=1, max_length=6)] = Field(
        default_factory=usual_arms
    )
    tokens: Annotated[float, Field(ge=0, le=1e13)] = Field(0.0, description="0: 20 per parameter")
    sequence: Annotated[int, Field(ge=8, le=65_536)] = 512
    batch: Annotated[int, Field(ge=0, le=10**6)] = 0
    micro_batch: Annotated[int, Field(ge=0, le=10**6)] = 0
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    learning_rate: Annotated[float, Field(ge=0, le=100)] = 0.0
    learning_rates: Annotated[
        list[Annotated[float, Field(gt=0, le=100)]], Field(min_length=1, max_length=9)
    ] = Field(default_factory=lambda: [1.0])
    feedforward: Literal["swiglu", "relu2"] = "swiglu"
    tied: bool = False
    activation_sparsity: bool = False
    experts: Annotated[Word, Field(pattern=r"^([0-9]{1,4}x[0-9]{1,4})?$")] = ""
    tokenizer: Annotated[Word, Field(pattern=r"^(bytes|bpe:[0-9]{3,6}|/.+)$")] = "bytes"
    target_bytes: Annotated[int, Field(ge=1, le=10**10)] = 200_000
    text_column: Name = "text"
    group_by: Name | None = None
    choices: Word = Field("", description="A file of questions on the server's own disk.")
    at_params: Annotated[float, Field(ge=0, le=1e15)] = 0.0
    at_tokens: Annotated[float, Field(ge=0, le=1e18)] = 0.0
    metadata: Labels = Field(default_factory=dict)


# A hundred times anything that was ever planned, and more: beyond it arithmetic gives out.
Params = Annotated[float, Field(gt=0, le=1e15)]
Active = Annotated[float, Field(ge=1e4, le=1e15)]
Tokens = Annotated[float, Field(gt=0, le=1e18)]
Sequence = Annotated[int, Field(ge=1, le=10**9)]


class NewRecommendation(Strict):
    """As `assay recommend` has it; parameters without embeddings."""

    params: Params
    tokens: Tokens
    sequence: Sequence = 4096
    active_params: Active | None = None
    experts: Annotated[float, Field(gt=0, le=1e6)] = 1
    unique_tokens: Tokens | None = None
    loss: Annotated[float, Field(gt=0, le=100)] | None = None
    proxy_learning_rate: Annotated[float, Field(gt=0, le=100)] | None = None
    width_ratio: Annotated[float, Field(gt=0, le=1e6)] | None = None


class NewPlan(Strict):
    """As `assay plan` has it: one budget, of compute, money or hours."""

    compute: Annotated[float, Field(gt=0, le=1e33)] | None = None
    money: Annotated[float, Field(gt=0, le=1e15)] | None = None
    gpu_hours: Annotated[float, Field(gt=0, le=1e15)] | None = None
    hardware: Name = "H100"
    gpus: Annotated[int, Field(ge=1, le=10**7)] = 8
    mfu: Annotated[float, Field(ge=1e-3, le=1)] | None = None
    pue: Annotated[float, Field(ge=1, le=10)] | None = None
    dollars_per_hour: Annotated[float, Field(ge=1e-6, le=1e9)] | None = None
    unique_tokens: Tokens | None = None
    inference_tokens: Annotated[float, Field(ge=0, le=1e21)] = 0.0
    params: Params | None = None
    activation: Annotated[float, Field(ge=1e-6, le=1)] | None = None
    granularity: Annotated[float, Field(ge=1, le=1e4)] | None = None
    sequence: Sequence = 4096
    law: Name = "chinchilla"
    published: Word | None = None


# Keys ----------------------------------------------------------------------------------------

Scope = Literal["read", "submit", "admin"]


class NewKey(Strict):
    owner: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3)]
    name: Annotated[str, StringConstraints(max_length=100, pattern=PLAIN)] = ""
    days: Annotated[float, Field(gt=0, le=36_500)] | None = Field(None, description="Until expiry.")


class KeyDocument(BaseModel):
    id: str
    object: Literal["key"]
    name: str
    owner: str
    scopes: list[str]
    status: str
    created_at: int
    expires_at: int | None
    used_at: int | None
    revoked_at: int | None


class MadeKey(KeyDocument):
    key: str = Field(description="Shown this once.")


class KeyPage(Page):
    data: list[KeyDocument]


class Whoami(BaseModel):
    key: str
    owner: str
    scopes: list[str]


class Health(BaseModel):
    status: str
    checks: dict[str, str] = Field(default_factory=dict)


class ProblemDocument(BaseModel):
    """RFC 9457. `code` is stable; `errors` point into the request."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[dict[str, Any]]
    request_id: str
    retryable: bool
