"""The report beside the manifest: what was chosen, why, and what looks wrong about it.

The numbers come first (report.json); the page (report.html) and the picture (chosen.svg) only show
them. The page holds everything it needs: no script, no font, nothing fetched.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from assay.selectors import alarms, charts, findings, storage
from assay.selectors.alarms import Check
from assay.selectors.charts import Axis, Series, Share
from assay.selectors.outcome import Outcome
from assay.selectors.selector import Fold

JSON, PAGE, PICTURE = "report.json", "report.html", "chosen.svg"
GROUPS_PICTURED = 12  # in the picture that stands alone; the page shows all that are listed
SHOWN = 400  # characters of an example
BLANK_LINES = re.compile(r"\n\s*\n")


def write(outcome: Outcome, fold: Fold) -> list[str]:
    """Write report.json, report.html and chosen.svg; returns the alarms as warnings."""
    found = findings.find(outcome, fold)
    checks = alarms.checks(found)
    found["checks"] = [check.entry() for check in checks]
    files = {JSON: as_json(found), PAGE: page(found, checks), PICTURE: picture(found)}
    for name, text in files.items():
        storage.write_bytes(storage.join(outcome.spec.out, name), text.encode())
    return [check.sentence for check in checks if check.fired]


def as_json(found: Mapping[str, Any]) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def page(found: Mapping[str, Any], checks: list[Check]) -> str:
    """The report as one HTML file."""
    return template().render(
        found=found,
        title=title(found),
        subtitle=subtitle(found),
        fired=[check for check in checks if check.fired],
        quiet=[check for check in checks if not check.fired],
        groups=charts.shares(rows(found, findings.GROUPS_SHOWN)) if several(found) else None,
        alike=all_alike(found),
        scores=charts.distributions(*score_axis(found), width=720),
        lengths=charts.distributions(*length_axis(found), width=720),
        style=Markup(charts.STYLE),
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
        loader=PackageLoader("assay.selectors", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount": charts.amount,
        "count": lambda number: f"{number:,}",
        "data": charts.data,
        "number": charts.significant,
        "percent": alarms.percent,
        "times": charts.times,
        "clean": charts.clean,
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
    share = {size: alarms.percent(kept[size] / max(corpus[size], 1)) for size in findings.SIZES}
    targets = ", ".join(found["selection"]["targets"])
    towards = f", towards {charts.clean(targets)}" if targets else ""
    return f"{share['documents']} of the documents, {share['tokens']} of the tokens{towards}"


def sentence(words: str) -> str:
    """With a capital, and no line break before a per cent sign."""
    return (words[:1].upper() + words[1:]).replace(" %", "\N{NO-BREAK SPACE}%")


def excerpt(text: str) -> str:
    shown = charts.clean(BLANK_LINES.sub("\n", text[:SHOWN])).strip()
    return shown + " …" if len(text) >= SHOWN else shown


def plain(value: Any) -> str:
    """A setting as it is written in a spec."""
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return charts.clean(shown)


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


SHARE = "share_of_tokens"
ZERO = {SHARE: 0.0}


def row(name: str, group: Mapping[str, Any]) -> Share:
    kept, corpus = group["kept"], group["corpus"]
    detail = (
        f"kept {kept['documents']:,} of {corpus['documents']:,} documents, "
        f"{kept['tokens']:,} of {corpus['tokens']:,} tokens"
    )
    return Share(charts.clean(name), corpus[SHARE], kept[SHARE], group["lift"], detail)


def all_alike(found: Mapping[str, Any]) -> bool:
    """Whether there is one score only, or none."""
    sides = [found["scores"][side] for side in findings.SIDES]
    some = [side for side in sides if side["documents"]]
    return not some or min(s["low"] for s in some) == max(s["high"] for s in some)


def score_axis(found: Mapping[str, Any]) -> tuple[Axis, Series, Series]:
    scores = found["scores"]
    histogram, cut = scores["histogram"], scores["cut"]
    name = "score" if len(scores["columns"]) == 1 else "highest score of the targets"
    said = f"cut {charts.significant(cut)}" if cut is not None else ""
    sides = [Series(side, histogram[side], scores[side]["documents"]) for side in findings.SIDES]
    return Axis(name, histogram["edges"], mark=cut, mark_name=said), sides[0], sides[1]


def length_axis(found: Mapping[str, Any]) -> tuple[Axis, Series, Series]:
    lengths, totals = found["lengths"], found["totals"]
    both = [a + b for a, b in zip(lengths["kept"], lengths["dropped"], strict=True)]
    corpus = Series("corpus", both, totals["corpus"]["documents"])
    kept = Series("kept", lengths["kept"], totals["kept"]["documents"])
    title = "tokens in a document (each bin is half a doubling)"
    return Axis(title, lengths["edges"], log=True), corpus, kept
