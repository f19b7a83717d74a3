"""Runs summaries over streams: where reading happens, how parts merge, how a run resumes.

A stream is a row of units; each is summarised by itself, or together with small neighbours,
wherever the map puts it, and the parts merge in the order of the units. Since a selector is
deterministic, a fold that was answered before a crash is answered again from its record, and the
selector never knows.
"""

import copy
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import zstandard
from numpy.lib.format import read_array, write_array

from assay.selectors import storage
from assay.selectors.errors import BadRequest
from assay.selectors.memory import give_back
from assay.selectors.progress import Progress
from assay.selectors.selector import S, Statistic, T, Work

A = TypeVar("A")
B = TypeVar("B")

RECORDED = ("raw", "target")  # streams of documents; scores are quick to read again
BUNDLE = 16_000_000  # bytes of small units that are summarised in one go; a large unit stands alone
SAVE_EVERY = 30.0  # seconds between two records of an unfinished fold: what a crash may cost


class Map(Protocol):
    """An order-preserving map with its own workers; it may run ahead, but not without bound."""

    def __call__(self, function: Callable[[A], B], items: Iterable[A], /) -> Iterator[B]: ...


class Stream(Protocol):
    """Documents that can be walked through unit by unit, in any process."""

    @property
    def units(self) -> Sequence[Any]: ...

    def batches(self, unit: Any, /) -> Iterator[Any]: ...

    def size(self, unit: Any, /) -> int:
        """Bytes, for progress only."""
        ...


@dataclass(frozen=True)
class Folding:
    """The `Fold` that a selector is handed."""

    streams: Mapping[str, Stream]
    seed: int
    targets: tuple[str, ...]
    map: Map
    progress: Progress
    records: str = ""  # folder for the records; "" keeps none
    bundle: int = 0  # bytes up to which small neighbours are summarised in one go
    # Of a table of scores: column -> what is said of it beside the table, such as its better end.
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __call__(self, stream: str, empty: S, /) -> S:
        source = self._stream(stream)
        record = self._record(stream, empty)
        total, done = record.read(empty)
        todo = source.units[done:]
        self.progress.begin(f"reading {stream}", sum(source.size(unit) for unit in todo))
        saved = time.monotonic()
        runs = list(bundles(todo, source.size, self.bundle))
        for run, part in zip(runs, self.map(partial(summary, source, empty), runs), strict=True):
            total.merge(part)
            done += len(run)
            self.progress.advance(sum(source.size(unit) for unit in run))
            if time.monotonic() - saved > SAVE_EVERY:
                record.write(total, done)
                saved = time.monotonic()
        if todo:
            record.write(total, done)
        self.progress.end()
        if stream != "scores":  # those are small
            give_back()
        return total

    def remember(self, what: str, question: str, empty: T, work: Work[T], total: int, /) -> T:
        """What a method worked out itself; recorded, so that it is worked out once."""
        record = self._named(f"made-{what.replace(' ', '-')}", question)
        found, done = record.read(cast(Any, empty))
        if done:
            return cast(T, found)
        self.progress.begin(what, total)
        made = work(self._advance)
        record.write(cast(Any, made), 1)
        self.progress.end()
        return made

    def _advance(self, done: int) -> None:
        self.progress.advance(done)
        list(self.map(_nothing, (0,)))  # which says whether the run was asked to stop

    def _stream(self, name: str) -> Stream:
        if name not in self.streams:
            known = ", ".join(sorted(self.streams)) or "none"
            need = ": name one with --target" if name.startswith("target") else ""
            if name.startswith("scores/"):
                need = f": name it with --scores {name.partition('/')[2]}=RUN"
            raise BadRequest(f"this method reads {name!r}{need} (at hand: {known})")
        return self.streams[name]

    def _record(self, stream: str, empty: Statistic) -> "Record":
        if not self.records or stream.partition("/")[0] not in RECORDED:
            return Record("", "")
        return self._named(stream.replace("/", "-"), f"{stream} {identity(empty)}")

    def _named(self, name: str, question: str) -> "Record":
        if not self.records:
            return Record("", "")
        mark = hashlib.sha256(question.encode()).hexdigest()[:12]
        return Record(storage.join(self.records, f"{name}-{mark}.arrays.zst"), question)


