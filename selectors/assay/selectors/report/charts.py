"""Small pictures as SVG, made by hand: two distributions, and shares before and after.

They are read by people, so axes have units, ticks are round, bins tell their numbers on hover, and
the colours (after Okabe and Ito 2008) differ in lightness too: for the colour-blind, and on paper.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from assay.selectors.report.svg import LETTER, at, breadth, fitted, moved, picture, tag, text
from assay.selectors.report.ticks import label_of, log_ticks, tick_percent, tick_step, ticks
from assay.selectors.report.words import amount, clean, percent, times

ROW = 28  # height of a row of shares


@dataclass(frozen=True)
class Series:
    """One of the two distributions of a picture: a name, and documents per bin."""

    name: str
    counts: Sequence[int]
    total: int

    def share(self, place: int) -> float:
        return self.counts[place] / max(self.total, 1)


@dataclass(frozen=True)
class Axis:
    """What runs along the bottom: its title, and how a value becomes a place and a label."""

    title: str
    edges: Sequence[float]
    log: bool = False
    mark: float | None = None  # a line across the picture
    mark_name: str = ""

    def at(self, value: float) -> float:
        """From 0 to 1."""
        low, high = self._place(self.edges[0]), self._place(self.edges[-1])
        return (self._place(value) - low) / (high - low)

    def ticks(self) -> list[tuple[float, str]]:
        make = log_ticks if self.log else ticks
        return make(float(self.edges[0]), float(self.edges[-1]))

    def _place(self, value: float) -> float:
        return math.log2(max(value, 0.5)) if self.log else value


@dataclass(frozen=True)
class Share:
    """A row of shares: a group's part of the corpus, and of what is kept."""

    name: str
    corpus: float
    kept: float
    lift: float | None
    detail: str = ""


# The pictures ----------------------------------------------------------------------------------


def distributions(
    axis: Axis, back: Series, front: Series, width: int = 640, height: int = 260
) -> Markup:
    """Two distributions, one over the other, each adding up to 100 %."""
    body = _distributions(axis, back, front, width, height)
    return picture(width, height, f"{back.name} and {front.name} by {axis.title}", body)


def shares(rows: Sequence[Share], width: int = 640) -> Markup:
    """Bars in pairs, with what they come to."""
    height = shares_height(len(rows))
    return picture(width, height, "Shares of the kept text and of the corpus", _shares(rows, width))


def chosen(
    title: str, subtitle: str, rows: Sequence[Share], axis: Axis, back: Series, front: Series
) -> Markup:
    """What was chosen, in one picture that stands alone."""
    gap, side, wide = 28, 24, 480
    columns = 2 if rows else 1
    inside = max(shares_height(len(rows)), 280)
    height = inside + 108
    width = 2 * side + columns * wide + (columns - 1) * gap if rows else 2 * side + 640
    panel = wide if rows else 640
    parts = [
        tag("rect", width=width, height=height, class_="paper"),
        text(side, 34, title, class_="title"),
        text(side, 54, subtitle, class_="quiet"),
    ]
    if rows:
        parts.append(moved(side, 84, _shares(rows, wide)))
    left = side + wide + gap if rows else side
    parts.append(moved(left, 84, _distributions(axis, back, front, panel, min(inside, 400))))
    return picture(width, height, title, Markup("").join(parts), standalone=True)


# Two distributions -----------------------------------------------------------------------------


def _distributions(axis: Axis, back: Series, front: Series, width: int, height: int) -> Markup:
    left, right, top, bottom = 46, 14, 40, 46
    plot_width, plot_height = width - left - right, height - top - bottom
    bins = range(len(axis.edges) - 1)
    most = max([series.share(n) for series in (back, front) for n in bins], default=0) or 1.0
    step = tick_step(most / 3.2)
    ceiling = math.ceil(most / step - 1e-9) * step

    def x(value: float) -> float:
        return left + plot_width * axis.at(value)

    def y(share: float) -> float:
        return top + plot_height * (1 - share / ceiling)

    floor = top + plot_height
    parts = [_legend(left, 14, back, front)]
    for n in range(round(ceiling / step) + 1):
        parts += [
            tag("path", d=f"M{left} {at(y(n * step))}H{width - right}", class_="line"),
            text(left - 7, y(n * step) + 4, tick_percent(n * step, step), "end", "quiet number"),
        ]
    parts += [
        tag("path", d=_outline(axis, back, x, y, floor), class_="under"),
        tag("path", d=_outline(axis, front, x, y, floor), class_="over"),
        tag("path", d=f"M{left} {at(floor)}H{width - right}", class_="base"),
        *_x_labels(axis, x, floor, left, width - right),
        text(left + plot_width / 2, height - 6, axis.title, "middle", "quiet"),
    ]
    if axis.mark is not None and axis.edges[0] <= axis.mark <= axis.edges[-1]:
        parts += _mark(axis, x(axis.mark), top, floor, width - right)
    parts += [_bin(axis, n, back, front, x, top, plot_height) for n in bins]
    return Markup("").join(parts)


