"""What a selection did to its corpus, in numbers: everything that the report says.

Two passes over the score store, one over the chosen text and one over the target. Counts are
integers, samples are drawn by hash, and what may be tracked is capped, so the findings do not
depend on who counted in which order, and memory does not grow with the corpus.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from assay.selectors.examples import SHOWN
from assay.selectors.ranks import spearman
from assay.selectors.records import Counts, Floats
from assay.selectors.report.divergence import coarse, divergence
from assay.selectors.report.groups import Groups
from assay.selectors.report.leaks import WINDOW, Leaks, Passages
from assay.selectors.report.ngrams import telling
from assay.selectors.report.outcome import Outcome
from assay.selectors.report.repeats import Repeats
from assay.selectors.report.surveys import LENGTH_EDGES, Detail, Survey
from assay.selectors.report.texts import Excerpts, Texts
from assay.selectors.report.values import SIDES, SIZES, rounded, sized
from assay.selectors.selector import Explains, Fold, Portrays, Scorer

FORMAT = "assay.report/1"
GROUPS_SHOWN = 30
LISTED = 20  # files listed of each kind


def find(outcome: Outcome, fold: Fold) -> dict[str, Any]:
    """Everything that the report says, as plain JSON values."""
    survey = fold("scores", Survey(outcome.rule))
    detail = fold("scores", Detail.after(survey))
    passages = {name: fold(f"target/{name}", Passages()) for name in fold.targets}
    features = coarse(getattr(outcome.scorer, "features", None))
    reading = Texts.of(features, list(passages.values()), outcome.content)
    asked = passages or features or isinstance(outcome.scorer, Explains)
    texts = fold("kept", reading) if asked and survey.totals[1, 0] else reading
    return {
        "format": FORMAT,
        "selection": _selection(outcome),
        "totals": _totals(survey.totals),
        "scores": _scores(outcome.scorer, survey, detail),
        "lengths": _lengths(survey, passages),
        "groups": _groups(outcome, survey, detail.groups),
        "directions": _directions(outcome),
        "appraisal": outcome.content.get("appraisal"),
        "divergence": divergence(outcome.scorer, texts, fold),
        "ngrams": _ngrams(outcome, texts.sample),
        "duplicates": _duplicates(survey, detail),
        "target_documents": _leaks(passages, texts.leaks),
        "examples": _examples(outcome),
    }


def _directions(outcome: Outcome) -> dict[str, Any] | None:
    """What the directions of a scorer are made of, and how much their tops have in common."""
    if not isinstance(outcome.scorer, Portrays):
        return None
    cut = outcome.rule.describe()
    tails = [{"name": name, "spent": rule["spent"], "limit": rule["limit"], "unit": rule["unit"]}
             for name, rule in cut.get("any_of", {}).items()]  # fmt: skip
    return outcome.scorer.portrait() | {"tails": tails, "overlap": cut.get("overlap")}


def _examples(outcome: Outcome) -> list[dict[str, Any]]:
    near = sorted(outcome.examples, key=_near_first)
    sides = ([example for example in near if example["kept"] is side] for side in (True, False))
    return [example for side in sides for example in side[:SHOWN]]


def _near_first(example: Mapping[str, Any]) -> tuple[bool, float, str]:
    kept, score = bool(example["kept"]), float(example["score"])
    return not kept, score if kept else -score, str(example["id"])


# What was asked ------------------------------------------------------------------------------


def _selection(outcome: Outcome) -> dict[str, Any]:
    content = outcome.content
    request = content.get("request", {})
    return {
        "method": outcome.spec.method,
        "settings": dict(outcome.spec.settings),
        "budget": request.get("budget", outcome.spec.budget),
        "seed": outcome.spec.seed,
        "text_column": outcome.spec.text_column,
        "group_by": outcome.spec.group_by,
        "targets": sorted(outcome.spec.target),
        "corpus": content["corpus"],
        "spent": content["spent"],
        "cut": content["cut"],
        "versions": content.get("versions", {}),
        "inputs": _inputs(request.get("inputs", {})),
        "parts": _listed(content.get("parts", [])),
        "verify": "assay verify manifest.json",
    }


def _inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    targets = inputs.get("target", {})
    return {
        "raw": _listed(inputs.get("raw", [])),
        "target": {name: _listed(shards) for name, shards in targets.items()},
    }


def _listed(entries: Sequence[Any]) -> dict[str, Any]:
    """The first few: the manifest has them all."""
    return {"count": len(entries), "first": list(entries[:LISTED])}


def _totals(totals: Counts) -> dict[str, dict[str, int]]:
    rows = {"corpus": totals.sum(axis=0), "kept": totals[1], "dropped": totals[0]}
    return {side: sized(row) for side, row in rows.items()}


# What was found, as plain values -----------------------------------------------------------------


def _scores(scorer: Scorer, survey: Survey, detail: Detail) -> dict[str, Any]:
    sample = survey.sample.drawn()
    finite = np.isfinite(sample.score)
    sides: dict[str, Any] = {}
    for number, side in enumerate(SIDES):
        some = sample.score[finite & (sample.kept == bool(number))]
        documents = int(survey.totals[number, 0] - survey.ruled_out[number])
        sides[side] = {
            "documents": documents,
            "low": float(survey.low[number]) if documents else None,
            "median": float(np.median(some)) if len(some) else None,
            "high": float(survey.high[number]) if documents else None,
        }
    return {
        "columns": list(scorer.names),
        "ruled_out": int(survey.ruled_out.sum()),
        **sides,
        "cut": survey.cut,
        "histogram": {
            "edges": [float(edge) for edge in detail.edges],
            **{side: row[1:-1].tolist() for side, row in zip(SIDES, detail.histogram, strict=True)},
            "below": detail.histogram[:, 0].tolist(),
            "above": detail.histogram[:, -1].tolist(),
        },
        "commonest": {
            "score": detail.common,
            "documents": int(detail.shared.sum()),
            "kept": int(detail.shared[1]),
        },
        "sample": len(sample.priority),
    }


def _lengths(survey: Survey, passages: Mapping[str, Passages]) -> dict[str, Any]:
    used = np.flatnonzero(survey.lengths.sum(axis=0))
    bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
    sample = survey.sample.drawn()
    finite = np.isfinite(sample.score)
    counts = dict(zip(SIDES, survey.lengths[:, bins].tolist(), strict=True))
    means = _means(survey.totals)
    correlation = spearman(sample.score[finite], sample.tokens[finite])
    target = sum(some.documents for some in passages.values())
    if target:
        means["target"] = rounded(sum(some.tokens for some in passages.values()) / target)
    return {
        "unit": "tokens",
        "edges": LENGTH_EDGES[bins.start : bins.stop + 1].tolist(),
        **counts,
        "mean": means,
        "rank_correlation": None if correlation is None else rounded(correlation),
        "sample": int(finite.sum()),
    }


def _means(totals: Counts) -> dict[str, float | None]:
    rows = {"corpus": totals.sum(axis=0), "kept": totals[1], "dropped": totals[0]}
    return {
        side: rounded(int(row[2]) / int(row[0])) if row[0] else None for side, row in rows.items()
    }


def _groups(outcome: Outcome, survey: Survey, groups: Groups) -> dict[str, Any]:
    totals = survey.totals
    shares = _token_shares(groups.sizes, totals)
    order = np.lexsort((groups.hash, -shares.max(axis=1)))[:GROUPS_SHOWN]
    order = order[np.lexsort((groups.hash[order], -shares[order, 1], -shares[order, 0]))]
    rows = [
        {"name": groups.name[int(place)].as_py()} | _group(groups.sizes[place], totals)
        for place in order
    ]
    rest = np.concatenate([totals[0], totals[1]]) - groups.sizes[order].sum(axis=0)
    count = len(groups.hash)
    return {
        "by": outcome.spec.group_by or "shard",
        "count": count,
        "count_is_exact": not groups.full,
        "shown": rows,
        "rest": _group(rest, totals) if groups.full or count > len(order) else None,
    }


def _token_shares(sizes: Counts, totals: Counts) -> Floats:
    """Of each group: its share of the kept tokens, and of the corpus's."""
    kept = sizes[:, 5] / max(int(totals[1, 2]), 1)
    corpus = (sizes[:, 2] + sizes[:, 5]) / max(int(totals[:, 2].sum()), 1)
    return np.stack([kept, corpus], axis=1)


