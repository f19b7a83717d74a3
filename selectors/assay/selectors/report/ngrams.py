"""The n-grams that told: what they add to the scores of some documents."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from assay.selectors.records import Batch
from assay.selectors.report.values import rounded
from assay.selectors.selector import Explains

TELLING = 20  # n-grams listed for, and as many against


def telling(scorer: Explains, texts: Sequence[str]) -> dict[str, Any] | None:
    """What n-grams add to the score of a document on average, the largest for and against."""
    adds: defaultdict[str, float] = defaultdict(float)
    documents: defaultdict[str, int] = defaultdict(int)
    for number, text in enumerate(texts):
        found = scorer.explain(_alone(text, number)).get("ngrams")
        if not isinstance(found, list):
            return None
        for entry in found:
            adds[entry["ngram"]] += entry["adds"]
            documents[entry["ngram"]] += 1
    ranked = sorted(adds, key=lambda ngram: (-adds[ngram], ngram))
    rows: list[dict[str, Any]] = [
        {"ngram": n, "adds": rounded(adds[n] / len(texts)), "documents": documents[n]}
        for n in ranked
    ]
    return {
        "documents": len(texts),
        "for": [row for row in rows[:TELLING] if row["adds"] > 0],
        "against": [row for row in rows[: -TELLING - 1 : -1] if row["adds"] < 0],
    }


def _alone(text: str, number: int) -> Batch:
    ids = pa.array([str(number)])
    row, key = np.array([number]), np.array([number], np.uint64)
    return Batch(pa.array([text], pa.string()), ids, key, row, 0)
