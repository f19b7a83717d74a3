"""Deduplication: of documents that are the same, or nearly the same, one stays.

The same: byte by byte. Nearly: MinHash signatures (Broder 1997) that agree in at least one band, so
that documents which share the threshold's part of their shingles are likely to meet; that is how
GPT-3, the Pile and FineWeb were deduplicated. Whom others connect is in one cluster too. One pass
over the texts notes the bands in the score store; clusters are found there, whatever the number of
shards (selectors/clusters.py). What is kept of what is left: a uniform sample.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from assay.selectors.budget import Budget
from assay.selectors.choice import Only, Sampled, top
from assay.selectors.clusters import Bands, Clusters, OneOfEach, clusters
from assay.selectors.records import Batch, Floats, Scored
from assay.selectors.selector import Fold, Read, Rule
from assay.selectors.sketch import Sketch, shape

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class BandScores:
    """Every document scores 0; what its bands are rides along."""

    sketch: Sketch
    threshold: float
    names: tuple[str, ...]

    def score(self, batch: Batch) -> Floats:
        found = np.zeros((len(batch), len(self.names)))
        if len(self.names) > 1:
            found[:, 1:] = self.sketch.bands(batch.text, self.threshold)
        return found


@dataclass(frozen=True)
class Dedup:
    """One of each cluster of equal or nearly equal documents."""

    near: Annotated[bool, Field(description="false: only texts that are equal byte by byte")] = True
    threshold: Annotated[
        float,
        Field(gt=0, le=1, description="share of common shingles at which two documents are near"),
    ] = 0.7
    permutations: Annotated[
        int, Field(ge=2, le=1024, description="of a signature: more tell better, and cost more")
    ] = 128
    shingle: Annotated[
        int, Field(ge=1, le=100, description="a shingle is a run of this many tokens")
    ] = 5
    hash: Annotated[
        Literal["fast", "sha1"],
        Field(description="of a shingle: fast, or sha1 as datasketch has it by itself"),
    ] = "fast"
    seed: Annotated[
        int, Field(ge=0, lt=1 << 32, description="of the permutations, as datasketch's seed")
    ] = 1
    memory: Annotated[
        int, Field(ge=1, description="MB that buckets may take; the answer does not depend on it")
    ] = 1000

    def fit(self, fold: Fold) -> BandScores:
        return BandScores(self._sketch(), self.threshold, ("score", *self._bands()))

    def choose(self, budget: Budget, fold: Fold) -> Rule:
        return top(budget, fold, Only(Sampled(fold.seed), OneOfEach.of(self._clusters(fold))))

    def explain_choice(self, document: Scored, fold: Fold, read: Read) -> dict[str, Any]:
        """The document's cluster, and how near it is to the one that stays."""
        found = self._clusters(fold)
        number = int(found.places.of(document)[0])
        stays = found.top(number)
        ours, other = (read(*found.places.find(place)) for place in (number, stays))
        return {
            "cluster": len(found.members(number)),
            "representative": other.id[0].as_py(),
            "representative_shard": other.shard,
            "representative_row": int(other.row[0]),
            "is_representative": stays == number,
            "identical": bool(ours.text[0] == other.text[0]),
            "estimated_jaccard": self._sketch().jaccard(ours.text, other.text),
        }

    def _clusters(self, fold: Fold) -> Clusters:
        names = self._bands()
        return clusters(fold, Bands(names) if names else None, self.memory * MEGABYTE)

    def _bands(self) -> tuple[str, ...]:
        """The columns of the bands, in the score store."""
        if not self.near:
            return ()
        bands, _rows = shape(self.threshold, self.permutations)
        return tuple(f"dedup.band{band:03d}" for band in range(bands))

    def _sketch(self) -> Sketch:
        return Sketch(self.permutations, self.shingle, self.seed, self.hash)
