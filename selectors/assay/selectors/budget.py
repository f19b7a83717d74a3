"""How much may be kept: an amount and what it is counted in."""

import re
from dataclasses import dataclass

from assay.selectors.errors import BadBudget

MOST = 1e30
UNITS = ("docs", "bytes", "tokens")
BYTES = {"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15}
BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
WORDS = {"doc": "docs", "docs": "docs", "documents": "docs", "rows": "docs"}
WORDS |= {"token": "tokens", "tokens": "tokens", "byte": "bytes", "bytes": "bytes"}
FORMS = "write it as 20000docs, 1.5e9tokens, 10GB or 10% (of documents; also 10%bytes, 10%tokens)"


@dataclass(frozen=True)
class Budget:
    """`amount` documents, bytes of UTF-8 or tokens; or that share of the corpus, from 0 to 1."""

    amount: float
    unit: str  # one of UNITS
    share: bool = False

    def limit(self, total: int) -> int:
        """The most that may be kept, of a corpus that holds `total` of the unit."""
        return int(self.amount * total + 1e-9) if self.share else int(self.amount)

    def __str__(self) -> str:
        if self.share:
            return f"{self.amount * 100:.12g}%" + ("" if self.unit == "docs" else self.unit)
        return f"{int(self.amount)}{self.unit}"  # what is recorded is what was counted with


def parse(text: str) -> Budget:
    """Read "20000docs", "1.5e9tokens", "10GB", "10%" or "10%tokens"."""
    if not text.strip():
        raise BadBudget(f"no budget: say how much to keep; {FORMS}")
    found = re.fullmatch(
        r"\s*([0-9][0-9_,]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?)\s*(%?)\s*([A-Za-z]*)\s*", text
    )
    if not found:
        raise BadBudget(f"cannot read the budget {text!r}: {FORMS}")
    number, percent, word = found.groups()
    amount = float(number.replace("_", "").replace(",", ""))
    if amount > MOST:
        raise BadBudget(f"the budget {text!r} is more than can be counted: {FORMS}")
    unit, factor = _unit(text, word, share=bool(percent))
    if percent:
        amount = float(f"{amount:.12g}")  # as it is recorded, so that a replay counts the same
        return _positive(text, Budget(amount / 100, unit, share=True))
    return _positive(text, Budget(amount * factor, unit))


def _unit(text: str, word: str, share: bool) -> tuple[str, float]:
    if share and not word:
        return "docs", 1
    if word.lower() in WORDS:
        return WORDS[word.lower()], 1
    if word in BYTES and not share:
        return "bytes", BYTES[word]
    said = f"the unit {word!r}" if word else "no unit"
    raise BadBudget(f"the budget {text!r} has {said}: {FORMS}")


def _positive(text: str, budget: Budget) -> Budget:
    if budget.amount <= 0 or (not budget.share and budget.amount < 1):
        raise BadBudget(f"the budget {text!r} buys nothing: ask for at least one document or byte")
    if budget.share and budget.amount > 1:
        raise BadBudget(f"the budget {text!r} is more than the whole corpus: ask for 100% or less")
    return budget
