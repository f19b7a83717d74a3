"""Which documents each arm trains on, out of a corpus that need not fit into memory.

A first pass notes every document's key, size, length class and domain; arms are chosen among
these; a second pass reads the chosen texts. Samples hang on (seed, document id) alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assay.selectors import manifest, shards, storage
from assay.selectors.choice import mix
from assay.selectors.errors import NothingToRead
from assay.selectors.manifest import Manifest
from assay.selectors.records import Batch, Counts, Ids
from assay.selectors.shards import Corpus, Reading, Unit
from assay.selectors.writing import ADDED

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Pool:
    """The documents of a corpus, as columns, in its order."""

    corpus: Corpus
    reading: Reading
    key: Ids
    size: Counts  # bytes of UTF-8
    domain: npt.NDArray[np.int32]  # place in `domains`; 0 for all without --group-by
    domains: tuple[str, ...]
    shard: npt.NDArray[np.int32]
    row: Counts

    def __len__(self) -> int:
        return len(self.key)

    def texts(self, chosen: Mask) -> list[bytes]:
        """The texts of some documents, in the corpus's order."""
        found: list[bytes] = []
        places = np.flatnonzero(chosen)
        for shard in self.corpus.shards:
            mine = places[self.shard[places] == shard.index]
            rows = self.row[mine]
            for unit in shard.units:
                inside = rows[(rows >= unit.first_row) & (rows < unit.first_row + unit.rows)]
                if len(inside):
                    found += _texts(self.corpus, unit, self.reading, inside)
        return found

    def columns(self) -> Iterator[pa.Array]:
        """All texts, batch by batch."""
        for batch in _batches(self.corpus, self.reading):
            yield batch.text


def pool(uris: Sequence[str], reading: Reading) -> Pool:
    """The first pass over a corpus."""
    corpus = shards.survey(uris, reading)
    keys, sizes, places, rows = [], [], [], []
    domains: list[str] = []
    for batch in _batches(corpus, reading):
        keys.append(batch.key)
        sizes.append(_sizes(batch))
        rows.append(batch.row)
        places.append(np.full(len(batch), batch.shard, np.int32))
        none = batch.source is None
        domains += [""] * len(batch) if none else batch.source.to_pylist()  # type: ignore
    if not keys:
        raise NothingToRead(f"{', '.join(uris)}: no document with text in {reading.text_column!r}")
    names, codes = np.unique(np.array(domains, str), return_inverse=True)
    return Pool(
        corpus,
        reading,
        np.concatenate(keys),
        np.concatenate(sizes),
        codes.astype(np.int32),
        tuple(str(name) for name in names),
        np.concatenate(places),
        np.concatenate(rows),
    )


def subset(uri: str, reading: Reading) -> tuple[Manifest, Pool]:
    """A finished selection's documents, after a look at whether they are what it says."""
    made = manifest.verified(manifest.read(uri))
    asked = made.request
    own = Reading(str(asked["text_column"]), ADDED[0], reading.group_by)
    parts = [storage.join(made.folder, part["name"]) for part in made.content["parts"]]
    if not parts or not made.content["spent"]["documents"]:
        raise NothingToRead(f"{uri}: the selection holds no document: make it with a larger budget")
    return made, pool(parts, own)


def _batches(corpus: Corpus, reading: Reading) -> Iterator[Batch]:
    for unit in corpus.units:
        for read in shards.batches(corpus.shards[unit.shard], unit, reading):
            if len(read.batch):
                yield read.batch


def _texts(corpus: Corpus, unit: Unit, reading: Reading, rows: Counts) -> list[bytes]:
    found = []
    for read in shards.batches(corpus.shards[unit.shard], unit, reading):
        for place in np.flatnonzero(np.isin(read.batch.row, rows)):
            found.append(read.batch.text[int(place)].as_buffer().to_pybytes())
    return found


def _sizes(batch: Batch) -> Counts:
    import pyarrow.compute as pc

    found: Counts = pc.binary_length(batch.text).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


# Samples -------------------------------------------------------------------------------


def uniform(found: Pool, budget: int, seed: int, out: Mask | None = None) -> Mask:
    """Documents in an order that hangs on (seed, id), until their bytes reach the budget."""
    order = np.argsort(mix(found.key, seed + 1), kind="stable")
    if out is not None:
        order = order[~out[order]]
    enough = np.searchsorted(np.cumsum(found.size[order]), budget) + 1
    chosen = np.zeros(len(found), bool)
    chosen[order[:enough]] = True
    return chosen


def matched(found: Pool, like: Pool, seed: int) -> Mask:
    """A uniform sample with the subset's bytes in each class of domain and length.

    A class that the corpus cannot fill gives all it has."""
    chosen = np.zeros(len(found), bool)
    codes = {name: place for place, name in enumerate(found.domains)}
    theirs = np.array([codes.get(name, -1) for name in like.domains], np.int64)[like.domain]
    mine = found.domain.astype(np.int64)
    classes = np.stack([theirs, length_class(like.size)], axis=1)
    for domain, length in np.unique(classes, axis=0).tolist():
        alike = (theirs == domain) & (length_class(like.size) == length)
        inside = (mine == domain) & (length_class(found.size) == length)
        chosen |= uniform(found, int(like.size[alike].sum()), seed, out=~inside)
    return chosen


def length_class(size: Counts) -> Counts:
    """Powers of two of the bytes."""
    return np.floor(np.log2(np.maximum(size, 1))).astype(np.int64)
