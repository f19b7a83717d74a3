"""Score columns to be decorrelated: statistics of the text, or what earlier selections stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np

from assay.selectors.choice import mix
from assay.selectors.directions import surface
from assay.selectors.directions.foretelling import SampleOf
from assay.selectors.directions.orthogonal import Moments, Scale
from assay.selectors.errors import BadInput, BadSetting, NothingToRead
from assay.selectors.methods.blend import STORE, column_of
from assay.selectors.records import Batch, Counts, Floats, Ids, Scored
from assay.selectors.sampling import LONGEST, Sample
from assay.selectors.selector import Fold

SURFACE = "surface"
POLARITIES = {"+": 1, "-": -1, "0": 0}
STRANGE = 0.5  # of the ids with scores: if fewer are in the corpus, they are others' ids
ROWS = 1 << 16  # documents that ranks of stored scores are read off


@dataclass(frozen=True)
class Wanted:
    """A column of an earlier selection, or of a table of scores; "" is the one that ranks."""

    run: str
    column: str
    said: int | None  # its better end, where the request names it
    beside: Mapping[str, Any] = field(default_factory=dict)  # what the table's author says of it

    @property
    def polarity(self) -> int:
        """+1: more is better, -1: less is, 0: neither; as asked, else as said beside the table."""
        return int(self.beside.get("polarity", 1)) if self.said is None else self.said

    @property
    def name(self) -> str:
        return f"{self.run}/{self.column}" if self.column else self.run

    @property
    def group(self) -> str:
        return str(self.beside.get("group") or self.run)


def told(one: Wanted, about: Mapping[str, Mapping[str, Any]]) -> Wanted:
    """The column, with what is said of it beside its table."""
    columns = about.get(one.run, {})
    found = columns.get(one.column) or columns.get(f"score.{one.column}") or {}
    if found.get("polarity", 1) not in (1, 0, -1):
        raise BadInput(
            f"{STORE}{one.name}: the file beside the table says polarity {found['polarity']!r}: it "
            f"is 1 where more is better, -1 where less is, 0 where neither"
        )
    return replace(one, beside=found)


def wanted(columns: str) -> list["Wanted | str"]:
    """`surface`, or `scores/a,scores/b/column:-`."""
    found: list[Wanted | str] = []
    for text in (part.strip() for part in columns.split(",")):
        if text == SURFACE:
            found.append(text)
            continue
        name, _, polarity = text.partition(":")
        run, _, column = name.removeprefix(STORE).partition("/")
        if not name.startswith(STORE) or not run or (polarity or "+") not in POLARITIES:
            raise BadSetting(
                f"columns: {text!r}: write {SURFACE}, or {STORE}RUN or {STORE}RUN/COLUMN, with :+ "
                f":- or :0 behind it for its better end"
            )
        found.append(Wanted(run, column, POLARITIES[polarity] if polarity else None))
    if SURFACE in found and len(found) > 1:
        raise BadSetting(f"columns: {SURFACE} stands alone: stored scores and it are not mixed")
    names = [one.name for one in found if isinstance(one, Wanted)]
    for name in names:
        if names.count(name) > 1:
            raise BadSetting(f"columns: {STORE}{name} comes twice")
    return found


@dataclass(frozen=True)
class Source:
    """Where the columns come from: how to compute them, and a sample of them."""

    columns: "Sequence[surface.Column | Wanted]"
    raw: Callable[[Batch], Floats]  # (documents, columns) as they are
    scales: tuple[Scale, ...]
    sample: Floats  # (rows, columns), scaled

    def __call__(self, batch: Batch) -> Floats:
        return scaled(self.scales, self.raw(batch))

    def knows(self, batch: Batch) -> bool:
        """Whether the columns can be had of these documents."""
        return all(c.run in batch.known for c in self.columns if isinstance(c, Wanted))


def scaled(scales: Sequence[Scale], columns: Floats) -> Floats:
    pairs = zip(scales, columns.T, strict=True)
    return np.column_stack([scale(column) for scale, column in pairs])


@dataclass(frozen=True)
class OfText:
    """The statistics of a text."""

    surface: surface.Surface
    kept: tuple[int, ...]  # of the statistics: those that are not the same everywhere

    def __call__(self, batch: Batch) -> Floats:
        return self.surface(batch.text, batch.key)[:, self.kept]


@dataclass(frozen=True)
class OfStore:
    """Columns that earlier selections left."""

    columns: tuple[Wanted, ...]

    def __call__(self, batch: Batch) -> Floats:
        known = batch.known
        return np.column_stack([column_of(known[one.run], one.column) for one in self.columns])


def of_text(fold: Fold, room: int, gaussian: bool) -> Source:
    """The eleven statistics; those that are the same for all documents say nothing and are left."""
    empty = Sample(room, LONGEST, fold.seed)
    sample = fold("raw", empty)
    if not len(sample):
        raise NothingToRead("the corpus holds no text: there is nothing to learn statistics from")
    learned, found = surface.learn(sample, fold("target", empty) if fold.targets else None)
    scales = [Scale.of(column, gaussian) for column in found.T]
    kept = tuple(place for place, scale in enumerate(scales) if not scale.constant)
    some = tuple(scales[place] for place in kept)
    columns = [learned.columns[place] for place in kept]
    return Source(columns, OfText(learned, kept), some, scaled(some, found[:, kept]))


def of_store(fold: Fold, parts: Sequence[Wanted | str], gaussian: bool) -> Source:
    """Columns of earlier selections, whose scales are read off a sample of their documents."""
    columns = _told(fold, parts)
    return _stored(columns, gaussian, *_sampled(fold, columns))[0]


def of_samples(
    fold: Fold, parts: Sequence[Wanted | str], room: int, gaussian: bool
) -> tuple[Source, "SampleOf", Counts]:
    """Columns that some documents have: with the texts of these, and the row of each text in the
    source's sample."""
    columns = _told(fold, parts)
    source, shared = _stored(columns, gaussian, *_sampled(fold, columns))
    texts = fold("raw", SampleOf.of(shared, room, LONGEST, fold.seed))
    if texts.met < STRANGE * len(shared):
        raise BadInput(
            f"{texts.met} of {len(shared)} ids with scores are in the corpus: the scores belong to "
            f"other documents, or --id-column is another"
        )
    return source, texts, np.searchsorted(shared, texts.key)


