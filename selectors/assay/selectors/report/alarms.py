"""Signs that a selection went wrong: what was found, the number, why it matters, what to do.

Every check is made from the report's findings alone, and every limit is a constant with its reason.
A limit is not a law: an alarm asks a person to look.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.selectors.report.words import many, named, percent, quoted, signed

BY_CHANCE = ("uniform", "dedup")  # methods that sample what they allow: all their scores are alike
RANK_CORRELATION = 0.5  # length alone then explains a quarter of the scores' ranks
HARDLY_MORE = 0.9  # the scores then say little that the length does not
LENGTH_RATIO = 2.0  # kept documents twice, or half, as long as the corpus's on average
GROUP_SHARE = 0.8  # of the kept tokens: what is left cannot balance it
GROUP_LIFT = 2.0  # a group that is large in the corpus may be large in the subset
EXTRA_COPIES = 0.01  # of the kept documents: a hundredth of the budget buys nothing new
COPIES = 100  # of one text: Hernandez et al. 2022 (arXiv:2205.10487) see harm from 100 repeats on
SHARED_SCORE = 0.2  # of the corpus: a fifth that the score cannot put in order
ANY = 0  # leaked target documents and ambiguous ids are wrong at any number


@dataclass(frozen=True)
class Check:
    """One question asked of a selection, and its answer."""

    name: str
    title: str
    found: str  # what was found, with its number
    fired: bool
    number: float | None  # None where the question does not arise
    limit: str
    why: str
    remedy: str

    @property
    def sentence(self) -> str:
        """All of it on one line."""
        return f"{self.title}: {self.found}. {self.why} {self.remedy}"

    def entry(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "name": self.name,
            "title": self.title,
            "fired": self.fired,
            "number": self.number,
            "limit": self.limit,
            "found": self.found,
            "why": self.why,
            "what_to_do": self.remedy,
        }


def checks(findings: Mapping[str, Any]) -> list[Check]:
    """Every check, those that fire and those that do not."""
    return [
        length_bias(findings),
        length_shift(findings),
        one_group(findings),
        repeated_texts(findings),
        ambiguous_ids(findings),
        target_inside(findings),
        shared_score(findings),
        *of_the_method(findings),
    ]


def of_the_method(findings: Mapping[str, Any]) -> list[Check]:
    """What the method itself has measured of its scores."""
    told = findings.get("appraisal") or {}
    return [Check(**one) for one in told.get("checks", ())]


def length_bias(findings: Mapping[str, Any]) -> Check:
    lengths = findings["lengths"]
    found = lengths["rank_correlation"]
    longer = "longer" if (found or 0) > 0 else "shorter"
    limit = RANK_CORRELATION
    return Check(
        "length_bias",
        "Length bias",
        "the scores are all alike, so length has no part in them"
        if found is None
        else f"the rank correlation of score and length is {signed(found)} over "
        f"{lengths['sample']:,} documents",
        found is not None and abs(found) >= (HARDLY_MORE if as_the_target(lengths) else limit),
        found,
        f"±{limit:g}; ±{HARDLY_MORE:g} where kept documents are as long as the target's",
        f"The score may be picking {longer} documents rather than better ones.",
        "Look at the examples near the cut; normalise the score by length if the method can, or "
        "limit the length of what may be chosen.",
    )


def length_shift(findings: Mapping[str, Any]) -> Check:
    means = findings["lengths"]["mean"]
    kept, corpus, target = means["kept"], means["corpus"], means.get("target")
    ratio = kept / corpus if kept and corpus else None
    beside = f"; the target's have {target:,.0f}" if target else ""
    return Check(
        "length_shift",
        "Length shift",
        "there is nothing to compare"
        if ratio is None
        else f"a kept document has {kept:,.0f} tokens on average, {ratio:.2f} times the corpus's "
        f"{corpus:,.0f}{beside}",
        ratio is not None and not similar(ratio) and not as_the_target(findings["lengths"]),
        ratio,
        f"outside {1 / LENGTH_RATIO:g} to {LENGTH_RATIO:g} times the corpus's and target's means",
        "Document length shapes what a model learns, and a budget in documents then buys far "
        "fewer or far more tokens than its share.",
        "If this is not intended, give the budget in tokens and limit the length of documents.",
    )


def as_the_target(lengths: Mapping[str, Any]) -> bool:
    """Whether kept documents are about as long as the target's: a shift that was asked for."""
    kept, target = lengths["mean"]["kept"], lengths["mean"].get("target")
    return bool(kept and target) and similar(kept / target)


def similar(ratio: float) -> bool:
    return 1 / LENGTH_RATIO <= ratio <= LENGTH_RATIO


