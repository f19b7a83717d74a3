"""What a selector is. Read this first.

A selector is a frozen dataclass of settings with two methods. `fit` looks at the data and returns
a `Scorer`; `choose` looks at the scores and returns a `Rule`. Both are handed a `fold`: a way to
run a running summary, a `Statistic`, over a stream of documents. An author writes straight-line
code and never sees a shard, a file, a thread or a process:

    @dataclass(frozen=True)
    class Longest:
        \"\"\"The longest documents.\"\"\"

        def fit(self, fold: Fold) -> Scorer:
            return LengthScore()                      # nothing to learn

        def choose(self, budget: Budget, fold: Fold) -> Rule:
            return top(budget, fold)                  # selectors/choice.py

What is returned is immutable, so nothing can be "not fitted yet". The same selector over the same
documents gives the same answer whatever the number of workers: parts of a summary merge in the
order of the shards, and randomness hangs on (seed, document id), never on a generator.

How to add one: docs/new-method.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from assay.selectors.budget import Budget
from assay.selectors.records import Batch, Counts, Floats, Mask, Scored


class Statistic(Protocol):
    """A running summary. It must be a dataclass of numbers, strings and numpy arrays.

    `merge` must not depend on how the documents were grouped, and merging an empty one must change
    nothing; count in integers and both are free. The fields are what is written down when a run is
    recorded, so a summary that was stored comes back exactly.
    """

    def add(self, batch: Any, /) -> None:
        """Take in a `Batch` ("raw", "target") or a `Scored` ("scores")."""
        ...

    def merge(self, other: Self, /) -> None:
        """Take in the summary of the documents that follow."""
        ...


S = TypeVar("S", bound=Statistic)


class Fold(Protocol):
    """Streams documents through summaries. This is all that a selector sees of the data."""

    @property
    def seed(self) -> int:
        """The seed of the selection: every random choice hangs on it."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets, in the order given; empty where there are none."""
        ...

    def __call__(self, stream: str, empty: S, /) -> S:
        """The summary of a whole stream: "raw", "target", "target/NAME", "scores", or "scores/NAME"
        of an earlier selection."""
        ...


T = TypeVar("T")
Work = Callable[[Callable[[int], None]], T]  # handed what to call with how much more is done


@runtime_checkable
class Remembers(Protocol):
    """A fold that writes down what took long to work out from its streams."""

    def remember(self, what: str, question: str, empty: T, work: Work[T], total: int, /) -> T:
        """The record of this question, or what `work` comes to, recorded. `empty` is a dataclass of
        numbers, text and arrays, `what` tells a person what is done, `total` how much there is."""
        ...


def remembered(fold: Fold, what: str, question: str, empty: T, work: Work[T], total: int) -> T:
    """As `Remembers.remember`; a fold that cannot write it down has it worked out."""
    if isinstance(fold, Remembers):
        return fold.remember(what, question, empty, work, total)
    return work(lambda done: None)


@dataclass(frozen=True)
class Charge:
    """FLOPs of a selection, for methods whose work is worth counting."""

    fit: float
    score: float
    rate: float  # FLOP/s of the machine, about

    @property
    def total(self) -> float:
        return self.fit + self.score


@runtime_checkable
class Charges(Protocol):
    """A selector whose fit is long for reasons other than the size of the corpus."""

    def charge(self, documents: int, size: int, /) -> Charge:
        """What selecting from so many documents and bytes will take, at most."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """Gives each document one score or several; what `fit` learned is inside."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the score columns are called, such as ("score",)."""
        ...

    def score(self, batch: Batch, /) -> Floats:
        """Shape (documents,) or (documents, columns); higher is better, -inf is never chosen."""
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """A scorer that counts a document's tokens on the way, so that nobody needs to do it again."""

    def score_and_count(self, batch: Batch, /) -> tuple[Floats, Counts]:
        """The scores, and the tokens as `kernels.count_tokens` counts them."""
        ...


class Rule(Protocol):
    """Says of each scored document whether it is kept."""

    def keep(self, scored: Scored, /) -> Mask:
        """Shape (documents,). The answer for a document may not depend on its neighbours."""
        ...

    def describe(self) -> dict[str, Any]:
        """The cut in words and numbers, for the manifest: plain JSON values."""
        ...


@runtime_checkable
class Selector(Protocol):
    """Settings, and the two questions that they answer."""

    def fit(self, fold: Fold, /) -> Scorer:
        """Learn from "target" and "raw"."""
        ...

    def choose(self, budget: Budget, fold: Fold, /) -> Rule:
        """Decide from "scores" what the budget buys. A larger budget keeps a superset."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A scorer that can say where a document's score comes from."""

    def explain(self, batch: Batch, /) -> dict[str, Any]:
        """Of a batch of one document: plain JSON values, most telling first."""
        ...


@runtime_checkable
class Examines(Protocol):
    """A scorer that can say more about a document than there is time for with many of them."""

    def examine(self, batch: Batch, /) -> dict[str, Any]:
        """Of a batch of one document, for `assay explain` alone: plain JSON values."""
        ...


@runtime_checkable
class Portrays(Protocol):
    """A scorer that scores along several directions, and can say what they are made of."""

    def portrait(self, /) -> dict[str, Any]:
        """Plain JSON values: `columns` and `directions`, each with a name; `loadings`: a row for
        each direction with a number for each column."""
        ...


@runtime_checkable
class Appraises(Protocol):
    """A scorer that has measured how far it is to be trusted."""

    def appraisal(self, documents: int, size: int, /) -> dict[str, Any]:
        """Plain JSON values for the manifest and the report, of a corpus of so many documents and
        bytes: `flops` of the selection; `said`, sentences for a person; `checks`, each with the
        fields of `report.alarms.Check`; and figures by their names. Empty: there is nothing."""
        ...


class Read(Protocol):
    """Reads a document of the corpus again."""

    def __call__(self, shard: int, row: int, /) -> Batch:
        """A batch of one document."""
        ...


@runtime_checkable
class ExplainsChoice(Protocol):
    """A selector that can say of a document why its rule keeps it or not."""

    def explain_choice(self, document: Scored, fold: Fold, read: Read, /) -> dict[str, Any]:
        """Of one scored document: plain JSON values, most telling first."""
        ...
