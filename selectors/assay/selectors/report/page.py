"""How the findings look: one HTML file that holds everything it needs, and one picture.

No script, no font, nothing fetched.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from assay.selectors.report import charts, words
from assay.selectors.report.alarms import Check
from assay.selectors.report.charts import Axis, Series, Share
from assay.selectors.report.findings import GROUPS_SHOWN
from assay.selectors.report.heat import heat
from assay.selectors.report.svg import STYLE
from assay.selectors.report.values import SIDES, SIZES

GROUPS_PICTURED = 12  # in the picture that stands alone; the page shows all that are listed
SHOWN = 400  # characters of an example
BLANK_LINES = re.compile(r"\n\s*\n")


def page(found: Mapping[str, Any], checks: list[Check]) -> str:
    """The report as one HTML file."""
    return template().render(
        found=found,
        title=title(found),
        subtitle=subtitle(found),
        fired=[check for check in checks if check.fired],
        quiet=[check for check in checks if not check.fired],
        groups=charts.shares(rows(found, GROUPS_SHOWN)) if several(found) else None,
        alike=all_alike(found),
        scores=charts.distributions(*score_axis(found), width=720),
        lengths=charts.distributions(*length_axis(found), width=720),
        loadings=loadings(found["directions"]),
        overlaps=overlaps(found["directions"]),
        style=Markup(STYLE),
    )


def picture(found: Mapping[str, Any]) -> str:
    """What was chosen, in one SVG file."""
    some = rows(found, GROUPS_PICTURED) if several(found) else []
    axis = length_axis(found) if all_alike(found) else score_axis(found)
    drawn = charts.chosen(title(found), subtitle(found), some, *axis)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{drawn}\n'


@cache
def template() -> Template:
    """The page's template, which escapes whatever it is given."""
    environment = Environment(
        loader=PackageLoader("assay.selectors.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount": words.amount,
        "count": lambda number: f"{number:,}",
        "data": words.data,
        "number": words.significant,
        "percent": words.percent,
        "times": words.times,
        "clean": words.clean,
        "sentence": sentence,
        "excerpt": excerpt,
        "plain": plain,
    }
    return environment.get_template("report.html.j2")


# Words -----------------------------------------------------------------------------------------


def title(found: Mapping[str, Any]) -> str:
    totals = found["totals"]
    kept, corpus = totals["kept"]["documents"], totals["corpus"]["documents"]
    return f"{found['selection']['method']} kept {kept:,} of {corpus:,} documents"


def subtitle(found: Mapping[str, Any]) -> str:
    kept, corpus = found["totals"]["kept"], found["totals"]["corpus"]
    share = {size: words.percent(kept[size] / max(corpus[size], 1)) for size in SIZES}
    targets = ", ".join(found["selection"]["targets"])
    towards = f", towards {words.clean(targets)}" if targets else ""
    return f"{share['documents']} of the documents, {share['tokens']} of the tokens{towards}"


def sentence(said: str) -> str:
    """With a capital, and no line break before a per cent sign."""
    return (said[:1].upper() + said[1:]).replace(" %", "\N{NO-BREAK SPACE}%")


def excerpt(text: str) -> str:
    shown = words.clean(BLANK_LINES.sub("\n", text[:SHOWN])).strip()
    return shown + " …" if len(text) >= SHOWN else shown


def plain(value: Any) -> str:
    """A setting as it is written in a spec."""
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return words.clean(shown)


# Pictures --------------------------------------------------------------------------------------


def several(found: Mapping[str, Any]) -> bool:
    return bool(found["groups"]["count"] > 1)


def rows(found: Mapping[str, Any], most: int) -> list[Share]:
    """The largest groups, and the rest in one row."""
    groups = found["groups"]
    listed = [row(group["name"] or "(no name)", group) for group in groups["shown"]]
    rest, left = groups["rest"], listed[most:]
    corpus = sum(share.corpus for share in left) + (rest or {"corpus": ZERO})["corpus"][SHARE]
    kept = sum(share.kept for share in left) + (rest or {"kept": ZERO})["kept"][SHARE]
    if not left and not rest:
        return listed
    lift = kept / corpus if corpus else None
    return [*listed[:most], Share("all others", corpus, kept, lift)]


FULL_OVERLAP = 0.1  # a tenth in common, five times chance at 2 %, has the full colour
SHARE = "share_of_tokens"
ZERO = {SHARE: 0.0}


def row(name: str, group: Mapping[str, Any]) -> Share:
    kept, corpus = group["kept"], group["corpus"]
    detail = (
        f"kept {kept['documents']:,} of {corpus['documents']:,} documents, "
        f"{kept['tokens']:,} of {corpus['tokens']:,} tokens"
    )
    return Share(words.clean(name), corpus[SHARE], kept[SHARE], group["lift"], detail)


def loadings(directions: Mapping[str, Any] | None) -> Markup | None:
    """Which columns a direction is made of."""
    if not directions or not directions["loadings"]:
        return None
    names = [one["name"] + (" *" if one["contrast"] else "") for one in directions["directions"]]
    columns = [column["name"] for column in directions["columns"]]
    return heat("Loadings of the directions", names, columns, directions["loadings"], loading)


def overlaps(directions: Mapping[str, Any] | None) -> Markup | None:
    """Which part of the top of one end stands in the top of another."""
    if not directions or not directions["overlap"] or len(directions["tails"]) < 2:
        return None
    names = [tail["name"] for tail in directions["tails"]]
    part = [[0.0 if i == j else value for j, value in enumerate(row)]
            for i, row in enumerate(directions["overlap"]["part"])]  # fmt: skip
    return heat("Overlap of the ends", names, names, part, overlap, FULL_OVERLAP)


def loading(value: float) -> str:
    """+.51; nothing where it is too small to count."""
    if abs(value) < 0.1:
        return ""
    return f"{value:+.2f}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}")


def overlap(value: float) -> str:
    return words.percent(value) if value >= 0.0005 else ""


def all_alike(found: Mapping[str, Any]) -> bool:
    """Whether there is one score only, or none."""
    sides = [found["scores"][side] for side in SIDES]
    some = [side for side in sides if side["documents"]]
    return not some or min(s["low"] for s in some) == max(s["high"] for s in some)


def score_axis(found: Mapping[str, Any]) -> tuple[Axis, Series, Series]:
    scores = found["scores"]
    histogram, cut = scores["histogram"], scores["cut"]
    name = "score" if len(scores["columns"]) == 1 else "highest score of the targets"
    said = f"cut {words.significant(cut)}" if cut is not None else ""
    sides = [Series(side, histogram[side], scores[side]["documents"]) for side in SIDES]
    return Axis(name, histogram["edges"], mark=cut, mark_name=said), sides[0], sides[1]


def length_axis(found: Mapping[str, Any]) -> tuple[Axis, Series, Series]:
    lengths, totals = found["lengths"], found["totals"]
    both = [a + b for a, b in zip(lengths["kept"], lengths["dropped"], strict=True)]
    corpus = Series("corpus", both, totals["corpus"]["documents"])
    kept = Series("kept", lengths["kept"], totals["kept"]["documents"])
    title = "tokens in a document (each bin is half a doubling)"
    return Axis(title, lengths["edges"], log=True), corpus, kept
