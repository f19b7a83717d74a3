"""A table of numbers as a picture: colour for size, the number in each cell."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from assay.selectors.report.svg import breadth, fitted, picture, tag, text

ROW, LEFT = 28, 96
UP, DOWN = "#0072b2", "#d55e00"  # after Okabe and Ito 2008: they differ in lightness too
OPAQUE = 0.85  # of a cell at its fullest


def heat(
    label: str, rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]],
    shown: Callable[[float], str], full: float = 1.0, width: int = 720,
) -> Markup:  # fmt: skip
    """Rows of cells under slanted names; `full` is the number whose cell has the full colour."""
    top = 24 + 0.6 * max((min(breadth(name), 110) for name in columns), default=0)
    each = (width - LEFT) / max(len(columns), 1)
    body = Markup("")
    for place, name in enumerate(columns):
        x = LEFT + (place + 0.5) * each
        turned = f"translate({x:.1f} {top - 8:.1f}) rotate(-38)"
        body += tag("g", text(0, 0, fitted(name, 110), class_="quiet"), transform=turned)
    for number, (name, line) in enumerate(zip(rows, values, strict=True)):
        y = top + number * ROW
        body += text(LEFT - 8, y + ROW / 2 + 4, fitted(name, LEFT - 12), "end", "strong")
        for place, value in enumerate(line):
            said = f"{name}, {columns[place]}: {value:.4g}"
            cell = _cell(LEFT + place * each, y, each, min(max(value / full, -1), 1), said)
            body += cell + _number(LEFT + (place + 0.5) * each, y, each, shown(value))
    return picture(width, round(top) + ROW * len(rows) + 4, label, body)


def _cell(x: float, y: float, width: float, part: float, said: str) -> Markup:
    return tag(
        "rect", tag("title", said), x=f"{x + 1:.1f}", y=f"{y + 1:.1f}", width=f"{width - 2:.1f}",
        height=ROW - 2, rx=3, fill=UP if part >= 0 else DOWN,
        fill_opacity=f"{OPAQUE * abs(part):.3f}",
    )  # fmt: skip


def _number(x: float, y: float, width: float, shown: str) -> Markup:
    if not shown or breadth(shown) > width:
        return Markup("")
    return text(x, y + ROW / 2 + 4, shown, "middle", "number")
