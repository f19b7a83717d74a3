"""An endpoint that speaks the chat completions protocol of OpenAI, as vLLM, llama.cpp, Ollama and
many services do. The only file of selectors/ that knows httpx.

One request is one `Outcome`: points, or a reason together with what is left to do about it. Whether
it cost something is part of it, and what cannot be known is said to be unknown.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from assay.selectors.errors import BadRequest, BadSetting
from assay.selectors.rating.questions import read_answer
from assay.selectors.rating.rubrics import Rubric

if TYPE_CHECKING:
    import httpx

LARGEST = 1 << 20  # bytes of an answer that are read: a few hundred are expected
LONGEST_WAIT = 600.0  # seconds that a server's Retry-After is heeded
SHOWN = 300  # characters of what a server says
# Nothing that waiting mends: no right, no money, no such model or address, no such method.
HOPELESS = (401, 402, 403, 404, 405, 410)
AGAIN = (408, 409, 425)
LATER = (429, 503, 529)
SPENT_UP = "insufficient_quota"  # an account without money answers 429 too


class Remedy(Enum):
    """What is left to do about a request that brought no points."""

    NONE = "none"
    AGAIN = "again"  # it may go well the next time
    LATER = "later"  # too much is asked of it
    SKIP = "skip"  # this text will be refused every time
    STOP = "stop"  # every text will


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the server counts them."""

    sent: int
    got: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended. Without `usage` it was free, or, if `unsure`, nobody knows."""

    points: Mapping[str, float] | None = None
    reason: str = ""  # the same words for the same fault: reasons are counted
    detail: str = ""
    remedy: Remedy = Remedy.NONE
    usage: Usage | None = None
    unsure: bool = False
    wait: float = 0.0  # seconds that the server asks us to wait


@dataclass
class Endpoint:
    """A connection to one address. Threads may share it."""

    url: str
    key: str = field(repr=False)
    timeout: float  # seconds for one request, in all
    connections: int
    http: "httpx.Client" = field(init=False)

    def __post_init__(self) -> None:
        httpx = need_httpx()
        check_address(self.url)
        headers = {"Content-Type": "application/json"}
        if self.key:
            if not self.key.isascii() or not self.key.isprintable():
                raise BadSetting("ASSAY_RATER_KEY holds characters that no key has")
            headers["Authorization"] = f"Bearer {self.key}"
        limits = httpx.Limits(max_connections=self.connections)
        self.http = httpx.Client(headers=headers, timeout=self.timeout, limits=limits)
        try:
            self.http.build_request("POST", self.address)
        except httpx.InvalidURL as cause:
            raise BadSetting(f"--endpoint {self.url}: {cause}") from cause

    @property
    def address(self) -> str:
        return f"{self.url.rstrip('/')}/chat/completions"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.http.close()

    def ask(self, body: bytes, rubrics: tuple[Rubric, ...]) -> Outcome:
        """Send one request, once."""
        httpx = need_httpx()
        begun = time.monotonic()
        try:
            with self.http.stream("POST", self.address, content=body) as answer:
                content = self._content(answer, begun)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as fault:
            return _again(f"no connection ({type(fault).__name__})", str(fault))  # nothing was sent
        except httpx.HTTPError as fault:
            named = f"the connection broke ({type(fault).__name__})"
            return _again(named, str(fault), unsure=True)
        except httpx.InvalidURL as fault:  # only a redirect could bring one
            return Outcome(reason="a bad address", detail=str(fault), remedy=Remedy.STOP)
        if content is None:
            return _again("the answer came too slowly or was too long", unsure=True)
        if answer.status_code != 200:
            return self._refused(answer, content)
        return answered(content, rubrics)

    def _content(self, answer: "httpx.Response", begun: float) -> bytes | None:
        """What is answered; None if it does not come to an end."""
        read = bytearray()
        for piece in answer.iter_bytes():
            read += piece
            if len(read) > LARGEST or time.monotonic() - begun > self.timeout:
                return None
        return bytes(read)

    def _refused(self, answer: "httpx.Response", content: bytes) -> Outcome:
        status = answer.status_code
        said, code = _said(content)
        said = said.replace(self.key, "***") if self.key else said
        if 300 <= status < 400:
            there = shown(answer.headers.get("location", "nowhere"))
            said = f"it leads to {there}: name that address"
        remedy, wait = Remedy.SKIP, 0.0
        if 300 <= status < 400 or status in HOPELESS or code == SPENT_UP:
            remedy = Remedy.STOP
        elif status in LATER or status in AGAIN or status >= 500 or status < 300:
            remedy = Remedy.LATER if status in LATER else Remedy.AGAIN
            wait = _retry_after(answer.headers.get("retry-after", ""))
        return Outcome(reason=f"the endpoint says {status}", detail=said, remedy=remedy, wait=wait)


def check_address(url: str) -> None:
    """Refuse what is no address, and what would write a secret into our files."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError as cause:
        raise BadSetting(f"--endpoint {url}: {cause}") from cause
    if "@" in parts.netloc:
        raise BadSetting("--endpoint: holds a name or a password: the key goes to ASSAY_RATER_KEY")
    if not sound or parts.query or parts.fragment:
        raise BadSetting(f"--endpoint {url}: an address such as http://localhost:8000/v1")


def answered(content: bytes, rubrics: tuple[Rubric, ...]) -> Outcome:
    """The outcome of a request that went well as HTTP goes."""
    try:
        found = json.loads(content)
        choice = found["choices"][0]
        message = choice["message"]
        said = message.get("content")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return _again("the endpoint answers something else than a chat completion", unsure=True)
    usage = _usage(found.get("usage"))
    paid = partial(Outcome, usage=usage, unsure=usage is None)
    if message.get("refusal"):
        return paid(reason="the model refuses to rate it", remedy=Remedy.SKIP)
    points = read_answer(said, rubrics)
    if isinstance(points, dict):
        return paid(points=points)
    if choice.get("finish_reason") == "length":
        points = "the answer was cut off"
    return paid(reason=points, detail=shown(str(said)), remedy=Remedy.AGAIN)


def need_httpx() -> Any:
    """httpx, or a word on how to install it."""
    try:
        import httpx
    except ImportError as cause:
        raise BadRequest("rating needs one more package: pip install 'assay[rate]'") from cause
    return httpx


def _again(reason: str, detail: str = "", unsure: bool = False) -> Outcome:
    return Outcome(reason=reason, detail=shown(detail), remedy=Remedy.AGAIN, unsure=unsure)


def _usage(given: Any) -> Usage | None:
    if not isinstance(given, Mapping):
        return None
    sent, got = given.get("prompt_tokens"), given.get("completion_tokens")
    if type(sent) is int and type(got) is int and min(sent, got) >= 0 and max(sent, got) < 1 << 40:
        return Usage(sent, got)
    return None


def _said(content: bytes) -> tuple[str, str]:
    """What a server says of an error, and its code, in the protocol's form or in any other."""
    text = content.decode("utf-8", "replace").strip()
    try:
        error = json.loads(text)["error"]
        told = error if isinstance(error, str) else str(error["message"])
        code = "" if isinstance(error, str) else str(error.get("code") or error.get("type") or "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        told, code = text, ""
    return shown(told), code


def shown(text: str) -> str:
    """The beginning of what a server says, fit for any terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:SHOWN])


def _retry_after(given: str) -> float:
    """Seconds, or a date."""
    try:
        seconds = float(given)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(given).timestamp() - time.time()
        except (ValueError, TypeError):
            seconds = 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT) if seconds == seconds else 0.0