def _outline(
    axis: Axis,
    series: Series,
    x: Callable[[float], float],
    y: Callable[[float], float],
    floor: float,
) -> str:
    """Steps from bin to bin; closed along the floor, and only where there is something."""
    pieces: list[str] = []
    drawing = False
    for n in range(len(axis.edges) - 1):
        share = series.share(n)
        if share and not drawing:
            pieces.append(f"M{at(x(axis.edges[n]))} {at(floor)}")
        if share:
            pieces.append(f"V{at(y(share))}H{at(x(axis.edges[n + 1]))}")
        elif drawing:
            pieces.append(f"V{at(floor)}Z")
        drawing = bool(share)
    return "".join(pieces) + (f"V{at(floor)}Z" if drawing else "") or "M0 0"


def _x_labels(
    axis: Axis, x: Callable[[float], float], floor: float, first: float, last: float
) -> list[Markup]:
    parts: list[Markup] = []
    free = -math.inf
    for value, label in axis.ticks():
        place, half = x(value), len(label) * LETTER / 2
        if place < first - 0.5 or place > last + 0.5:
            continue
        parts.append(tag("path", d=f"M{at(place)} {at(floor)}v4", class_="base"))
        # A label that would touch the one before is left out; its tick stays.
        if place - half > free + 8:
            parts.append(text(place, floor + 18, label, "middle", "quiet number"))
            free = place + half
    return parts


def _mark(axis: Axis, place: float, top: float, floor: float, last: float) -> list[Markup]:
    fits = place + 6 + len(axis.mark_name) * LETTER < last
    beside = text(place + (6 if fits else -6), top + 4, axis.mark_name, "start" if fits else "end")
    return [tag("path", d=f"M{at(place)} {at(top - 8)}V{at(floor)}", class_="cut"), beside]


def _bin(
    axis: Axis,
    n: int,
    back: Series,
    front: Series,
    x: Callable[[float], float],
    top: float,
    height: float,
) -> Markup:
    low, high = axis.edges[n], axis.edges[n + 1]
    scale = float(axis.edges[-1]) - float(axis.edges[0])
    between = f"{label_of(low, scale)} to {label_of(high, scale)}"
    said = [
        f"{series.name}: {series.counts[n]:,} ({percent(series.share(n))})"
        for series in (front, back)
    ]
    return tag(
        "rect",
        tag("title", clean("\n".join([between, *said]))),
        x=at(x(low)),
        y=at(top),
        width=at(max(x(high) - x(low), 0)),
        height=at(height),
        class_="hover",
    )


def _legend(left: float, top: float, back: Series, front: Series) -> Markup:
    parts: list[Markup] = []
    for series, kind in ((front, "over"), (back, "under")):
        words = f"{series.name} ({amount(series.total)})"
        parts += [
            tag("rect", x=at(left), y=at(top - 9), width=12, height=10, rx=2, class_=kind),
            text(left + 18, top, words),
        ]
        left += 18 + len(words) * LETTER + 22
    return Markup("").join(parts)


# Shares ----------------------------------------------------------------------------------------


def shares_height(rows: int) -> int:
    return 30 + rows * ROW + 6


def _shares(rows: Sequence[Share], width: int) -> Markup:
    names = min(max([breadth(row.name) for row in rows], default=0) + 4, width * 0.34)
    left, right = names + 12, width - 174
    most = max([max(row.corpus, row.kept) for row in rows], default=0) or 1.0
    parts = [
        tag("rect", x=at(left), y=5, width=12, height=10, rx=2, class_="front"),
        text(left + 18, 14, "kept"),
        tag("rect", x=at(left + 62), y=5, width=12, height=10, rx=2, class_="back"),
        text(left + 80, 14, "corpus"),
        text(right + 70, 14, "kept", "end", "quiet"),
        text(right + 126, 14, "corpus", "end", "quiet"),
        text(width, 14, "lift", "end", "quiet"),
    ]
    for number, row in enumerate(rows):
        top = 30 + number * ROW
        scale = (right - left) / most
        parts += [
            text(left - 10, top + 13, fitted(row.name, names), "end"),
            _bar(left, top, row.kept * scale, "front"),
            _bar(left, top + 10, row.corpus * scale, "back"),
            text(right + 70, top + 13, percent(row.kept), "end", "number strong"),
            text(right + 126, top + 13, percent(row.corpus), "end", "number quiet"),
            text(width, top + 13, times(row.lift), "end", "number"),
            _row_title(row, top, width),
        ]
    parts.append(tag("path", d=f"M{at(left)} 26v{len(rows) * ROW}", class_="base"))
    return Markup("").join(parts)


def _bar(left: float, top: float, length: float, kind: str) -> Markup:
    if length <= 0:
        return Markup("")
    # What is there at all is seen: at least half a pixel.
    return tag(
        "rect", x=at(left), y=at(top), width=at(max(length, 0.5)), height=9, rx=1, class_=kind
    )


def _row_title(row: Share, top: float, width: float) -> Markup:
    said = "\n".join(part for part in (row.name, row.detail) if part)
    title = tag("title", clean(said))
    return tag("rect", title, x=0, y=at(top - 4), width=at(width), height=ROW, class_="hover")
