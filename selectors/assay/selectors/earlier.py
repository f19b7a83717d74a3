"""Scores of the same corpus that are there already: in the score stores of earlier selections, or
in tables of one's own (tables.py).

Rows of score stores are matched by shard and row: both selections number them alike, because units
and shards hang on the corpus only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from assay.selectors import manifest, scores, storage
from assay.selectors.errors import BadInput, BadRequest
from assay.selectors.manifest import Manifest
from assay.selectors.records import Batch, Scored, joined
from assay.selectors.scores import ScoreFile, Scores
from assay.selectors.tables import Rows, Table, is_table
from assay.selectors.tables import read as read_table


@dataclass(frozen=True)
class Earlier:
    """Finished selections by the names under which their scores are asked for."""

    folders: Mapping[str, str] = field(default_factory=dict)  # of their score stores
    tables: Mapping[str, Table] = field(default_factory=dict)

    def attached(self, batch: Batch, unit: int) -> Batch:
        """The batch, with what is known of its documents; `unit` is its number in the shard."""
        if not self.folders and not self.tables:
            return batch
        known = {name: self._rows(name, batch, unit) for name in self.folders}
        known |= {name: table.of(batch) for name, table in self.tables.items()}
        return replace(batch, known=known)

    def _rows(self, name: str, batch: Batch, unit: int) -> Scored:
        uri = storage.join(self.folders[name], scores.file_name(batch.shard, unit))
        found = _between(uri, int(batch.row[0]), int(batch.row[-1])) if len(batch) else None
        found = found or scores.nothing(scores.names_of(uri))
        place = np.searchsorted(found.row, batch.row)
        there = place < len(found)
        if not (there.all() and np.array_equal(found.row[place], batch.row)):
            missing = int(batch.row[~there][0]) if not there.all() else int(batch.row[0])
            raise BadInput(
                f"{uri}: {name!r} has no score for some documents, such as row {missing}: it was "
                f"made with another text column, or by a version that cuts shards differently; "
                f"replay it with this one"
            )
        return found.take(place)


@dataclass(frozen=True)
class Opened:
    """What is at hand of earlier selections."""

    earlier: Earlier
    streams: Mapping[str, Scores | Rows]  # "scores/NAME"
    request: Mapping[str, Any]  # name -> digest, for the manifest
    places: Mapping[str, str]  # name -> folder
    about: Mapping[str, Mapping[str, Any]]  # name -> column -> what is said of it beside the table


def survey(
    runs: Mapping[str, str], raw: Sequence[Mapping[str, Any]], partial: bool = False
) -> Opened:
    """Open every run, and make sure that it scored this corpus: `raw` as a manifest lists it.

    Where `partial`, tables need hold some documents only, and nothing rides beside the texts.
    """
    given = {name: uri for name, uri in runs.items() if is_table(uri)}
    rows = sum(int(shard["rows"]) for shard in raw)
    tables = {name: read_table(uri, rows, partial) for name, uri in given.items()}
    found = {name: manifest.read(uri) for name, uri in runs.items() if name not in tables}
    for name, run in found.items():
        _check_same_corpus(name, run, raw)
    stores = {name: run.uri("scores") for name, run in found.items()}
    return Opened(
        Earlier() if partial else Earlier(stores, tables),
        {f"scores/{name}": Scores(files(run)) for name, run in found.items()}
        | {f"scores/{name}": table.stream for name, table in tables.items()},
        {name: run.digest for name, run in found.items()}
        | {name: table.digest for name, table in tables.items()},
        {name: run.folder for name, run in found.items()} | given,
        {name: table.about for name, table in tables.items()},
    )


def files(run: Manifest) -> tuple[ScoreFile, ...]:
    """The score files of a finished selection, in the order of the corpus."""
    folder = run.uri("scores")
    names = [name for name in storage.names(folder) if name.endswith(".parquet")]
    promised = int(run.content["scores"]["files"])
    if len(names) != promised:
        raise BadInput(
            f"{folder}: the score store has {len(names)} files, the manifest says {promised}: "
            f"bring back what is missing, or replay the selection"
        )
    found = (scores.find(storage.join(folder, name)) for name in names)
    return tuple(file for file in found if file)


def _check_same_corpus(name: str, run: Manifest, raw: Sequence[Mapping[str, Any]]) -> None:
    theirs = [shard["hash"] for shard in run.request["inputs"]["raw"]]
    if theirs != [shard["hash"] for shard in raw]:
        raise BadRequest(
            f"--scores {name}={run.folder}: it scored another corpus ({len(theirs)} shards there, "
            f"{len(raw)} here, not all the same): give it the same --raw, or select again"
        )


def _between(uri: str, first: int, last: int) -> Scored | None:
    """The rows of a score file from one to another, of the row groups that may hold them."""
    file = pq.ParquetFile(storage.open_input(uri), pre_buffer=False)
    groups = [n for n in range(file.num_row_groups) if _meets(file, n, first, last)]
    batches = file.iter_batches(batch_size=scores.ROWS, row_groups=groups, use_threads=False)
    parts = [_cut(scores.from_batch(batch), first, last) for batch in batches] if groups else []
    return joined(parts) if parts else None


def _meets(file: pq.ParquetFile, group: int, first: int, last: int) -> bool:
    place = file.schema_arrow.get_field_index("row")
    range_ = file.metadata.row_group(group).column(place).statistics
    return bool(range_.min <= last and first <= range_.max)


def _cut(scored: Scored, first: int, last: int) -> Scored:
    return scored.take(slice(*np.searchsorted(scored.row, [first, last + 1])))
