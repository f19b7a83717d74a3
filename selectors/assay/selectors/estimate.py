"""What a selection would read and how long it may take: tried on a small sample of the corpus."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assay.selectors import budget, shards, storage
from assay.selectors.earlier import Earlier
from assay.selectors.errors import BadRequest
from assay.selectors.folding import Folding
from assay.selectors.progress import Silence
from assay.selectors.records import Batch
from assay.selectors.scoring import scored, sizes
from assay.selectors.selection import Ground, Means, charge, survey
from assay.selectors.selector import Charge
from assay.selectors.shards import Corpus, Reading
from assay.selectors.spec import Spec

SAMPLE = 8_000_000  # bytes of text that are tried: enough for a steady rate, done in a moment
NOTHING = Earlier()
SCORE_RATE = 50e6  # bytes of text a second on one core; dot products of n-grams, measured here
WRITE_RATE = 250e6  # bytes of text a second on one core as zstd Parquet; see benchmarks/speed.py


@dataclass(frozen=True)
class Sample:
    """The first documents of a corpus, in memory, as a stream of one unit."""

    documents: tuple[Batch, ...]
    bytes: int
    seconds: float  # that reading them took
    units: tuple[int, ...] = (0,)

    def batches(self, unit: int) -> Iterator[Batch]:
        return iter(self.documents)

    def size(self, unit: int) -> int:
        return self.bytes


def estimate(asked: Spec, means: Means) -> dict[str, Any]:
    """Shards, rows, bytes, and seconds for each stage, from a trial of the method itself."""
    ground = survey(asked, means)
    reading = ground.spec.reading
    raw = sample(ground.raw, reading, ground.known.earlier)
    targets = {n: sample(c, Reading(reading.text_column)) for n, c in ground.targets.items()}
    price = charge(ground)
    return {
        "method": asked.method,
        "settings": dict(ground.spec.settings),
        "budget": ground.request["budget"],
        "raw": _told(ground.raw),
        "target": {name: _told(corpus) for name, corpus in ground.targets.items()},
        "out": storage.join(asked.out),
        "workers": means.workers,
        "sample": raw.bytes,
        "seconds": _seconds(ground, raw, targets, means.workers),
    } | ({"flops": price.total} if price else {})


def sample(corpus: Corpus, reading: Reading, known: Earlier = NOTHING) -> Sample:
    """Documents from the beginning, SAMPLE bytes of them or all."""
    begun, found, total = time.monotonic(), list[Batch](), 0
    for unit in corpus.units:
        for read in shards.batches(corpus.shards[unit.shard], unit, reading):
            found.append(known.attached(read.batch, unit.number))
            total += int(sizes(read.batch.text).sum())
            if total >= SAMPLE:
                return Sample(tuple(found), total, time.monotonic() - begun)
    return Sample(tuple(found), total, time.monotonic() - begun)


def together(samples: Iterable[Sample]) -> Sample:
    """Several samples, one after the other."""
    several = list(samples)
    documents = tuple(batch for one in several for batch in one.documents)
    return Sample(documents, sum(s.bytes for s in several), sum(s.seconds for s in several))


def _seconds(
    ground: Ground, raw: Sample, targets: Mapping[str, Sample], workers: int
) -> dict[str, float]:
    if getattr(ground.selector, "from_samples", False):
        raise BadRequest(
            "what is learned from scores of a sample cannot be timed on the first documents, "
            "few of which have scores: leave out --estimate"
        )
    streams: dict[str, Any] = {"raw": raw} | {f"target/{n}": t for n, t in targets.items()}
    streams |= ground.known.streams
    if targets:
        streams["target"] = together(targets.values())
    if price := charge(ground):
        return _counted(price, ground, raw, workers)
    fold = Folding(streams, ground.spec.seed, tuple(targets), map, Silence())
    begun = time.monotonic()
    scorer = ground.selector.fit(fold)
    fitted = time.monotonic()
    for batch in raw.documents:
        scored(batch, scorer, "")
    scoring = time.monotonic() - fitted
    whole = sum(unit.bytes for unit in ground.raw.units)
    scale = whole / max(raw.bytes, 1) / workers
    seconds = {
        "fit": (fitted - begun + raw.seconds) * scale,
        "score": (scoring + raw.seconds) * scale,
        "write": raw.seconds * scale + whole * _share(ground) / WRITE_RATE / workers,
    }
    return {**seconds, "total": sum(seconds.values())}


def _counted(price: Charge, ground: Ground, raw: Sample, workers: int) -> dict[str, float]:
    """Of a method whose fit does not grow with the corpus: from what it counts, without a trial."""
    whole = sum(unit.bytes for unit in ground.raw.units)
    reading = raw.seconds * whole / max(raw.bytes, 1) / workers
    seconds = {
        "fit": price.fit / price.rate + reading,
        "score": price.score / price.rate + reading + whole / SCORE_RATE / workers,
        "write": reading + whole * _share(ground) / WRITE_RATE / workers,
    }
    return {**seconds, "total": sum(seconds.values())}


def _share(ground: Ground) -> float:
    """About how much of the corpus the budget buys."""
    asked = budget.parse(ground.spec.budget)
    if asked.share:
        return asked.amount
    whole = ground.raw.rows if asked.unit == "docs" else sum(u.bytes for u in ground.raw.units)
    return min(1.0, asked.amount / max(whole, 1))


def _told(corpus: Corpus) -> dict[str, int]:
    decoded = sum(unit.bytes for unit in corpus.units)
    counts = {"shards": len(corpus.shards), "rows": corpus.rows, "bytes": corpus.bytes}
    return counts | {"decoded_bytes": decoded}
