"""`assay rate`: a model's opinion of a sample, as score columns."""

import json
import shlex
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from assay.api import display, settings
from assay.api.select_command import put, stopping
from assay.jobs.executors import cores, pool
from assay.selectors import spec
from assay.selectors.errors import CapReached, EndpointFailed, Stopped
from assay.selectors.rating import ratings, rubrics
from assay.selectors.rating.endpoint import Endpoint, need_httpx
from assay.selectors.rating.questions import FORMS
from assay.selectors.rating.ratings import Asked, Rated
from assay.selectors.rating.sending import Patience
from assay.selectors.selection import Means

REASONS = 3  # that are shown; all stand in NAME.run.json


@click.command(
    epilog="The key of the endpoint, where it wants one, is read from ASSAY_RATER_KEY and written "
    "nowhere. Run the same command again to go on after a stop: nothing is paid for twice."
)
@click.option("--raw", multiple=True, metavar="URI...", help="The corpus to take a sample of.")
@click.option("--out", default="", metavar="NAME.parquet", help="Where the score columns go.")
@click.option("--model", default="", metavar="NAME", help="As the endpoint calls it.")
@click.option(
    "--endpoint",
    default="",
    metavar="URL",
    help="Up to and without /chat/completions.  [default: ASSAY_RATER_URL]",
)
@click.option(
    "--sample", type=click.IntRange(1), default=2000, show_default=True, help="Documents to rate."
)
@click.option("--rubric", "names", multiple=True, metavar="NAME", help="Only this one of them.")
@click.option("--rubrics", "file", metavar="FILE", help="Rubrics of your own, in YAML or TOML.")
@click.option("--separate", is_flag=True, help="A request for each rubric, not one for all.")
@click.option(
    "--characters",
    type=click.IntRange(1, 1_000_000),
    default=6000,
    show_default=True,
    help="Of a text's beginning that are sent.",
)
@click.option("--price-in", default="0", metavar="X", help="Of a million tokens that are sent.")
@click.option("--price-out", default="0", metavar="X", help="Of a million tokens of answers.")
@click.option("--max-cost", default="", metavar="X", help="Never spend more, over all stops.")
@click.option(
    "--answer",
    "form",
    type=click.Choice(FORMS),
    default=FORMS[0],
    show_default=True,
    help="How the endpoint is asked for JSON.",
)
@click.option(
    "--body", multiple=True, metavar="NAME=VALUE", help="A field of each request; null drops it."
)
@click.option(
    "--at-once", type=click.IntRange(1, 256), default=8, show_default=True, help="Open requests."
)
@click.option(
    "--tries", type=click.IntRange(1, 100), default=10, show_default=True, help="For each request."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    default=120,
    show_default=True,
    help="Seconds for one request.",
)
@click.option("--cache", default="", metavar="DIR", help="Of answers.  [default: NAME.cache]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sample.")
@click.option("--text-column", default="text", show_default=True, metavar="NAME")
@click.option(
    "--id-column", metavar="NAME", help="Column of the ids.  [default: id, else a hash of the text]"
)
@click.option("--fresh", is_flag=True, help="Write over other ratings; known answers are kept.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked, and what it may cost.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def rate(
    names: tuple[str, ...],
    file: str | None,
    body: tuple[str, ...],
    endpoint: str,
    at_once: int,
    tries: int,
    timeout: float,
    fresh: bool,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Let a model rate a sample of a corpus, by rubrics.

    The model is behind any endpoint that speaks OpenAI's chat completions protocol. What it says
    becomes the columns score.language, score.knowledge and score.difficulty of a Parquet file.
    """
    need_httpx()
    known_url, key = settings.rater()
    known = rubrics.from_mapping(spec.read_file(file), file) if file else rubrics.SHIPPED
    extra: dict[str, Any] = {}
    for entry in body:
        put(extra, entry)
    asked = Asked(
        endpoint=(endpoint or known_url).rstrip("/"),
        rubrics=rubrics.chosen(names, known),
        extra=extra,
        **given,
    ).checked()
    stop = threading.Event()
    with using(stop) as means, Endpoint(asked.endpoint, key, timeout, at_once) as server:
        if dry_run:
            found = ratings.estimate(asked, means)
            click.echo(json.dumps(found, indent=1) if as_json else told_estimate(found))
            return
        patience = Patience(at_once, tries, stop=stop)
        made = resumed(lambda: ratings.rate(asked, patience, server, means, fresh))
    if as_json:
        click.echo(json.dumps(made.found, ensure_ascii=False))
    elif made.found["rated"]:
        click.echo(told(made))
    else:
        click.echo("\n".join([told_money(made.found["spent"]), *told_losses(made.found)]), err=True)
    check(made)


@contextmanager
def using(stop: threading.Event) -> Iterator[Means]:
    """Threads to read the corpus with, and Ctrl-C: once to stop well, twice to stop now."""
    count = settings.means_defaults().get("workers") or cores()
    with stopping(stop), pool("threads", count, stop) as mapped:
        yield Means(mapped, display.progress(), count, "threads")


def resumed(work: Any) -> Rated:
    try:
        made: Rated = work()
    except Stopped as stopped:
        command = shlex.join(["assay", *sys.argv[1:]]) if sys.argv[1:] else "the same command"
        raise Stopped(f"{stopped}. To go on:\n  {command}") from None
    return made


def check(made: Rated) -> None:
    """What is not whole is no success, though all that was rated is written."""
    found = made.found
    done = f"{display.number(found['rated'])} of {display.number(found['asked'])} documents"
    if not found["rated"]:
        done = f"none of {display.number(found['asked'])} documents"
    if found["capped"]:
        raise CapReached(
            f"the cap of {found['spent']['cap']} is reached: {done} are rated; what is, is "
            "written. Run it again with a higher --max-cost to go on"
        )
    if not made.complete:
        raise EndpointFailed(
            f"{done} could be rated; what was, is written. Run it again to ask for the others"
        )


def told(made: Rated) -> str:
    """What was rated and spent, in a few lines."""
    found, out = made.found, made.out
    rows = [["score", "mean", "documents with each point"]]
    for name, column in found["columns"].items():
        points = "  ".join(f"{point}: {count}" for point, count in column["points"].items())
        rows.append([name, "-" if column["mean"] is None else f"{column['mean']:.2f}", points])
    stem = out.removesuffix(".parquet")
    return "\n".join(
        [
            f"{found['request']['model']}: rated {display.number(found['rated'])} of "
            f"{display.number(found['asked'])} documents in {display.duration(found['seconds'])}",
            told_money(found["spent"]),
            *told_losses(found),
            "",
            display.table(rows, right=(1,)),
            "",
            f"scores   {display.place(out)}",
            f"sidecar  {display.place(stem)}.json",
            f"run      {display.place(stem)}.run.json",
        ]
    )


def told_money(spent: Mapping[str, Any]) -> str:
    told = (
        f"spent in all: {display.some(spent['requests'], 'request')}, "
        f"{display.number(spent['tokens_sent'])} tokens sent, "
        f"{display.number(spent['tokens_answered'])} answered"
    )
    if spent["cap"] is not None:
        told += f", cost {spent['cost']}"
        if float(spent["cost_unsure"]):
            told += f" and at most {spent['cost_unsure']} for requests whose end is unknown"
        told += f" (cap {spent['cap']})"
    return told


def told_losses(found: Mapping[str, Any]) -> Iterator[str]:
    counted = {
        "tried again": found["tried_again"],
        "given up": found["given_up"],
        "left out": {
            "empty text": found["empty"],
            "an id that another document has": found["repeated_ids"],
            "unreadable row": found["unreadable"],
        },
    }
    for what, reasons in counted.items():
        shown = [f"{display.number(n)} ({reason})" for reason, n in reasons.items() if n]
        if shown:
            more = f" and {len(shown) - REASONS} other reasons" if len(shown) > REASONS else ""
            yield f"{what}: {', '.join(shown[:REASONS])}{more}"


def told_estimate(found: Mapping[str, Any]) -> str:
    cost, raw = found["cost"], found["raw"]
    priced = (
        f", cost about {cost['likely']}, without failures at most {cost['most']} "
        f"(cap {cost['cap']})"
        if cost["cap"]
        else "; no price is given"
    )
    return (
        f"would read {display.some(raw['shards'], 'shard')}, {display.number(raw['rows'])} rows, "
        f"and rate {display.some(found['sample'] - found['empty'], 'document')}\n"
        f"would send {display.some(found['requests'], 'request')}, {display.size(found['bytes'])}, "
        f"some {display.number(found['tokens'])} tokens{priced}\n"
        "nothing was sent, nothing was written"
    )