def one_group(findings: Mapping[str, Any]) -> Check:
    groups = findings["groups"]
    rows = groups["shown"]
    largest = max(rows, key=lambda row: row["kept"]["share_of_tokens"], default=None)
    several = groups["count"] > 1 and largest is not None
    share = largest["kept"]["share_of_tokens"] if largest else 0.0
    lift = (largest["lift"] if largest else None) or 0.0
    what = f"the largest {groups['by']}"
    return Check(
        "one_group",
        "One group takes over",
        f"{what}, {quoted(largest['name'])}, has {percent(share)} of the kept tokens, {lift:.1f} "
        f"times its share of the corpus"
        if several and largest
        else f"there is one {groups['by']} only",
        several and share > GROUP_SHARE and lift > GROUP_LIFT,
        share if several else None,
        f"{GROUP_SHARE * 100:g} % and {GROUP_LIFT:g} times",
        "A subset of one kind trains a model of one kind, and its score may tell the group rather "
        "than the quality.",
        "Select within each group by itself, or add targets of the kinds that are missing.",
    )


def repeated_texts(findings: Mapping[str, Any]) -> Check:
    found = findings["duplicates"]["text"]
    share = found["extra"] / max(found["looked_at"], 1)
    most = found["most"][0]["times"] if found["most"] else 1
    return Check(
        "repeated_texts",
        "Exact duplicates",
        f"{found['extra']:,} of {looked(found, 'kept documents')} repeat another's text "
        f"({percent(share)}); the commonest text is there {many(most, 'time')}"
        if found["extra"]
        else f"none of {looked(found, 'kept documents')} repeats another's text",
        share > EXTRA_COPIES or most >= COPIES,
        share,
        f"{EXTRA_COPIES * 100:g} % of them, or {COPIES} of one text",
        "Repeats spend the budget twice and teach a model to recite.",
        "Deduplicate the corpus first (assay select dedup), then select again.",
    )


def ambiguous_ids(findings: Mapping[str, Any]) -> Check:
    found = findings["duplicates"]["id"]
    return Check(
        "ambiguous_ids",
        "Ids that are not unique",
        f"{many(found['ambiguous'], 'id')} of {looked(found, 'kept documents')} "
        f"{'stands' if found['ambiguous'] == 1 else 'stand'} for different texts"
        + named(found["ambiguous_ids"])
        if found["ambiguous"]
        else f"no id of {looked(found, 'kept documents')} stands for two texts",
        found["ambiguous"] > ANY,
        float(found["ambiguous"]),
        "any",
        "Explanations, differences and joins go by id, and would meet the wrong document.",
        "Name a column that is unique with --id-column, or leave ids out to use the text's hash.",
    )


def target_inside(findings: Mapping[str, Any]) -> Check:
    found = findings["target_documents"]
    count = found["kept_with_one"] if found else 0
    return Check(
        "target_inside",
        "Target documents among the kept",
        _inside(found) if found else "there is no target",
        count > ANY,
        float(count) if found else None,
        "any",
        "If the target is also what the model is judged by, its results would be memory.",
        "Take these documents out of the corpus, or judge by held-out data that is not the target.",
    )


def _inside(found: Mapping[str, Any]) -> str:
    count, share = found["kept_with_one"], found["share_of_kept"]
    kept = f"{found['kept_looked_at']:,} kept documents"
    if share < 1:
        kept += f" (a sample of {percent(share)}, by hash)"
    if not count:
        return f"none of {kept} contains a whole target document"
    contain = "contains" if count == 1 else "contain"
    return (
        f"{count:,} of {kept} {contain} a whole target document, "
        f"{many(found['found'], 'different one')} in all{named(found['ids'])}"
    )


def shared_score(findings: Mapping[str, Any]) -> Check:
    scores, corpus = findings["scores"], findings["totals"]["corpus"]["documents"]
    common = scores["commonest"]
    share = common["documents"] / max(corpus, 1)
    score = f"{common['score']:.6g}".replace("-", "−")
    chance = findings["selection"]["method"] in BY_CHANCE
    # Where all of them are kept, or none, their order decides nothing.
    split = 0 < common["kept"] < common["documents"]
    return Check(
        "shared_score",
        "Score saturation",
        "every score is the same, as a random sample's are"
        if chance
        else f"the commonest score, {score}, is shared by {percent(share)} of the documents; "
        f"{common['kept']:,} of these {common['documents']:,} are kept",
        not chance and split and share > SHARED_SCORE,
        None if chance else share,
        f"{SHARED_SCORE * 100:g} % of them, on both sides of the cut",
        "Among them the choice is made by a hash of the id, not by the method.",
        "Use a finer score (more buckets, longer n-grams, more target text), or a smaller budget.",
    )


def looked(found: Mapping[str, Any], what: str) -> str:
    share = found["share_looked_at"]
    sample = "" if share == 1 else f" (a sample of 1 in {round(1 / share):,}, by hash)"
    return f"{found['looked_at']:,} {what}{sample}"
