"""`assay bakeoff`: several methods at one budget, in one table."""

import json
from collections.abc import Mapping
from typing import Any

import click

from assay.api import display
from assay.api.select_command import assembled, means, select, stage_of
from assay.selectors.bakeoff import Entrant
from assay.selectors.bakeoff import bakeoff as compare
from assay.selectors.errors import BadRequest

OWN = ("method", "settings_", "fresh", "dry_run")  # of `select`, and of no use here
SHARED = [option for option in select.params if option.name not in OWN]


def bake(methods: tuple[str, ...], label: str, as_json: bool, **given: Any) -> None:
    """Run several methods at one budget, and compare what they keep.

    METHODS are names, with settings if need be: dsir, dsir:orders=1, uniform.
    """
    workers, engine = given.pop("workers"), given.pop("engine")
    asked = assembled(given | {"method": "uniform", "settings_": ()})
    if label and not asked.group_by:
        raise BadRequest("--label names a value of the column that --group-by names: give both")
    with means(workers, engine) as used:
        found = compare(asked, [entrant(word) for word in methods], label, used)
    print(json.dumps(found, indent=1) if as_json else told(found))


bakeoff = click.Command(
    "bakeoff",
    callback=bake,
    params=[
        click.Argument(["methods"], nargs=-1, required=True, metavar="METHOD[:NAME=VALUE,...]..."),
        click.Option(
            ["--label"], default="", help="Count kept documents of this --group-by value."
        ),
        *SHARED,
    ],
    help=bake.__doc__,
    short_help="Run several methods at one budget, and compare them.",
)


def entrant(word: str) -> Entrant:
    """`dsir:orders=1` under the name that its folder carries."""
    stage = stage_of(word)
    name = word.replace(":", "-").replace("=", "-").replace(",", "-").replace("/", "-")
    return Entrant(name, stage["method"], stage["settings"])


def told(found: Mapping[str, Any]) -> str:
    rows = [["method", "documents", "tokens", "precision", "mean tokens", "rho(length)", "CPU s"]]
    rows += [_row(one) for one in found["methods"]]
    text = display.table(rows, right=(1, 2, 3, 4, 5, 6))
    names = [one["name"] for one in found["methods"]]
    overlap = [["Jaccard", *names]]
    overlap += [[a, *(f"{found['overlap'][a][b]:.3f}" for b in names)] for a in names]
    return f"{text}\n\n{display.table(overlap, right=tuple(range(1, len(names) + 1)))}"


def _row(one: Mapping[str, Any]) -> list[str]:
    precision, rho = one["precision"], one["length_correlation"]
    return [
        one["name"],
        display.number(one["kept"]["documents"]),
        display.number(one["kept"]["tokens"]),
        "-" if precision is None else f"{precision:.3f}",
        f"{one['mean_tokens']:.0f}",
        "-" if rho is None else f"{rho:+.2f}",
        f"{one['cpu_seconds']:.1f}",
    ]