def _group(sizes: Counts, totals: Counts) -> dict[str, Any]:
    sides = {"corpus": sizes[:3] + sizes[3:], "kept": sizes[3:]}
    whole = {"corpus": totals.sum(axis=0), "kept": totals[1]}
    row: dict[str, Any] = {}
    for side, values in sides.items():
        shares = [float(v) / max(int(t), 1) for v, t in zip(values, whole[side], strict=True)]
        row[side] = sized(values) | {
            f"share_of_{size}": rounded(share) for size, share in zip(SIZES, shares, strict=True)
        }
    kept, corpus = row["kept"]["share_of_tokens"], row["corpus"]["share_of_tokens"]
    return row | {"lift": rounded(kept / corpus) if corpus else None}


def _duplicates(survey: Survey, detail: Detail) -> dict[str, Any]:
    contents, ids = survey.contents.settled(), survey.ids.settled()
    times = dict(zip(contents.value.tolist(), contents.times.tolist(), strict=True))
    most = [
        {"id": detail.named["content", value], "times": times[value]}
        for value in detail.contents.tolist()
    ]
    return {
        "text": _repeated(contents) | {"most": most},
        "id": _repeated(ids)
        | {
            "ambiguous": int((ids.low != ids.high).sum()),
            "ambiguous_ids": [detail.named["id", value] for value in detail.ids.tolist()],
        },
    }


def _repeated(repeats: Repeats) -> dict[str, Any]:
    return {
        "looked_at": int(repeats.times.sum()),
        "share_looked_at": 2.0**-repeats.level,
        "extra": int((repeats.times - 1).sum()),  # beyond the first of each
        "repeated": int((repeats.times > 1).sum()),
    }


def _leaks(passages: Mapping[str, Passages], leaks: Leaks) -> dict[str, Any] | None:
    if not passages:
        return None
    return {
        "targets": {
            name: {
                "documents": some.documents,
                "too_short": some.short,
                "looked_for": len(some.found),
            }
            for name, some in passages.items()
        },
        "window": WINDOW,
        "kept_looked_at": leaks.looked,
        "share_of_kept": rounded(leaks.share),
        "kept_with_one": leaks.documents,
        "found": int(leaks.found.sum()),
        "ids": [name for _, name in leaks.named],
    }


def _ngrams(outcome: Outcome, sample: Excerpts) -> dict[str, Any] | None:
    if not isinstance(outcome.scorer, Explains):
        return None
    dropped = [example["text"] for example in outcome.examples if not example["kept"]]
    kept = telling(outcome.scorer, [text for *_, text in sample.found])
    if kept is None:
        return None
    return {"kept": kept, "dropped_near_the_cut": telling(outcome.scorer, dropped)}
