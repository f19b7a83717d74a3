"""The published rules of quality: C4, Gopher and FineWeb, and the statistics that they look at.

    C4       Raffel et al. 2020, "Exploring the limits of transfer learning", section 2.2
    Gopher   Rae et al. 2021, arXiv:2112.11446, appendix A.1.1; table A1 for the repetition
    FineWeb  Penedo et al. 2024, arXiv:2406.17557, section 3.6

Where a paper leaves a reading open, ours is in docs/quality-dedup.md. A document is judged whole:
no line is taken out of it. The statistics ride along in the score store under their own names, so
another threshold costs no further pass over the texts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from assay.native import kernels
from assay.selectors.budget import Budget
from assay.selectors.choice import Sampled, top
from assay.selectors.records import Batch, Floats, Mask
from assay.selectors.selector import Fold, Rule

RuleSet = Literal["c4", "gopher", "fineweb"]


@dataclass(frozen=True)
class Bound:
    """What a statistic may be: at least, or at most, a threshold; `beyond`: and not equal to it."""

    statistic: str
    way: Literal["at least", "at most"]
    threshold: float
    beyond: bool = False

    def holds(self, values: Floats) -> Mask:
        inside: Mask = values > self.threshold
        if self.way == "at most":
            inside = values < self.threshold
        return inside if self.beyond else inside | (values == self.threshold)

    @property
    def wanted(self) -> str:
        return f"{self.way} {self.threshold:g}" + (", not equal" if self.beyond else "")


def _least(statistic: str, threshold: float, beyond: bool = False) -> Bound:
    return Bound(statistic, "at least", threshold, beyond)


def _most(statistic: str, threshold: float, beyond: bool = False) -> Bound:
    return Bound(statistic, "at most", threshold, beyond)


# Shares of rules kept differ by 1/38 at least; at this temperature noise beats that once in e^100.
COLD = 1e-4

TOP_NGRAMS = {2: 0.20, 3: 0.18, 4: 0.16}  # Gopher, table A1
DUPLICATE_NGRAMS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}

RULES: Mapping[str, Bound] = {
    "c4.min_sentences": _least("c4_sentences", 5),
    "c4.no_lorem_ipsum": _most("lorem_ipsum", 0),
    "c4.no_curly_brackets": _most("curly_brackets", 0),
    "gopher.min_words": _least("words", 50),
    "gopher.max_words": _most("words", 100_000),
    "gopher.min_mean_word_length": _least("mean_word_length", 3),
    "gopher.max_mean_word_length": _most("mean_word_length", 10),
    "gopher.max_hash_ratio": _most("hash_ratio", 0.1),
    "gopher.max_ellipsis_ratio": _most("ellipsis_ratio", 0.1),
    "gopher.max_bullet_lines": _most("bullet_lines", 0.9),
    "gopher.max_ellipsis_lines": _most("ellipsis_lines", 0.3),
    "gopher.min_alphabetic_words": _least("alphabetic_words", 0.8),
    "gopher.min_stop_words": _least("stop_words", 2),
    "gopher.max_duplicate_lines": _most("duplicate_lines", 0.30),
    "gopher.max_duplicate_paragraphs": _most("duplicate_paragraphs", 0.30),
    "gopher.max_duplicate_line_characters": _most("duplicate_line_characters", 0.20),
    "gopher.max_duplicate_paragraph_characters": _most("duplicate_paragraph_characters", 0.20),
    **{
        f"gopher.max_top_{n}gram": _most(f"top_{n}gram_characters", most)
        for n, most in TOP_NGRAMS.items()
    },
    **{
        f"gopher.max_duplicate_{n}gram": _most(f"duplicate_{n}gram_characters", most)
        for n, most in DUPLICATE_NGRAMS.items()
    },
    "fineweb.min_terminal_lines": _least("terminal_lines", 0.12, beyond=True),
    "fineweb.max_short_lines": _most("short_lines", 0.67, beyond=True),
    "fineweb.max_duplicate_line_text": _most("duplicate_line_text", 0.01, beyond=True),
    "fineweb.max_newline_ratio": _most("newline_ratio", 0.3),
}


@dataclass(frozen=True)
class Judgement:
    """Statistics of a document against some rules."""

    rules: tuple[tuple[str, Bound], ...]
    drop: bool  # who breaks a rule may not be chosen
    statistics: tuple[str, ...]  # those that ride along

    @property
    def names(self) -> tuple[str, ...]:
        passed = tuple(f"passed.{name}" for name in self._sets())
        return ("score", *passed, *(f"stat.{name}" for name in self.statistics))

    def score(self, batch: Batch) -> Floats:
        found = kernels.surface(batch.text)
        holds = self._holds(found)
        shares = [holds[:, place].mean(axis=1) for place in self._sets().values()]
        score = holds.mean(axis=1)
        if self.drop:
            score = np.where(holds.all(axis=1), score, -np.inf)
        columns = [kernels.STATISTICS.index(name) for name in self.statistics]
        return np.column_stack([score, *shares, found[:, columns]])

    def explain(self, batch: Batch) -> dict[str, Any]:
        """The rules that the document breaks, with what was found; then every statistic."""
        found = kernels.surface(batch.text)
        holds = self._holds(found)[0]
        values = dict(zip(kernels.STATISTICS, found[0].tolist(), strict=True))
        broken = [rule for rule, kept in zip(self.rules, holds, strict=True) if not kept]
        return {
            "broken": [
                {
                    "rule": name,
                    "statistic": bound.statistic,
                    "found": values[bound.statistic],
                    "wanted": bound.wanted,
                }
                for name, bound in broken
            ],
            "rules": len(self.rules),
            "statistics": values,
        }

    def _holds(self, found: Floats) -> Mask:
        """Shape (documents, rules)."""
        places = [kernels.STATISTICS.index(bound.statistic) for _, bound in self.rules]
        pairs = zip(places, self.rules, strict=True)
        return np.column_stack([bound.holds(found[:, place]) for place, (_, bound) in pairs])

    def _sets(self) -> dict[str, list[int]]:
        """The places of each set's rules."""
        sets: dict[str, list[int]] = {}
        for place, (name, _) in enumerate(self.rules):
            sets.setdefault(name.partition(".")[0], []).append(place)
        return sets