def _nothing(item: int) -> int:
    return item


def bundles(units: Sequence[Any], size: Callable[[Any], int], most: int) -> Iterator[list[Any]]:
    """Neighbours together while they stay under `most` bytes: an empty summary is not free."""
    run: list[Any] = []
    held = 0
    for unit in units:
        if run and held + size(unit) > most:
            yield run
            run, held = [], 0
        run.append(unit)
        held += size(unit)
    if run:
        yield run


def summary(source: Stream, empty: S, run: Sequence[Any]) -> S:
    """Some units, summarised. Runs in a worker."""
    part = copy.deepcopy(empty)
    for unit in run:
        for batch in source.batches(unit):
            part.add(batch)
    return part


@dataclass(frozen=True)
class Record:
    """The answer of a fold as it stands in storage: a prefix of the units, or all of them."""

    uri: str
    question: str  # what was asked; a record of another question is not ours

    def read(self, empty: S) -> tuple[S, int]:
        """The summary of the first units, and how many they are."""
        fresh = copy.deepcopy(empty)
        if not self.uri or not storage.exists(self.uri):
            return fresh, 0
        question, done, state = unpack(storage.read_bytes(self.uri))
        return (thaw(fresh, state), done) if question == self.question else (fresh, 0)

    def write(self, total: Statistic, done: int) -> None:
        if self.uri:
            storage.write_bytes(self.uri, pack(self.question, done, freeze(total)))


def identity(empty: Statistic) -> str:
    """The class of a summary and its settings: every field that is no array."""
    plain = {name: value for name, value in freeze(empty).items() if value.ndim == 0}
    words = " ".join(f"{name}={value.item()!r}" for name, value in sorted(plain.items()))
    return f"{type(empty).__module__}.{type(empty).__qualname__} {words}"


def freeze(statistic: Statistic) -> dict[str, np.ndarray[Any, Any]]:
    """The fields of a summary as arrays; settings that are dataclasses as their words."""
    made: dict[str, np.ndarray[Any, Any]] = {}
    for one in _fields(statistic):
        value = getattr(statistic, one.name)
        made[one.name] = np.asarray(repr(value) if is_dataclass(value) else value)
        if made[one.name].dtype == object:
            name = f"{type(statistic).__name__}.{one.name}"
            raise TypeError(f"{name} is no number, text, array or dataclass of settings")
    return made


def thaw(empty: S, state: Mapping[str, np.ndarray[Any, Any]]) -> S:
    """A summary with the fields of `state`; settings and types come from `empty`."""
    changes: dict[str, Any] = {}
    for one in _fields(empty):
        kind, stored = type(getattr(empty, one.name)), state[one.name]
        if not is_dataclass(kind):
            changes[one.name] = stored.copy() if kind is np.ndarray else _plain(kind, stored)
    return cast(S, replace(cast(Any, empty), **changes))


def _plain(kind: type, stored: np.ndarray[Any, Any]) -> Any:
    return tuple(stored.tolist()) if kind is tuple else kind(stored.item())


def _fields(statistic: Statistic) -> list[Any]:
    return [f for f in fields(cast(Any, statistic)) if f.init]


def pack(question: str, done: int, state: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """The length of a JSON head, the head, then each array as numpy writes it; through zstd."""
    packed = io.BytesIO()
    head = json.dumps({"question": question, "done": done, "fields": list(state)}).encode()
    with zstandard.ZstdCompressor(level=1).stream_writer(packed, closefd=False) as plain:
        plain.write(len(head).to_bytes(8, "little") + head)
        for value in state.values():
            write_array(plain, value, allow_pickle=False)
    return packed.getvalue()


def unpack(stored: bytes) -> tuple[str, int, dict[str, np.ndarray[Any, Any]]]:
    with zstandard.ZstdDecompressor().stream_reader(stored) as plain:
        head = json.loads(plain.read(int.from_bytes(plain.read(8), "little")))
        state = {name: read_array(plain, allow_pickle=False) for name in head["fields"]}
        return head["question"], head["done"], state
