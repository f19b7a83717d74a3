"""How far influence is to be trusted, in numbers and in words."""

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from assay.scaling.influence.distil import Ridge
from assay.selectors.ranks import spearman
from assay.selectors.records import Floats

if TYPE_CHECKING:
    from assay.scaling.influence.scorers import Aside

MOSTLY = 0.8  # of a rank correlation: two thirds of the score's ranks are then something else's
FAITHFUL = 0.6  # Spearman below which what was distilled is something else
KNOWN = 0.6  # how often a held-out target document must beat one of the corpus; chance is .5


def appraised(aside: "Aside", score: Floats, ridge: Ridge | None, documents: int) -> dict[str, Any]:
    """Plain JSON values; `score` is that of the documents weighed. What cannot be said is None."""
    seen = aside.weighed
    score = score[: len(seen)]
    some = seen.by_chance  # the others are not as the corpus is
    found: dict[str, Any] = {
        "flops": flops(aside, documents, exact=ridge is None),
        "documents_weighed": len(seen),
        "drawn_by_chance": int(some.sum()),
        "share_of_bytes_looked_at": rounded(seen.looked_at),
        "checkpoints_agree": rounded(seen.spread),
        "score_and_length": rounded(spearman(score[some], seen.bytes[some]) or 0.0),
        "score_and_loss": rounded(spearman(score[some], seen.loss[some]) or 0.0),
        "target_beats_corpus": rounded(beats(seen.check, seen.influence[some])),
        "held_out_spearman": None if ridge is None else rounded(ridge.spearman),
        "proxy": {
            "size": aside.recipe.size,
            "tokens": aside.proxy.tokens,
            "loss": rounded(aside.proxy.loss),
            "target_loss": rounded(aside.directions.target_loss),
            "apart": bool(aside.proxy.apart),
        },
    }
    if aside.recipe.precondition == "cg":
        found["residual"] = rounded(aside.directions.residual)
    return found | {"said": said(found), "checks": checks(found, ridge)}


def flops(aside: "Aside", documents: int, exact: bool) -> float:
    """Of the fit as it was; of exact scores, at most."""
    recipe = aside.recipe
    done = recipe.flops_of_training(aside.proxy.tokens)
    done += recipe.flops_of_direction(aside.directions.tokens)
    done += recipe.flops_of_weighing(aside.weighed.tokens)
    if exact:
        every = documents * recipe.windows * recipe.context
        done += recipe.flops_of_weighing(every * recipe.checkpoints)
    return float(f"{done:.4g}")


def beats(theirs: Floats, ours: Floats) -> float:
    """How often a value of the first exceeds one of the second (Mann and Whitney's U)."""
    if not len(theirs) or not len(ours):
        return float("nan")
    ranks = rankdata(np.concatenate([theirs, ours]))[: len(theirs)].sum()
    least = len(theirs) * (len(theirs) + 1) / 2
    return float((ranks - least) / (len(theirs) * len(ours)))


def rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def said(found: dict[str, Any]) -> list[str]:
    words = [
        f"influence: {found['flops']:.3g} FLOPs; score and length correlate"
        f" {found['score_and_length']:+.2f}, score and loss {found['score_and_loss']:+.2f}"
        f" (Spearman, {found['drawn_by_chance']:,} documents)"
    ]
    if found["held_out_spearman"] is not None:
        words.append(
            f"influence: distilled scores rank held-out documents as gradients do at"
            f" {found['held_out_spearman']:.2f} (Spearman)"
        )
    if found["target_beats_corpus"] is not None:
        words.append(
            "influence: a held-out target document has more influence than one of the corpus"
            f" {found['target_beats_corpus']:.0%} of the time"
        )
    return words


# What a person should look at ----------------------------------------------------------------


def checks(found: dict[str, Any], ridge: Ridge | None) -> list[dict[str, Any]]:
    made = [
        mostly("length", found["score_and_length"], "take control=gradient or control=tokens"),
        mostly("loss", found["score_and_loss"], "look at the examples; noise has a high loss too"),
        target_known(found["target_beats_corpus"]),
    ]
    return [*made, faithful(found["held_out_spearman"], ridge)] if ridge is not None else made


def mostly(what: str, number: float, remedy: str) -> dict[str, Any]:
    return check(
        f"influence_{what}",
        f"Influence or {what}",
        f"the rank correlation of score and {what} is {number:+.2f}",
        abs(number) > MOSTLY,
        number,
        f"±{MOSTLY:g}",
        f"The score then says little that the {what} of a document does not.",
        f"Compare with a selection by {what} alone; {remedy}.",
    )


def target_known(number: float | None) -> dict[str, Any]:
    told = "too few target documents to hold some out" if number is None else (
        f"a held-out target document beats one of the corpus {number:.0%} of the time"
    )  # fmt: skip
    return check(
        "influence_target",
        "Target and influence",
        told,
        number is not None and number < KNOWN,
        number,
        f"{KNOWN:.0%}; chance is 50%",
        "Gradients that do not know the target's own documents will not know others like them.",
        "Train the proxy on more tokens, take a larger size, or give more target text.",
    )


def faithful(number: float | None, ridge: Ridge) -> dict[str, Any]:
    told = "too few documents were weighed to hold some out" if number is None else (
        f"distilled scores and gradients rank {ridge.held_out:,} held-out documents alike at"
        f" {number:.2f} (Spearman)"
    )  # fmt: skip
    return check(
        "influence_distilled",
        "Distilled influence",
        told,
        number is not None and number < FAITHFUL,
        number,
        f"{FAITHFUL:g}",
        "Below it the n-grams stand for something else than influence.",
        "Weigh more documents (oracle), look at more windows, or take scoring=exact.",
    )


def check(
    name: str, title: str, found: str, fired: bool, number: float | None, limit: str, why: str,
    remedy: str,
) -> dict[str, Any]:  # fmt: skip
    """The fields of `assay.selectors.report.alarms.Check`."""
    return {
        "name": name,
        "title": title,
        "found": found,
        "fired": bool(fired),
        "number": number,
        "limit": limit,
        "why": why,
        "remedy": remedy,
    }
