"""Methods one after the other: each stage rules documents out, the last one spends the budget.

All are fitted on the whole corpus and scored in one pass, so every choice and every what-if is read
from the score store alone. Columns of a stage are called stage.NAME.COLUMN there;
the last stage's keep their names.

A stage leaves what its method does not rule out; of that, where it is asked for, a budget of its
own (`keep`) and what reaches a score (`least`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, cast

import numpy as np

from assay.selectors.budget import Budget
from assay.selectors.errors import BadBudget
from assay.selectors.records import STAGE, Batch, Counts, Floats, Mask, Scored, best
from assay.selectors.selector import (
    Appraises,
    Charge,
    Charges,
    Examines,
    Explains,
    ExplainsChoice,
    Fold,
    Read,
    Rule,
    S,
    Scorer,
    Selector,
    Statistic,
)

LAST = "last"  # what the stage that spends the budget is called in the manifest
EVERYTHING = Budget(1.0, "docs", share=True)


@dataclass(frozen=True)
class Stage:
    """A method under the name that its columns carry; the last stage's carry none."""

    name: str
    selector: Selector
    keep: Budget = EVERYTHING
    least: float | None = None

    def column(self, own: str) -> str:
        return f"{STAGE}{self.name}.{own}" if self.name else own


@dataclass(frozen=True)
class Chain:
    """Several stages as one selector."""

    filters: tuple[Stage, ...]
    last: Selector

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (*self.filters, Stage("", self.last))

    def fit(self, fold: Fold) -> "Stacked":
        return Stacked(tuple((stage, stage.selector.fit(fold)) for stage in self.stages))

    def charge(self, documents: int, size: int) -> Charge:
        """Of all stages that count theirs."""
        own = [s.selector.charge(documents, size) for s in self.stages
               if isinstance(s.selector, Charges)]  # fmt: skip
        rate = min((one.rate for one in own), default=1.0)
        return Charge(sum(one.fit for one in own), sum(one.score for one in own), rate)

    def choose(self, budget: Budget, fold: Fold) -> Rule:
        rules: tuple[Rule, ...] = ()
        for stage in self.filters:
            rules = (*rules, ruled(stage, Remaining(fold, InTurn(rules), stage)))
        left = self._left(rules, fold)
        end = Stage("", self.last)
        own = self.last.choose(budget, Remaining(fold, InTurn(rules), end))
        names = tuple(stage.name or LAST for stage in self.stages)
        return Passed(InTurn((*rules, OfStage(end, own))), names, left)

    def _left(self, rules: tuple[Rule, ...], fold: Fold) -> tuple[int, ...]:
        """How many documents there are, and how many are left behind each filter."""
        found = fold("scores", Left(rules, np.zeros(1 + len(rules), np.int64))).documents
        for stage, (seen, left) in zip(self.filters, pairwise(found.tolist()), strict=True):
            if seen and not left:
                raise BadBudget(
                    f"the stage {stage.name} leaves none of {seen} documents: relax its settings, "
                    f"or ask less of it"
                )
        return tuple(found.tolist())

    def explain_choice(self, document: Scored, fold: Fold, read: Read) -> dict[str, Any]:
        """What each stage says that the document came to: the last one's words, the others' under
        their names. A stage that never saw the document has nothing to say."""
        told: dict[str, Any] = {}
        before: tuple[Rule, ...] = ()
        for stage in self.stages:
            if not InTurn(before).keep(document)[0]:
                break
            seen = Remaining(fold, InTurn(before), stage)
            if isinstance(stage.selector, ExplainsChoice):
                own = own_columns(document, stage)
                said = stage.selector.explain_choice(own, seen, read)
                told |= {stage.name: said} if stage.name else said
            if stage.name:
                before = (*before, ruled(stage, seen))
        return told


def chain(filters: Sequence[Stage], last: Selector) -> Chain:
    """Stages under their methods' names; a method that comes again gets a number."""
    methods = [stage.name for stage in filters]
    return Chain(
        tuple(
            replace(stage, name=numbered(stage.name, methods[:place]))
            for place, stage in enumerate(filters)
        ),
        last,
    )


def numbered(name: str, before: Sequence[str]) -> str:
    """A name that came before, with how many times it has now come."""
    times = before.count(name)
    return f"{name}-{times + 1}" if times else name


def ruled(stage: Stage, seen: Fold) -> Rule:
    """What a stage leaves of the documents that it sees."""
    try:
        rule = stage.selector.choose(stage.keep, seen)
    except BadBudget as cause:
        raise BadBudget(f"the stage {stage.name}: {cause}") from cause
    both = rule if stage.least is None else Reaching(rule, stage.least)
    return OfStage(stage, both)


