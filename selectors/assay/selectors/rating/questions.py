"""What is sent for a text, and what an answer must look like.

One request of the chat completions protocol: rubrics as the system's message, the beginning of the
text as the user's, an answer in JSON. What is asked is told apart by the hash of the whole request
and of the address that it goes to: the same text, model and wording are never paid for twice.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from assay.selectors.rating.rubrics import CLOSING, OPENING, Rubric

# How the form of an answer is asked for; servers differ in what they know.
FORMS = ("json_schema", "json_object", "none")
ANSWER_TOKENS = 64  # and so many again for each rubric: room for the object with blanks to spare


@dataclass(frozen=True)
class Asking:
    """How texts are asked about: everything that shapes an answer, but the text."""

    endpoint: str
    model: str
    rubrics: tuple[Rubric, ...]
    form: str = "json_schema"
    extra: Mapping[str, Any] = field(default_factory=dict)  # of the request; None leaves one out

    def body(self, text: str) -> bytes:
        """The request about one text."""
        messages = [
            {"role": "system", "content": self._instructions},
            {"role": "user", "content": marked(text)},
        ]
        asked: dict[str, Any] = {"model": self.model, "messages": messages, "temperature": 0}
        asked["max_tokens"] = ANSWER_TOKENS * (1 + len(self.rubrics))
        if self._format:
            asked["response_format"] = self._format
        asked |= self.extra
        plain = {name: value for name, value in asked.items() if value is not None}
        return json.dumps(plain, ensure_ascii=False).encode()

    def key(self, body: bytes) -> str:
        """What names the answer."""
        return hashlib.sha256(self.endpoint.encode() + b"\n" + body).hexdigest()

    @property
    def answer_tokens(self) -> int | None:
        """The most that an answer may have; None where nothing bounds it."""
        asked = json.loads(self.body(""))
        bounds = [asked[name] for name in ("max_tokens", "max_completion_tokens") if name in asked]
        return max(bounds) if bounds and all(type(one) is int for one in bounds) else None

    @cached_property
    def _instructions(self) -> str:
        count = len(self.rubrics)
        scales = "the scale below" if count == 1 else f"the {count} scales below"
        parts = [OPENING.format(scales=scales)]
        parts += [f"## {one.name} ({one.low} to {one.high})\n{one.text}" for one in self.rubrics]
        fields = ", ".join(f'"{one.name}": {one.low} to {one.high}' for one in self.rubrics)
        return "\n\n".join([*parts, CLOSING.format(fields=fields)])

    @cached_property
    def _format(self) -> dict[str, Any] | None:
        if self.form == "none":
            return None
        if self.form == "json_object":
            return {"type": "json_object"}
        # Points are listed: not every server that knows schemas knows least and greatest numbers.
        points = {
            one.name: {"type": "integer", "enum": list(range(one.low, one.high + 1))}
            for one in self.rubrics
        }
        schema = {
            "type": "object",
            "properties": points,
            "required": list(points),
            "additionalProperties": False,
        }
        return {
            "type": "json_schema",
            "json_schema": {"name": "rating", "strict": True, "schema": schema},
        }


def marked(text: str) -> str:
    """The text between marks that do not stand in it: it cannot close them and speak on."""
    mark = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"<passage {mark}>\n{text}\n</passage {mark}>"


def read_answer(content: Any, rubrics: Sequence[Rubric]) -> dict[str, float] | str:
    """The points for each rubric; or what is wrong, in words that are the same for the same fault.
    A fence or words around the object are borne; a missing rubric or a point off its scale not."""
    if not isinstance(content, str):
        return "the answer holds no text"
    begin, end = content.find("{"), content.rfind("}")
    try:
        found = json.loads(content[begin : end + 1]) if begin >= 0 else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, Mapping):
        return "the answer is no JSON object"
    points = {one.name: _point(found.get(one.name), one) for one in rubrics}
    wrong = [name for name, point in points.items() if math.isnan(point)]
    return f"the answer has no point on the scale of {', '.join(wrong)}" if wrong else points


def _point(value: Any, rubric: Rubric) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and rubric.low <= value <= rubric.high else math.nan
