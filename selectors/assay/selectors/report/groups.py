"""What each group of documents weighs, in bounded memory: two passes find the heavy ones."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay.native import kernels
from assay.selectors.records import Counts, Ids, Scored

GROUP_SLOTS = 1 << 16  # slots of the count that finds the heavy groups
GROUPS = 1 << 14  # groups tracked by name: the heaviest slots first
NAME = 200  # characters of a group's name that are kept
GROUP_SEED = 5


@dataclass
class Groups:
    """Documents, bytes and tokens of each group. Beyond `limit` groups, those in the heaviest
    slots of the first pass are tracked: a large group always lies in a heavy slot."""

    order: Counts  # place of each slot, heaviest first
    limit: int = GROUPS
    hash: Ids = field(default_factory=lambda: np.zeros(0, np.uint64))
    name: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    sizes: Counts = field(default_factory=lambda: np.zeros((0, 6), np.int64))
    full: bool = False  # whether some group was left out

    def add(self, scored: Scored, side: Counts) -> None:
        names, hashes, place = group_hashes(scored.source)
        columns = (np.ones(len(scored), np.int64), scored.size, scored.tokens)
        weighed = [
            np.bincount(place[side == n], weights=column[side == n], minlength=len(hashes))
            for n in (0, 1)
            for column in columns
        ]
        sizes = np.stack(weighed, axis=1).astype(np.int64)
        self._extend(hashes, pc.utf8_slice_codeunits(names, 0, NAME), sizes)

    def merge(self, other: "Groups") -> None:
        self.full |= other.full
        self._extend(other.hash, other.name, other.sizes)

    def _extend(self, hashes: Ids, names: pa.Array, sizes: Counts) -> None:
        every = np.concatenate([self.hash, hashes])
        stacked = np.concatenate([self.sizes, sizes])
        name = pa.concat_arrays([self.name, names.cast(pa.string())])
        self.hash, first, place = np.unique(every, return_index=True, return_inverse=True)
        self.name = name.take(pa.array(first))
        self.sizes = np.zeros((len(self.hash), 6), np.int64)
        np.add.at(self.sizes, place, stacked)
        self._trim()

    def _trim(self) -> None:
        if len(self.hash) <= self.limit:
            return
        rank = self.order[(self.hash >> np.uint64(48)).astype(np.int64)]
        chosen = np.sort(np.lexsort((self.hash, rank))[: self.limit])
        self.full = True
        self.hash, self.sizes = self.hash[chosen], self.sizes[chosen]
        self.name = self.name.take(pa.array(chosen))


def group_hashes(source: pa.Array) -> tuple[pa.Array, Ids, Counts]:
    """The distinct groups of a batch, their hashes, and the place of each document's group."""
    encoded = pc.fill_null(source, "").dictionary_encode()
    place = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return encoded.dictionary, kernels.fingerprint(encoded.dictionary, seed=GROUP_SEED), place