@dataclass(frozen=True)
class Stacked:
    """The scorers of all stages, side by side."""

    parts: tuple[tuple[Stage, Scorer], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(stage.column(own) for stage, scorer in self.parts for own in scorer.names)

    @property
    def features(self) -> Any:
        """Of the last stage: what the report measures distances in."""
        return getattr(self.parts[-1][1], "features", None)

    @property
    def versions(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for _, scorer in self.parts:
            found |= dict(getattr(scorer, "versions", {}))
        return found

    def appraisal(self, documents: int, size: int) -> dict[str, Any]:
        """Of all stages, under their names where they are not the last; what they did in all."""
        own = {stage.name: scorer.appraisal(documents, size) for stage, scorer in self.parts
               if isinstance(scorer, Appraises)}  # fmt: skip
        told = told_by_name(own)
        if own:
            told["flops"] = sum(one["flops"] for one in own.values())
            told["said"] = [line for one in own.values() for line in one["said"]]
            told["checks"] = [check for one in own.values() for check in one["checks"]]
        return told

    def score(self, batch: Batch) -> Floats:
        columns = [np.asarray(scorer.score(batch), np.float64) for _, scorer in self.parts]
        return np.concatenate([c if c.ndim == 2 else c[:, None] for c in columns], axis=1)

    def explain(self, batch: Batch) -> dict[str, Any]:
        """What the last stage says, and what the others say under their names."""
        said = {stage.name: scorer.explain(batch) for stage, scorer in self.parts
                if isinstance(scorer, Explains)}  # fmt: skip
        return told_by_name(said)

    def examine(self, batch: Batch) -> dict[str, Any]:
        said = {stage.name: scorer.examine(batch) for stage, scorer in self.parts
                if isinstance(scorer, Examines)}  # fmt: skip
        return told_by_name(said)


def told_by_name(said: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the last stage says, which has no name, beside what the others say under theirs."""
    told: dict[str, Any] = {}
    for name, one in said.items():
        told |= {name: one} if name else one
    return told


@dataclass(frozen=True)
class Reaching:
    """Keeps what a rule keeps and what scores at least so much."""

    rule: Rule
    least: float

    def keep(self, scored: Scored) -> Mask:
        return self.rule.keep(scored) & (best(scored) >= self.least)

    def describe(self) -> dict[str, Any]:
        return self.rule.describe() | {"least": self.least}


@dataclass(frozen=True)
class OfStage:
    """A stage's rule, shown the stage's own columns."""

    stage: Stage
    rule: Rule

    def keep(self, scored: Scored) -> Mask:
        return self.rule.keep(own_columns(scored, self.stage))

    def describe(self) -> dict[str, Any]:
        return self.rule.describe()


@dataclass(frozen=True)
class InTurn:
    """Keeps what all of several rules keep; each is shown only what the rules before it left, for
    it may know of no other documents."""

    rules: tuple[Rule, ...]

    def keep(self, scored: Scored) -> Mask:
        *_, left = self.steps(scored)
        keep = np.zeros(len(scored), bool)
        keep[left] = True
        return keep

    def steps(self, scored: Scored) -> Iterator[Counts]:
        """The places of all rows, then of those that are left behind each rule."""
        left = np.arange(len(scored))
        yield left
        for rule in self.rules:
            left = left[rule.keep(scored.take(left))]
            yield left

    def describe(self) -> dict[str, Any]:
        return {"in_turn": [rule.describe() for rule in self.rules]}


@dataclass(frozen=True)
class Passed:
    """Keeps what every stage keeps."""

    rule: InTurn
    names: tuple[str, ...]
    left: tuple[int, ...]  # documents: of the corpus, then behind each stage but the last

    def keep(self, scored: Scored) -> Mask:
        return self.rule.keep(scored)

    def reached(self, scored: Scored) -> Mask:
        """Which documents the last stage saw."""
        return InTurn(self.rule.rules[:-1]).keep(scored)

    def ended(self, scored: Scored) -> list[str | None]:
        """The stage at which each document's way ended; None where it met the budget's cut."""
        found: list[str | None] = [None] * len(scored)
        steps = list(self.rule.steps(scored))[:-1]
        for name, (seen, left) in zip(self.names, pairwise(steps), strict=False):
            for place in np.setdiff1d(seen, left, assume_unique=True).tolist():
                found[place] = name
        return found

    def describe(self) -> dict[str, Any]:
        pairs = zip(self.names, self.rule.rules, strict=True)
        told = {name: rule.describe() for name, rule in pairs}
        for name, (seen, left) in zip(self.names, pairwise(self.left), strict=False):
            told[name] |= {"documents": seen, "left": left}
        return {"stages": told}


@dataclass(frozen=True)
class Remaining:
    """A fold in which a stage sees its own columns of the documents that are still there."""

    fold: Fold
    before: Rule
    stage: Stage

    @property
    def seed(self) -> int:
        return self.fold.seed

    @property
    def targets(self) -> tuple[str, ...]:
        return self.fold.targets

    def __call__(self, stream: str, empty: S) -> S:
        if stream != "scores":
            return self.fold(stream, empty)
        return cast(S, self.fold(stream, Seen(empty, self.before, self.stage)).summary)


@dataclass
class Seen:
    """A summary of the rows that earlier stages left, in one stage's columns."""

    summary: Statistic
    before: Rule
    stage: Stage

    def add(self, scored: Scored) -> None:
        left = scored.take(self.before.keep(scored))
        self.summary.add(own_columns(left, self.stage))

    def merge(self, other: "Seen") -> None:
        self.summary.merge(other.summary)


@dataclass
class Left:
    """How many documents there are, and how many each rule leaves of them."""

    rules: tuple[Rule, ...]
    documents: Counts

    def add(self, scored: Scored) -> None:
        self.documents += [len(left) for left in InTurn(self.rules).steps(scored)]

    def merge(self, other: "Left") -> None:
        self.documents += other.documents


def own_columns(scored: Scored, stage: Stage) -> Scored:
    """The rows with a stage's columns alone, under their own names."""
    places = [n for n, name in enumerate(scored.names) if _belongs(name, stage)]
    names = tuple(scored.names[n].removeprefix(stage.column("")) for n in places)
    return replace(scored, scores=scored.scores[:, places], names=names)


def _belongs(name: str, stage: Stage) -> bool:
    return name.startswith(stage.column("")) if stage.name else not _of_a_filter(name)


def _of_a_filter(name: str) -> bool:
    return name.startswith(STAGE)
