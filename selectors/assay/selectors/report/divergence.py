"""How far the chosen text is from the target: KL divergence over hashed n-grams."""

from dataclasses import replace
from typing import Any

import numpy as np

from assay.selectors.records import Counts
from assay.selectors.report.texts import Texts
from assay.selectors.report.values import rounded
from assay.selectors.selector import Fold, Scorer
from assay.selectors.stats import Features, NgramCounts

BUCKETS = 1 << 13  # per order, where distributions are compared: Xie et al. 2023 use 10,000


def divergence(scorer: Scorer, texts: Texts, fold: Fold) -> dict[str, Any] | None:
    features = getattr(scorer, "features", None)
    if texts.counts is None or not isinstance(features, Features) or not fold.targets:
        return None
    slots, empty = texts.counts.features.slots, NgramCounts.empty(features)
    # The same questions that the fit asked: their answers were recorded.
    raw = folded(fold("raw", empty).counts, slots)
    rows: list[dict[str, Any]] = []
    reductions: list[float] = []
    for name in fold.targets:
        target = folded(fold(f"target/{name}", empty).counts, slots)
        before, after = divergences(target, raw, texts.counts.counts)
        measured = {"to_raw": before, "to_kept": after, "reduction": before - after}
        shown = {key: rounded(value) for key, value in measured.items()}
        reductions.append(shown["reduction"])
        rows.append({"target": name, **shown})
    return {
        "unit": "nats",
        "targets": rows,
        "reduction": rounded(sum(reductions) / len(reductions)),
        "features": texts.counts.features.version,
        "orders": features.orders,
        "buckets": slots,
        "smoothing": (
            "one count added to each bucket of the corpus; the kept text's share of a bucket is "
            "the corpus's times (found + 1) / (expected + 1)"
        ),
        "kept_documents": texts.counts.documents,
        "share_of_kept": rounded(texts.share),
    }


def divergences(target: Counts, raw: Counts, kept: Counts) -> tuple[float, float]:
    """KL(target || raw) and KL(target || kept), in nats.

    The raw counts get one more each. A bucket's share of the kept text is its share of the corpus
    times (found + 1) / (expected + 1): a bucket that says little, as few of it are expected, then
    counts as the corpus does, and few chosen documents do not look far from the target by chance.
    """
    p = target / max(target.sum(), 1)
    q = (raw + 1.0) / (raw.sum() + len(raw))
    r = q * (kept + 1.0) / (kept.sum() * q + 1.0)
    r /= r.sum()
    some = p > 0
    entropy = float((p[some] * np.log(p[some])).sum())
    to_raw, to_kept = (float((p[some] * np.log(model[some])).sum()) for model in (q, r))
    return entropy - to_raw, entropy - to_kept


def coarse(features: Any) -> Features | None:
    """The features with at most BUCKETS buckets per order.

    A slot of "fast" is the hash's share of the buckets, so counting with a divisor of the buckets
    is the same as adding up neighbours. "reference" takes remainders, which do not fold.
    """
    if not isinstance(features, Features):
        return None
    if features.definition != "fast":
        return features
    divisors = (n for n in range(min(BUCKETS, features.buckets), 0, -1) if not features.buckets % n)
    return replace(features, buckets=next(divisors))


def folded(counts: Counts, slots: int) -> Counts:
    """Neighbouring slots added up."""
    summed: Counts = counts.reshape(slots, len(counts) // slots).sum(axis=1)
    return summed
