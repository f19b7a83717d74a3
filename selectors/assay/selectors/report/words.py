"""Numbers and names in words for people: short, honest about small shares, safe to print."""

import math
import unicodedata
from collections.abc import Iterator, Sequence

# Numbers ---------------------------------------------------------------------------------------


def percent(share: float) -> str:
    """A share in words: 12.3 %, 0.04 %, < 0.01 %."""
    if 0 < share < 0.0001:
        return "< 0.01 %"
    digits = 2 if 0 < share < 0.001 else 1
    shown = f"{share * 100:.{digits}f}"
    return (shown.removesuffix(".0") if shown in ("0.0", "100.0") else shown) + " %"


def signed(number: float) -> str:
    return f"{number:+.2f}".replace("-", "−")


def many(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def amount(number: float) -> str:
    """12,345 as it is, then 1.23 M, 1.23 B, 1.23 T."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if number >= size:
            return f"{number / size:.3g} {letter}" if number < 1e3 * size else f"{number:.3g}"
    return f"{number:,.0f}"


def data(number: float) -> str:
    """Bytes: 512 B, 4.93 MB."""
    for size, letter in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:,.0f} B"


def times(lift: float | None) -> str:
    """×58.7; a dash where there is nothing to compare with."""
    if lift is None:
        return "–"
    if lift < 0.01:
        return "< 0.01×" if lift else "0×"
    return f"{lift:,.0f}×" if lift >= 100 else f"{lift:.2f}×" if lift < 10 else f"{lift:.1f}×"


def significant(value: float, digits: int = 3) -> str:
    """A number with so many digits that count: −0.00431, 12,300."""
    if value and not 1e-4 <= abs(value) < 1e7:
        return minus(f"{value:.{digits}g}")
    places = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return minus(f"{value:,.{places}f}")


def minus(shown: str) -> str:
    return shown.replace("-", "−")


# Names -----------------------------------------------------------------------------------------


def named(ids: Sequence[str]) -> str:
    """Some ids, after a colon."""
    return ": " + ", ".join(quoted(name, 60) for name in ids) if ids else ""


def quoted(text: str, longest: int = 80) -> str:
    """A name from the data, safe in a line of a terminal or a log."""
    shown = printable(text).replace("\n", "\N{SYMBOL FOR NEWLINE}").replace("\t", " ")
    clipped = shown if len(shown) <= longest else shown[: longest - 1] + "…"
    return f"'{clipped}'"


def printable(text: str) -> str:
    """The text with what cannot be seen made visible: controls, bidirectional marks and the like.

    Newlines and tabs stay. A NUL would end an SVG file, and a bidirectional override would turn
    the rest of a line around.
    """
    if text.isprintable():
        return text
    return "".join(_visible(text))


def _visible(text: str) -> Iterator[str]:
    for character in text:
        code = ord(character)
        if character in "\n\t" or character.isprintable() or _joins(character):
            yield character
        elif code < 0x20:
            yield chr(0x2400 + code)
        elif unicodedata.category(character) == "Zs":
            yield " "
        else:
            yield f"⟨U+{code:04X}⟩"


def _joins(character: str) -> bool:
    return character in "\u200c\u200d"  # joiners: Persian, Indic scripts and emoji need them


def clean(said: str) -> str:
    """Without what XML forbids or a reader cannot see."""
    return "".join("\N{REPLACEMENT CHARACTER}" if bad(c) else c for c in printable(said))


def bad(character: str) -> bool:
    return ord(character) & 0xFFFE == 0xFFFE or 0xD800 <= ord(character) <= 0xDFFF
