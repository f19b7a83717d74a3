"""The story of `assay rate`: draw a sample, ask a model about it, write down what it says.

What is left behind: NAME.parquet with `id` and a column `score.RUBRIC` for each rubric,
NAME.run.json with how it came about, and last NAME.json, the sidecar that says what each column
means. Answers stand in a folder of their own from the moment that they come.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assay.selectors import shards, storage
from assay.selectors.errors import BadRequest, BadSetting, NothingToRead, OtherSelection
from assay.selectors.rating.drawing import Drawn, Sample, drawn
from assay.selectors.rating.endpoint import Endpoint
from assay.selectors.rating.ledger import PER, Ledger, Prices, Spent, money, opened, pico
from assay.selectors.rating.questions import FORMS, Asking
from assay.selectors.rating.rubrics import Rubric
from assay.selectors.rating.sending import Patience, Question, Sending
from assay.selectors.selection import Documents, Means
from assay.selectors.shards import Corpus, Reading

# Fields of a request that --body may not set: n would cost a multiple, a stream is not read.
OURS = ("messages", "model", "n", "response_format", "stream")
ENOUGH = 0.99  # of the sample: what a join by id asks for
Points = Mapping[int, Mapping[str, float]]  # by rank of the document, then by rubric
BYTES_PER_TOKEN = 4  # of English with today's tokenizers, about: only for estimates


@dataclass(frozen=True)
class Asked:
    """What is to be rated, by whom, and for how much."""

    raw: tuple[str, ...]
    out: str
    endpoint: str
    model: str
    rubrics: tuple[Rubric, ...]
    sample: int = 2000
    separate: bool = False
    characters: int = 6000
    form: str = "json_schema"
    extra: Mapping[str, Any] = field(default_factory=dict)
    price_in: str = "0"
    price_out: str = "0"
    max_cost: str = ""
    cache: str = ""
    seed: int = 0
    text_column: str = "text"
    id_column: str | None = None

    def checked(self) -> "Asked":
        """Itself, if it can be carried out."""
        needed = {"--raw": self.raw, "--out": self.out, "--model": self.model}
        needed["--endpoint"] = self.endpoint
        for option, given in needed.items():
            if not given:
                raise BadRequest(f"{option} is missing")
        if not self.out.endswith(".parquet"):
            raise BadSetting(f"--out {self.out}: a name that ends in .parquet is asked for")
        if taken := sorted(set(self.extra) & set(OURS)):
            raise BadSetting(f"--body {taken[0]}: is set by an option of its own, or must not be")
        try:
            json.dumps(self.extra, allow_nan=False)
        except (TypeError, ValueError) as cause:
            raise BadSetting(f"--body: {cause}: write it so that JSON can hold it") from cause
        if self.form not in FORMS:
            raise BadSetting(f"--answer {self.form}: one of {', '.join(FORMS)}")
        if not storage.is_local(self.cache_folder):
            raise BadSetting(f"{self.cache_folder}: answers are kept on a disk: name a --cache")
        prices = self.prices
        if self.max_cost and not (prices.sent or prices.got):
            raise BadSetting("--max-cost needs prices: give --price-in and --price-out")
        if (prices.sent or prices.got) and not self.max_cost:
            raise BadSetting("what costs money needs a cap: give --max-cost")
        if self.max_cost and any(one.answer_tokens is None for one in self.askings()):
            raise BadSetting("--max-cost needs a bound on answers: leave max_tokens in the request")
        return self

    @property
    def prices(self) -> Prices:
        return Prices(
            pico(self.price_in, "--price-in", PER), pico(self.price_out, "--price-out", PER)
        )

    @property
    def cap(self) -> int | None:
        return pico(self.max_cost, "--max-cost") if self.max_cost else None

    @property
    def stem(self) -> str:
        return self.out.removesuffix(".parquet")

    @property
    def cache_folder(self) -> str:
        return self.cache or f"{self.stem}.cache"

    def askings(self) -> tuple[Asking, ...]:
        """What is asked about each text: everything at once, or one rubric at a time."""
        groups = [(one,) for one in self.rubrics] if self.separate else [self.rubrics]
        return tuple(
            Asking(self.endpoint, self.model, group, self.form, self.extra) for group in groups
        )

    def identity(self, corpus: Corpus) -> dict[str, Any]:
        """What must be the same for ratings to stand in one file. The size of the sample need not:
        a larger one holds the smaller."""
        layout = [(shard.size, shard.rows) for shard in corpus.shards]
        return {
            "corpus": hashlib.sha256(json.dumps(layout).encode()).hexdigest()[:16],
            "endpoint": self.endpoint,
            "model": self.model,
            "rubrics": {one.name: one.told(self.model)["version"] for one in self.rubrics},
            "separate": self.separate,
            "characters": self.characters,
            "form": self.form,
            "extra": dict(self.extra),
            "seed": self.seed,
            "text_column": self.text_column,
            "id_column": self.id_column,
        }


@dataclass(frozen=True)
class Rated:
    """What came of it: plain values, as they stand in NAME.run.json."""

    out: str
    found: Mapping[str, Any]

    @property
    def complete(self) -> bool:
        return bool(self.found["rated"] >= ENOUGH * self.found["asked"])


def rate(asked: Asked, patience: Patience, endpoint: Endpoint, means: Means, fresh: bool) -> Rated:
    """Rate a sample, or go on with it. Answers that are known already are not asked for again."""
    begun = time.time()
    corpus, raw = _surveyed(asked.checked(), means)
    identity = asked.identity(corpus)
    _check_out(asked, identity, fresh)
    _prepare(asked)
    with (
        storage.lock(asked.cache_folder),
        opened(asked.cache_folder, mark(identity), asked.prices) as ledger,
        drawn(raw, asked.sample, asked.seed, asked.characters, means) as sample,
    ):
        if not sample.documents:
            raise NothingToRead("every text of the sample is blank")
        run = Run(asked, sample, ledger)
        sending = Sending(endpoint.ask, ledger, patience, asked.cap, endpoint.address)
        means.progress.begin("rating", sum(one.size for one in sample.documents))
        run.carry_out(sending, means)
        means.progress.end()
        found = run.told(sending, identity, time.time() - begun)
        if run.points:
            _write(asked, sample, run.points, found)
    return Rated(asked.out, found)


def estimate(asked: Asked, means: Means) -> dict[str, Any]:
    """What `rate` would ask and what it may cost. Nothing is sent, nothing is written."""
    corpus, raw = _surveyed(asked.checked(), means)
    askings, prices = asked.askings(), asked.prices
    with drawn(raw, asked.sample, asked.seed, asked.characters, means) as sample:
        sent = most = likely = 0
        for one in sample.documents:
            for asking in askings:
                body, tokens = asking.body(sample.text(one)), asking.answer_tokens or 0
                sent += len(body)
                most += prices.most(body, tokens)
                likely += len(body) // BYTES_PER_TOKEN * prices.sent + tokens // 4 * prices.got
        return _drawn_from(sample) | {
            "requests": len(sample.documents) * len(askings),
            "bytes": sent,
            "tokens": sent // BYTES_PER_TOKEN,
            "cost": {"likely": money(likely), "most": money(most), "cap": asked.max_cost or None},
            "raw": {"shards": len(corpus.shards), "rows": corpus.rows, "bytes": corpus.bytes},
        }


def mark(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


@dataclass
class Run:
    """One walk over the sample."""

    asked: Asked
    sample: Sample
    ledger: Ledger
    points: dict[int, dict[str, float]] = field(default_factory=dict)  # by rank
    waiting: dict[str, list[Drawn]] = field(default_factory=dict)  # for the answer of this key
    known: int = 0  # answers that were there already

    def carry_out(self, sending: Sending, means: Means) -> None:
        for key, points in sending.send(self._questions(means)):
            for document in self.waiting.pop(key):
                self._note(document, points, means)

    def _questions(self, means: Means) -> Iterator[Question]:
        """What is not known yet, best first: in the order of the sample."""
        askings, prices = self.asked.askings(), self.asked.prices
        bounds = [asking.answer_tokens or 0 for asking in askings]
        for document in self.sample.documents:
            text = self.sample.text(document)
            for asking, bound in zip(askings, bounds, strict=True):
                body = asking.body(text)
                key = asking.key(body)
                if points := self.ledger.answer(key):
                    self.known += 1
                    self._note(document, points, means)
                elif key in self.waiting:  # the same text once more
                    self.waiting[key].append(document)
                else:
                    self.waiting[key] = [document]
                    yield Question(key, body, asking.rubrics, prices.most(body, bound))

    def _note(self, document: Drawn, points: Mapping[str, float], means: Means) -> None:
        self.points.setdefault(document.rank, {}).update(points)
        means.progress.advance(document.size // len(self.asked.askings()))

    def told(self, sending: Sending, identity: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        rubrics = {one.name for one in self.asked.rubrics}
        whole = sum(1 for points in self.points.values() if rubrics <= set(points))
        given_up = Counter(
            sending.failed[key] for key, documents in self.waiting.items() for _ in documents
            if key in sending.failed
        )  # fmt: skip
        return {
            "request": dict(identity),
            **_drawn_from(self.sample),
            "asked": len(self.sample.documents),
            "rated": whole,
            "known_before": self.known,
            "given_up": dict(given_up.most_common()),
            "tried_again": dict(sending.retries.most_common()),
            "capped": sending.capped,
            "spent": _told_money(self.ledger.spent(), self.asked),
            "seconds": round(seconds, 1),
            "columns": self._distributions(),
        }

    def _distributions(self) -> dict[str, dict[str, Any]]:
        """How often each point was given: a scale of which one point is used says nothing."""
        found = {}
        for one in self.asked.rubrics:
            given = [points[one.name] for points in self.points.values() if one.name in points]
            counts = dict(sorted(Counter(given).items()))
            mean = round(float(np.mean(given)), 4) if given else None
            told = {f"{point:g}": count for point, count in counts.items()}
            found[one.name] = {"mean": mean, "points": told}
        return found


def _surveyed(asked: Asked, means: Means) -> tuple[Corpus, Documents]:
    reading = Reading(asked.text_column, asked.id_column)
    corpus = shards.survey(asked.raw, reading, means.map)
    return corpus, Documents(corpus, reading)


def _check_out(asked: Asked, identity: Mapping[str, Any], fresh: bool) -> None:
    """Refuse to write over other ratings. What was paid for is deleted by no option."""
    note = f"{asked.stem}.run.json"
    there = [uri for uri in (asked.out, f"{asked.stem}.json", note) if storage.exists(uri)]
    if not there or fresh:
        return
    try:
        found = json.loads(storage.read_bytes(note))["request"] if note in there else None
    except (ValueError, LookupError, TypeError):
        found = None
    if not isinstance(found, dict):
        raise OtherSelection(
            f"{there[0]}: is there, and no rating of ours: give another --out, or --fresh to "
            "write over it"
        )
    other = [key for key in identity if found.get(key) != identity[key]]
    if other:
        said = "; ".join(f"{key}: {found.get(key)!r} there, {identity[key]!r} now" for key in other)
        raise OtherSelection(
            f"{asked.out}: holds other ratings ({said}): give another --out, or --fresh to write "
            "over them"
        )


def _prepare(asked: Asked) -> None:
    """Find out before money is spent whether we may write."""
    folder = asked.out.rpartition("/")[0]
    storage.prepare(folder or ("/" if asked.out.startswith("/") else "."))
    storage.prepare(asked.cache_folder)


def _write(
    asked: Asked,
    sample: Sample,
    points: Mapping[int, Mapping[str, float]],
    found: Mapping[str, Any],
) -> None:
    """The sidecar last: where it stands, the rest is whole."""
    sidecar = f"{asked.stem}.json"
    storage.delete(sidecar)
    with storage.writing(asked.out) as sink:
        pq.write_table(table(asked.rubrics, sample, points), sink, compression="zstd")
    storage.write_bytes(f"{asked.stem}.run.json", _json(found))
    storage.write_bytes(sidecar, _json({one.name: one.told(asked.model) for one in asked.rubrics}))


def table(rubrics: tuple[Rubric, ...], sample: Sample, points: Points) -> pa.Table:
    """Rated documents in the order of the sample; a rubric without an answer is null."""
    rated = [one for one in sample.documents if one.rank in points]
    columns = {"id": pa.array([one.id for one in rated], pa.string())}
    for rubric in rubrics:
        given = [points[one.rank].get(rubric.name) for one in rated]
        columns[f"score.{rubric.name}"] = pa.array(given, pa.float32())
    return pa.table(columns)


def _drawn_from(sample: Sample) -> dict[str, int]:
    return {
        "documents": sample.of,
        "sample": len(sample.documents) + sample.empty,
        "empty": sample.empty,
        "repeated_ids": sample.repeated,
        "unreadable": sample.unreadable,
    }


def _told_money(spent: Spent, asked: Asked) -> dict[str, Any]:
    return {
        "requests": spent.requests,
        "tokens_sent": spent.sent,
        "tokens_answered": spent.got,
        "cost": money(spent.known),
        "cost_unsure": money(spent.unsure),
        "cap": asked.max_cost or None,
        "prices": {"in": asked.price_in, "out": asked.price_out, "for": "a million tokens"},
    }


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, ensure_ascii=False, indent=1) + "\n").encode()
