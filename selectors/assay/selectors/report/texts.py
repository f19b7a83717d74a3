"""One pass over the chosen text: what of the target is in it, its n-grams, and a few beginnings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from assay.selectors.choice import mix
from assay.selectors.records import Batch
from assay.selectors.report.leaks import Leaks, Passages
from assay.selectors.report.samples import EVERY, TEXT, first, looked_at
from assay.selectors.stats import Features, NgramCounts

LOOKED_AT = 16_000_000  # bytes of chosen text that are always looked at,
NGRAM_SHARE = 0.10  # or this share of the corpus's bytes, for n-grams
LEAK_SHARE = 0.15  # and this one for target documents: some 15 % of a selection's time
TEXTS = 200  # chosen documents whose scores are explained
EXCERPT = 2_000  # characters of each


@dataclass
class Excerpts:
    """The beginnings of some documents, drawn by hash."""

    limit: int = TEXTS
    found: list[tuple[int, int, int, str]] = field(default_factory=list)

    def add(self, batch: Batch) -> None:
        priority = mix(batch.key, TEXT)
        bar = self.found[-1][0] if len(self.found) == self.limit else EVERY
        for place in first(priority, self.limit, bar).tolist():
            text = batch.text[place].as_py()
            plain = text.decode(errors="replace") if isinstance(text, bytes) else text
            where = (int(priority[place]), batch.shard, int(batch.row[place]))
            self.found.append((*where, plain[:EXCERPT]))
        self._trim()

    def merge(self, other: "Excerpts") -> None:
        self.found += other.found
        self._trim()

    def _trim(self) -> None:
        self.found = sorted(self.found)[: self.limit]


@dataclass
class Texts:
    """One pass over the chosen text."""

    leaks: Leaks
    sample: Excerpts
    counts: NgramCounts | None
    share: float  # of the documents whose n-grams are counted

    @classmethod
    def of(
        cls, features: Features | None, passages: Sequence[Passages], content: Mapping[str, Any]
    ) -> "Texts":
        corpus, kept = content["corpus"]["bytes"], max(content["spent"]["bytes"], 1)
        leaks, ngrams = (
            min(1.0, max(LOOKED_AT, share * corpus) / kept) for share in (LEAK_SHARE, NGRAM_SHARE)
        )
        counts = None if features is None else NgramCounts.empty(features)
        return cls(Leaks.of(passages, leaks), Excerpts(), counts, ngrams)

    def add(self, batch: Batch) -> None:
        self.leaks.add(batch)
        self.sample.add(batch)
        if self.counts is not None:
            text, key, ids = looked_at(batch, self.share)
            self.counts.add(replace(batch, text=text, key=key, id=ids))

    def merge(self, other: "Texts") -> None:
        self.leaks.merge(other.leaks)
        self.sample.merge(other.sample)
        if self.counts is not None and other.counts is not None:
            self.counts.merge(other.counts)
