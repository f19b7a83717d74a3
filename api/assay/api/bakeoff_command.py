"""`assay bakeoff`: several methods at one budget, in one table."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from assay.api import display
from assay.api.select_command import assembled, means, method_of, resumed, select
from assay.selectors.bakeoff import Entrant, tried
from assay.selectors.bakeoff import bakeoff as compare
from assay.selectors.errors import BadRequest

OWN = ("method", "settings_", "fresh")  # of `select`, and of no use here
SHARED = [option for option in select.params if option.name not in OWN]


def bake(methods: tuple[str, ...], label: str, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Run several methods at one budget, and compare what they keep.

    METHODS are names, with settings if need be: dsir, dsir:orders=1, uniform. Each selects into a
    folder of its own below --out.
    """
    workers, engine = given.pop("workers"), given.pop("engine")
    asked = assembled(given | {"method": "uniform", "settings_": ()})
    if label and not asked.group_by:
        raise BadRequest("--label names a value of the column that --group-by names: give both")
    entrants = [entrant(word) for word in methods]
    with means(workers, engine) as used:
        if dry_run:
            trials = tried(asked, entrants, used)
            print(json.dumps(trials, indent=1) if as_json else told_trials(trials))
            return
        made = resumed(lambda: compare(asked, entrants, label, used))
    print(json.dumps(made.found, indent=1) if as_json else told(made.found))
    for one in made.failed:
        print(f"assay: {one.name}: {one.problem}", file=sys.stderr)
    if made.failed:
        raise click.exceptions.Exit(made.failed[0].problem.exit_code)


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
    method, settings = method_of(word)
    name = word.replace(":", "-").replace("=", "-").replace(",", "-").replace("/", "-")
    return Entrant(name, method, settings)


def told(found: Mapping[str, Any]) -> str:
    head = ["method", "documents", "tokens", "precision", "mean tokens", "rho(length)"]
    rows = [[*head, "seconds", "CPU s"], *(_row(one) for one in found["methods"])]
    text = display.table(rows, right=(1, 2, 3, 4, 5, 6, 7))
    names = [one["name"] for one in found["methods"]]
    overlap = [["Jaccard", *names]]
    overlap += [[a, *(f"{found['overlap'][a][b]:.3f}" for b in names)] for a in names]
    return f"{text}\n\n{display.table(overlap, right=tuple(range(1, len(names) + 1)))}"


def _row(one: Mapping[str, Any]) -> list[str]:
    precision, rho, cpu = one["precision"], one["length_correlation"], one["cpu_seconds"]
    return [
        one["name"],
        display.number(one["kept"]["documents"]),
        display.number(one["kept"]["tokens"]),
        "-" if precision is None else f"{precision:.3f}",
        f"{one['mean_tokens']:.0f}",
        "-" if rho is None else f"{rho:+.2f}",
        f"{one['seconds']:.1f}",
        "-" if cpu is None else f"{cpu:.1f}",
    ]


def told_trials(trials: Sequence[Mapping[str, Any]]) -> str:
    rows = [["method", "fit", "score", "write", "in all"]]
    for one in trials:
        time = one["seconds"]
        stages = (time[stage] for stage in ("fit", "score", "write", "total"))
        rows.append([one["name"], *(display.duration(seconds) for seconds in stages)])
    raw = trials[0]["raw"]
    return (
        f"would read {display.some(raw['shards'], 'shard')}, {display.number(raw['rows'])} rows, "
        f"for each method\n\n{display.table(rows, right=(1, 2, 3, 4))}\n\nnothing was written"
    )