@dataclass(frozen=True)
class Quality:
    """Documents that keep the published rules of quality: C4, Gopher, FineWeb."""

    rules: Annotated[
        RuleSet | tuple[RuleSet, ...],
        Field(description="c4, gopher, fineweb, or a list of them"),
    ] = "gopher"
    thresholds: Annotated[
        dict[str, float | None],
        Field(description="others than published, {gopher.min_words: 20}; null: without the rule"),
    ] = field(default_factory=dict)
    failing: Annotated[
        Literal["drop", "last"],
        Field(description="drop: never chosen; last: the more rules it breaks, the later"),
    ] = "drop"
    statistics: Annotated[
        Literal["all", "used"],
        Field(description="which ride along in the score store: all, or those the rules look at"),
    ] = "all"

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.thresholds) - set(self._published())):
            raise ValueError(
                f"thresholds names {unknown[0]!r}, which is no rule of {', '.join(self._sets())}: "
                f"known are {', '.join(self._published())}"
            )
        if not self._bounds():
            raise ValueError("no rule is left: name a set of rules, or take back a null threshold")

    def fit(self, fold: Fold) -> Judgement:
        rules = self._bounds()
        used = {bound.statistic for _, bound in rules}
        some = (name for name in kernels.STATISTICS if self.statistics == "all" or name in used)
        return Judgement(rules, self.failing == "drop", tuple(some))

    def choose(self, budget: Budget, fold: Fold) -> Rule:
        """Who keeps more rules comes first; of those that keep as many, a uniform sample."""
        return top(budget, fold, Sampled(fold.seed, COLD))

    def _bounds(self) -> tuple[tuple[str, Bound], ...]:
        """The rules with the thresholds that were asked for."""
        found = []
        for name, bound in self._published().items():
            threshold = self.thresholds.get(name, bound.threshold)
            if threshold is not None:
                found.append((name, replace(bound, threshold=threshold)))
        return tuple(found)

    def _published(self) -> dict[str, Bound]:
        sets = self._sets()
        return {name: bound for name, bound in RULES.items() if name.partition(".")[0] in sets}

    def _sets(self) -> tuple[str, ...]:
        return (self.rules,) if isinstance(self.rules, str) else self.rules
