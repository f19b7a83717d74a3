"""One unit of the corpus, scored: read, measured, scored, written to the score store."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from assay.native import kernels
from assay.selectors import quarantine, scores, storage
from assay.selectors.earlier import Earlier
from assay.selectors.errors import BrokenMethod
from assay.selectors.records import Batch, Counts, Floats, Scored
from assay.selectors.scores import ScoreFile
from assay.selectors.selector import CountsTokens, Scorer
from assay.selectors.shards import Corpus, Reading, Unit, batches

CONTENT_SEED = 3  # of the hash of a text; ids use seeds 0, 1 and 2


@dataclass(frozen=True)
class Scoring:
    """Scores a unit and says where its scores stand. Goes to the workers."""

    corpus: Corpus
    names: tuple[str, ...]  # of the shards
    reading: Reading
    scorer: Scorer
    out: str
    earlier: Earlier = field(default_factory=Earlier)

    def __call__(self, unit: Unit) -> ScoreFile:
        uri = storage.join(self.out, "scores", scores.file_name(unit.shard, unit.number))
        if finished := scores.find(uri):
            return finished
        reasons: Counter[str] = Counter()
        folder = storage.join(self.out, "quarantine")
        place, name = (unit.shard, unit.number), self.names[unit.shard]
        # The quarantine is finished first: where the score file stands, both are whole.
        with scores.writing(uri, self.scorer.names) as file:
            with quarantine.writing(folder, place, name) as bad_rows:
                for read in batches(self.corpus.shards[unit.shard], unit, self.reading):
                    reasons.update(bad.reason for bad in read.bad)
                    bad_rows.extend(read.bad)
                    if len(read.batch):
                        known = self.earlier.attached(read.batch, unit.number)
                        file.add(scored(known, self.scorer, name))
            file.note_bad_rows(reasons)
        return file.finished()


def scored(batch: Batch, scorer: Scorer, shard_name: str) -> Scored:
    """A batch measured and scored."""
    source = batch.source
    found, tokens = _scores_and_tokens(scorer, batch)
    return Scored(
        scores=_checked(scorer, found, len(batch)),
        names=scorer.names,
        key=batch.key,
        content=kernels.fingerprint(batch.text, seed=CONTENT_SEED),
        row=batch.row,
        shard=np.full(len(batch), batch.shard, np.int32),
        size=sizes(batch.text),
        tokens=tokens,
        id=batch.id,
        source=pa.repeat(shard_name, len(batch)) if source is None else source,
    )


def _scores_and_tokens(scorer: Scorer, batch: Batch) -> tuple[Floats, Counts]:
    if isinstance(scorer, CountsTokens):
        return scorer.score_and_count(batch)
    return scorer.score(batch), kernels.count_tokens(batch.text)


def sizes(text: pa.Array) -> Counts:
    """Bytes of each text."""
    lengths = pc.binary_length(text).to_numpy(zero_copy_only=False)
    return np.asarray(lengths, np.int64)


def _checked(scorer: Scorer, found: npt.NDArray[np.floating], documents: int) -> Floats:
    """The scores as (documents, columns), if they keep the contract."""
    who, columns = type(scorer).__name__, len(scorer.names)
    scores_found = np.asarray(found, np.float64)
    if scores_found.ndim == 1:
        scores_found = scores_found[:, None]
    if scores_found.shape != (documents, columns):
        raise BrokenMethod(
            f"{who} returned scores of shape {scores_found.shape} for {documents} documents and "
            f"columns {scorer.names}: shape ({documents}, {columns}) is asked for"
        )
    if not (scores_found < np.inf).all():
        raise BrokenMethod(f"{who} returned a score that is not a number or is infinite")
    if clash := set(scorer.names) & set(scores.FIXED):
        raise BrokenMethod(f"{who} calls a score column {clash.pop()!r}: the score store does too")
    return scores_found
