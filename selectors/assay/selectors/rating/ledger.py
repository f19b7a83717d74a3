"""Answers and money, in a file that survives a kill at any moment.

A request is entered with the most that it can cost before it is sent, and settled, together with
its answer and in one transaction, when its end is known. One that was under way when the process
died stays unsettled and goes on counting as the most: the cap holds all the same.

Money is counted in whole millionths of a millionth of the currency: sums are exact.
"""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from assay.selectors.errors import BadInput, BadSetting, StorageError
from assay.selectors.rating.endpoint import Outcome, Usage

NAME = "answers.sqlite"
PICO = 10**12
PER = 10**6  # prices are given for a million tokens
GREATEST = 10**6  # of a price or a cap: sums stay within 64 bits
TABLES = """
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY, points TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (
  number INTEGER PRIMARY KEY, run TEXT NOT NULL, key TEXT NOT NULL, most INTEGER NOT NULL,
  cost INTEGER, unsure INTEGER NOT NULL DEFAULT 0, sent INTEGER, got INTEGER, outcome TEXT,
  at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS requests_of_run ON requests (run);
"""


@dataclass(frozen=True, slots=True)
class Prices:
    """Of a token that is sent, and of one that is answered, in pico."""

    sent: int = 0
    got: int = 0

    def of(self, usage: Usage) -> int:
        return usage.sent * self.sent + usage.got * self.got

    def most(self, body: bytes, answer_tokens: int) -> int:
        """No tokenizer makes more tokens than bytes; a few more frame the messages."""
        return self.of(Usage(len(body) + 64, answer_tokens))


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has cost so far, over all its stops and starts."""

    requests: int = 0
    sent: int = 0  # tokens
    got: int = 0
    known: int = 0  # pico
    unsure: int = 0  # pico: at most, of requests whose end nobody knows

    @property
    def most(self) -> int:
        return self.known + self.unsure


def pico(given: str, what: str, per: int = 1) -> int:
    """An amount of money as typed, such as 0.15."""
    try:
        amount = Decimal(given)
    except InvalidOperation as cause:
        raise BadSetting(f"{what} {given}: an amount such as 0.15 is asked for") from cause
    if not amount.is_finite() or not 0 <= amount <= GREATEST:
        raise BadSetting(f"{what} {given}: from 0 to {GREATEST:,}")
    return int((amount * (PICO // per)).to_integral_value())


def money(amount: int) -> str:
    """0.0412"""
    return f"{amount / PICO:.4f}"


@dataclass
class Ledger:
    """The answers of everybody who uses this file, and the requests of one run."""

    database: sqlite3.Connection
    run: str
    prices: Prices

    def answer(self, key: str) -> Mapping[str, float] | None:
        row = self.database.execute("SELECT points FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def begin(self, key: str, most: int) -> int:
        """Enter a request that is about to be sent; its number."""
        with self.database:
            made = self.database.execute(
                "INSERT INTO requests (run, key, most, at) VALUES (?, ?, ?, ?)",
                (self.run, key, most, time.time()),
            )
        number = made.lastrowid
        assert number is not None
        return number

    def settle(self, number: int, key: str, most: int, outcome: Outcome) -> int:
        """Enter how it ended, and its answer; what it cost."""
        usage = outcome.usage
        cost = self.prices.of(usage) if usage else most if outcome.unsure else 0
        told = outcome.reason or "rated"
        sent, got = (usage.sent, usage.got) if usage else (None, None)
        with self.database:
            self.database.execute(
                "UPDATE requests SET cost = ?, unsure = ?, sent = ?, got = ?, outcome = ? "
                "WHERE number = ?",
                (cost, int(outcome.unsure), sent, got, told, number),
            )
            if outcome.points is not None:
                self.database.execute(
                    "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)",
                    (key, json.dumps(dict(outcome.points)), time.time()),
                )
        return cost

    def spent(self) -> Spent:
        """What this run has cost, over all its stops and starts."""
        row = self.database.execute(
            "SELECT count(*), total(sent), total(got), "
            "coalesce(sum(CASE WHEN cost IS NOT NULL AND NOT unsure THEN cost END), 0), "
            "coalesce(sum(CASE WHEN cost IS NULL OR unsure THEN coalesce(cost, most) END), 0) "
            "FROM requests WHERE run = ?",
            (self.run,),
        ).fetchone()
        return Spent(*(int(value) for value in row))


@contextmanager
def opened(folder: str, run: str, prices: Prices) -> Iterator[Ledger]:
    """The ledger in a local folder; a new one where there is none."""
    path = Path(folder) / NAME
    try:
        database = sqlite3.connect(path)
    except sqlite3.Error as cause:
        raise StorageError(f"{path}: cannot be opened: {cause}") from cause
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(TABLES)
        yield Ledger(database, run, prices)
    except sqlite3.DatabaseError as cause:
        # Full disks and lost rights are OperationalErrors; what is no database is not.
        if isinstance(cause, sqlite3.OperationalError):
            raise StorageError(f"{path}: {cause}; what was paid for is still in it") from cause
        raise BadInput(f"{path}: is no file of answers ({cause}): move it away") from cause
    finally:
        database.close()
