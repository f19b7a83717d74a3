"""Elements of SVG as text, escaped."""

from typing import Any
from unicodedata import east_asian_width

from markupsafe import Markup, escape

from assay.selectors.report.words import clean, printable

STYLE = """
.chart { font: 12px system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; }
.chart text { fill: #24292f; }
.chart .quiet { fill: #5c6670; }
.chart .strong { font-weight: 600; }
.chart .title { font-size: 15px; font-weight: 600; }
.chart .number { font-variant-numeric: tabular-nums; }
.chart .line { stroke: #dfe3e8; stroke-width: 1; fill: none; }
.chart .base { stroke: #8b949e; stroke-width: 1; fill: none; }
.chart .cut { stroke: #24292f; stroke-width: 1.25; stroke-dasharray: 4 3; fill: none; }
.chart .front { fill: #0072b2; }
.chart .back { fill: #b8c0c9; }
.chart .over { fill: #0072b2; fill-opacity: .55; stroke: #0072b2; stroke-width: 1.5; }
.chart .under { fill: #b8c0c9; fill-opacity: .65; stroke: #8b949e; stroke-width: 1; }
.chart .paper { fill: #ffffff; }
.chart .hover { fill: transparent; }
.chart .hover:hover { fill: #24292f; fill-opacity: .07; }
@media (prefers-color-scheme: dark) {
  .chart text { fill: #e6edf3; }
  .chart .quiet { fill: #9aa5b1; }
  .chart .line { stroke: #2b323b; }
  .chart .base { stroke: #6e7985; }
  .chart .cut { stroke: #e6edf3; }
  .chart .front { fill: #56b4e9; }
  .chart .back { fill: #59636e; }
  .chart .over { fill: #56b4e9; fill-opacity: .5; stroke: #56b4e9; }
  .chart .under { fill: #59636e; fill-opacity: .6; stroke: #7d8894; }
  .chart .paper { fill: #0f1419; }
  .chart .hover:hover { fill: #ffffff; fill-opacity: .09; }
}
"""
LETTER = 6.8  # width of an average letter at 12 px: labels are fitted by it, as no font is at hand


def picture(width: int, height: int, label: str, body: Markup, standalone: bool = False) -> Markup:
    style = tag("style", Markup(STYLE)) if standalone else Markup("")
    size = {"width": width, "height": height} if standalone else {}
    return tag(
        "svg",
        style + tag("title", clean(label)) + body,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        role="img",
        class_="chart",
        **size,
    )


def tag(name: str, body: Markup | str = "", **attributes: Any) -> Markup:
    """An element. Attributes and text are escaped; an attribute `class_` is a class."""
    said = "".join(_attribute(key, value) for key, value in attributes.items())
    return Markup(f"<{name}{said}>{escape(body)}</{name}>" if body else f"<{name}{said}/>")


def _attribute(key: str, value: Any) -> str:
    return f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'


def text(x: float, y: float, said: str, anchor: str = "start", class_: str = "") -> Markup:
    more = {"class_": class_} if class_ else {}
    return tag("text", clean(said), x=at(x), y=at(y), text_anchor=anchor, **more)


def moved(x: float, y: float, body: Markup) -> Markup:
    return tag("g", body, transform=f"translate({at(x)} {at(y)})")


def fitted(said: str, width: float) -> str:
    """The text, cut to a width."""
    shown = printable(said[:200]).replace("\n", " ")
    if breadth(shown) <= width:
        return shown
    while shown and breadth(shown + "…") > width:
        shown = shown[:-1]
    return shown + "…"


def breadth(said: str) -> float:
    """About how wide a text is drawn; Chinese, Japanese and Korean letters are twice as wide."""
    return sum(2 * LETTER if east_asian_width(c) in "WF" else LETTER for c in said)


def at(number: float) -> str:
    """A coordinate: two digits after the point, and no more than are needed."""
    return f"{number:.2f}".rstrip("0").rstrip(".")