def _told(fold: Fold, parts: Sequence[Wanted | str]) -> tuple[Wanted, ...]:
    about = getattr(fold, "about", {})
    return tuple(told(one, about) for one in parts if isinstance(one, Wanted))


def _sampled(fold: Fold, columns: Sequence[Wanted]) -> tuple[Floats, Ids]:
    tables = {
        run: fold(f"{STORE}{run}", TableSample(_of_run(columns, run), ROWS, fold.seed))
        for run in sorted({one.run for one in columns})
    }
    return _side_by_side(columns, tables)


def _stored(
    columns: tuple[Wanted, ...], gaussian: bool, found: Floats, shared: Ids
) -> tuple[Source, Ids]:
    scales = [Scale.of(column, gaussian) for column in found.T]
    for one, scale, values in zip(columns, scales, found.T, strict=True):
        if np.isinf(values).any():
            raise BadInput(
                f"{STORE}{one.name}: holds infinite scores, which have no place among others: mend "
                f"the column, or leave it out"
            )
        if scale.constant:
            raise BadInput(
                f"{STORE}{one.name}: has the same score for every document that was looked at: "
                f"leave it out"
            )
    source = Source(columns, OfStore(columns), tuple(scales), scaled(scales, found))
    return source, shared


def _of_run(columns: Sequence[Wanted], run: str) -> tuple[str, ...]:
    return tuple(one.column for one in columns if one.run == run)


def _side_by_side(
    columns: Sequence[Wanted], tables: "Mapping[str, TableSample]"
) -> tuple[Floats, Ids]:
    """(documents, columns) of the documents that all samples hold, by the hashes of their ids."""
    keys = [table.key for table in tables.values()]
    shared = reduce(np.intersect1d, keys)
    if not len(shared):
        raise BadInput(
            f"the stored scores of {', '.join(tables)} have no document in common: their ids differ"
        )
    found = []
    for one in columns:
        table, place = tables[one.run], _of_run(columns, one.run).index(one.column)
        _, rows, _ = np.intersect1d(table.key, shared, return_indices=True)
        found.append(table.values[rows, place])
    return np.column_stack(found), np.unique(shared)


@dataclass
class TableSample:
    """Some columns of the documents whose ids hash lowest."""

    columns: tuple[str, ...]
    limit: int
    seed: int
    place: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))
    key: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))
    values: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def add(self, scored: Scored) -> None:
        values = np.column_stack([column_of(scored, name) for name in self.columns])
        self._extend(mix(scored.key, self.seed), scored.key, values)

    def merge(self, other: "TableSample") -> None:
        self._extend(other.place, other.key, other.values)

    def _extend(self, place: Ids, key: Ids, values: Floats) -> None:
        if not len(place):
            return
        if not len(self.place):
            self.values = np.zeros((0, values.shape[1]))
        place, key = np.concatenate([self.place, place]), np.concatenate([self.key, key])
        values = np.concatenate([self.values, values])
        first = np.lexsort((*values.T, key, place))[: self.limit]
        self.place, self.key, self.values = place[first], key[first], values[first]


def fold_moments(source: Source, fold: Fold) -> Moments:
    """Of every document where one earlier selection holds all columns; else of the sample."""
    centre = np.nanmean(source.sample, axis=0) if len(source.sample) else np.zeros(0)
    spread = np.nanstd(source.sample, axis=0)
    empty = Moments(centre, np.where(spread > 0, spread, 1.0))
    runs = {one.run for one in source.columns if isinstance(one, Wanted)}
    if len(runs) == 1 and isinstance(source.raw, OfStore):
        return fold(f"{STORE}{runs.pop()}", Stored(empty, source.raw, source.scales)).moments
    empty.add(source.sample)
    return empty


@dataclass
class Stored:
    """Moments of stored columns, scaled."""

    moments: Moments
    columns: OfStore
    scales: tuple[Scale, ...]

    def add(self, scored: Scored) -> None:
        found = np.column_stack([column_of(scored, one.column) for one in self.columns.columns])
        self.moments.add(scaled(self.scales, found))

    def merge(self, other: "Stored") -> None:
        self.moments.merge(other.moments)
