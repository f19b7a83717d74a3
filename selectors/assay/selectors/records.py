"""What flows from shard to subset, as columns: documents read, and documents scored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

STAGE = "stage."  # begins the columns of all stages but the last


@dataclass(frozen=True, slots=True)
class Batch:
    """Some documents of one shard, in the shard's order, unreadable rows already taken out."""

    text: pa.Array  # string, large_string, string_view or binary: valid UTF-8, no nulls
    id: pa.Array  # string: the id column, or 32 hex digits of the text's hash where there is none
    key: Ids  # 64-bit hash of the id: ties and randomness hang on it
    row: Counts  # place in the shard, counted from 0, unreadable rows counted too
    shard: int  # place of the shard in the corpus
    source: pa.Array | None = None  # string: the column named by --group-by
    target: str = ""  # name of the target that the documents belong to; "" for raw
    # What earlier selections scored: by their names, a row for each document, in order.
    known: Mapping[str, "Scored"] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.text)


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows of the score store. `scores` has shape (documents, columns); higher is better.

    A score of -inf means that the document may not be chosen, whatever the budget.
    """

    scores: Floats
    names: tuple[str, ...]
    key: Ids
    content: Ids  # 64-bit hash of the text
    row: Counts
    shard: npt.NDArray[np.int32]
    size: Counts  # bytes of UTF-8
    tokens: Counts
    id: pa.Array
    source: pa.Array

    def __len__(self) -> int:
        return len(self.key)

    def take(self, chosen: Any) -> "Scored":
        """The rows that a mask, a slice or an array of places picks."""
        columns = ("scores", "key", "content", "row", "shard", "size", "tokens")
        picked = {name: getattr(self, name)[chosen] for name in columns}
        places = pa.array(np.arange(len(self))[chosen])
        return replace(self, **picked, id=self.id.take(places), source=self.source.take(places))


def joined(parts: Iterable[Scored]) -> Scored:
    """Several runs of rows as one, in the order given; at least one is needed."""
    rows = list(parts)
    columns = ("scores", "key", "content", "row", "shard", "size", "tokens")
    stacked: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in rows]) for name in columns
    }
    return replace(
        rows[0],
        **stacked,
        id=pa.concat_arrays([part.id for part in rows]),
        source=pa.concat_arrays([part.source for part in rows]),
    )


def best(scored: Scored) -> Floats:
    """One score for each document where there are several: the highest."""
    columns = [scored.names.index(name) for name in score_names(scored.names)]
    return scored.scores[:, columns].max(axis=1) if columns else np.zeros(len(scored))


def score_names(names: Sequence[str]) -> list[str]:
    """The columns that rank documents: "score"; without it those of several targets, "score.NAME";
    without these all that are no stage's. Others ride along, such as a standard error."""
    if "score" in names:
        return ["score"]
    own = [name for name in names if not name.startswith(STAGE)]
    return [name for name in own if name.startswith("score.")] or own
