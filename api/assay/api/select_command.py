"""`assay select`: make a selection, or say what it would take."""

import json
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import click
import yaml

from assay.api import display, settings
from assay.jobs.executors import ENGINES, cores, pool
from assay.selectors import estimate, manifest, selection, spec
from assay.selectors.errors import BadSetting, Stopped
from assay.selectors.manifest import Manifest
from assay.selectors.selection import Means
from assay.selectors.spec import Spec

A = TypeVar("A")
NEXT = re.compile(r",(?=[A-Za-z_][\w.-]*=)")  # a comma that ends a setting: another one follows


@click.command(
    epilog="Budgets: 20000docs, 1.5e9tokens, 10GB, 10% (of documents), 10%tokens. URIs: paths, "
    "globs, folders, s3://, gs://, az://. Run the same command again to go on after a stop."
)
@click.argument("method", required=False)
@click.option("--raw", multiple=True, metavar="URI...", help="The corpus to choose from.")
@click.option(
    "--target",
    multiple=True,
    metavar="[NAME=]URI...",
    help="Text of the kind that is wanted. Give names for several targets.",
)
@click.option("--out", metavar="URI", help="Folder for the subset, the scores and the manifest.")
@click.option("--budget", metavar="AMOUNT", help="How much to keep.")
@click.option(
    "--set", "settings_", multiple=True, metavar="NAME=VALUE", help="A setting of the method."
)
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="METHOD[:NAME=VALUE,...]",
    help="Rule documents out by another method first; may be repeated, in order. keep=AMOUNT and "
    "least=SCORE say how much it leaves: --stage lm:keep=50%.",
)
@click.option(
    "--scores",
    multiple=True,
    metavar="NAME=RUN",
    help="An earlier selection of this corpus, whose scores blend can use.",
)
@click.option("--dedup", is_flag=True, help="The same as a first --stage dedup.")
@click.option("--seed", type=int, help="Every random choice hangs on it.  [default: 0]")
@click.option("--text-column", metavar="NAME", help="Column of the text.  [default: text]")
@click.option(
    "--id-column", metavar="NAME", help="Column of the ids.  [default: id, else a hash of the text]"
)
@click.option("--group-by", metavar="NAME", help="Column whose shares the report shows.")
@click.option("--max-bad-rows", type=click.IntRange(0), help="Stop when more cannot be read.")
@click.option("-c", "--config", metavar="FILE", help="A spec in YAML or TOML; flags win over it.")
@click.option("--workers", type=click.IntRange(1), help="[default: one for each processor]")
@click.option("--engine", type=click.Choice(ENGINES), help="[default: threads]")
@click.option("--fresh", is_flag=True, help="Delete what an earlier selection left in --out.")
@click.option("--dry-run", is_flag=True, help="Say what would be read and how long it may take.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def select(
    fresh: bool,
    dry_run: bool,
    as_json: bool,
    workers: int | None,
    engine: str | None,
    **given: Any,
) -> None:
    """Choose the part of a corpus that is worth training on.

    METHOD is one of those that `assay methods` lists, such as dsir or uniform.
    """
    asked = assembled(given)
    with means(workers, engine) as used:
        if dry_run:
            found = estimate.estimate(asked, used)
            print(json.dumps(found, indent=1) if as_json else told_estimate(found))
            return
        made = resumable(asked, used, fresh)
    print(json.dumps(dict(made.content), ensure_ascii=False) if as_json else told(made))


def assembled(given: Mapping[str, Any]) -> Spec:
    """Flags over --set over environment over file over defaults."""
    values: dict[str, Any] = {}
    where = given.get("config") or "the command line"
    if given.get("config"):
        values |= spec.read_file(given["config"])
    values |= settings.spec_defaults()
    named = [n for n in given if n not in ("settings_", "config", "stages", "dedup")]
    values |= {name: given[name] for name in named if given[name] not in (None, ())}
    settings_there = values.get("settings") or {}
    if not isinstance(settings_there, Mapping):
        raise BadSetting(f"{where}: settings: a table such as 'orders: 2' is asked for")
    values["settings"] = dict(settings_there)
    for entry in given["settings_"]:
        put(values["settings"], entry)
    typed = [{name: settings} for name, settings in map(method_of, given["stages"])]
    if stages := [*(["dedup"] if given["dedup"] else []), *typed]:
        values["stages"] = stages
    return spec.from_mapping(values, where)


def method_of(entry: str) -> tuple[str, dict[str, Any]]:
    """`quality:rules=gopher,...` as a method's name and settings."""
    name, _, rest = entry.partition(":")
    values: dict[str, Any] = {}
    for pair in NEXT.split(rest) if rest else []:
        if "=" not in pair:
            raise BadSetting(
                f"{entry}: write it as METHOD or METHOD:NAME=VALUE,...; found {pair!r}"
            )
        put(values, pair)
    return name, values


def put(into: dict[str, Any], entry: str) -> None:
    """`name=value`, `name.key=value` for a setting that is a table; values as in YAML."""
    name, equals, text = entry.partition("=")
    if not equals or not name:
        raise BadSetting(f"--set {entry}: write it as --set name=value")
    try:
        value = yaml.safe_load(text) if text else ""
    except yaml.YAMLError as cause:
        raise BadSetting(f"--set {entry}: the value cannot be read: {cause}") from cause
    *tables, last = name.split(".")
    for key in tables:
        into = into.setdefault(key, {})
        if not isinstance(into, dict):
            raise BadSetting(f"--set {entry}: {key!r} holds a value already, and is no table")
    into[last] = value


@contextmanager
def means(workers: int | None = None, engine: str | None = None) -> Iterator[Means]:
    """Workers, a progress display, and Ctrl-C: once to stop well, twice to stop now."""
    default = settings.means_defaults()
    count = workers or default.get("workers") or cores()
    kind = engine or default.get("engine") or "threads"
    stop = threading.Event()
    with stopping(stop), pool(kind, count, stop) as mapped:
        yield Means(mapped, display.progress(), count, kind)


@contextmanager
def stopping(stop: threading.Event) -> Iterator[None]:
    def asked(signum: int, frame: Any) -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()
        print("\nassay: finishing what is begun; once more stops at once", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def resumable(asked: Spec, used: Means, fresh: bool = False) -> Manifest:
    """The selection; when it is stopped, with the command that goes on."""
    return resumed(lambda: selection.select(asked, used, fresh))


def resumed(work: Callable[[], A]) -> A:
    """The work; when it is stopped, with the command that goes on."""
    try:
        return work()
    except Stopped as stopped:
        command = shlex.join(["assay", *sys.argv[1:]]) if sys.argv[1:] else "the same command"
        raise Stopped(f"{stopped}. To go on:\n  {command}") from None


def told(made: Manifest) -> str:
    """A selection in a few lines."""
    content, request = made.content, made.request
    corpus, spent, run = content["corpus"], content["spent"], made.run
    lines = [
        f"{request['method']}: kept {display.number(spent['documents'])} of "
        f"{display.number(corpus['documents'])} documents "
        f"({display.size(spent['bytes'])} of {display.size(corpus['bytes'])}, "
        f"{display.number(spent['tokens'])} of {display.number(corpus['tokens'])} tokens) "
        f"in {display.duration(run['seconds'])}",
        *told_stages(content["cut"].get("stages", {})),
        *content.get("appraisal", {}).get("said", ()),
        f"budget {request['budget']}, seed {request['seed']}, digest {made.digest}",
        *(f"warning: {warning}" for warning in content["warnings"]),
        f"subset    {display.place(made.uri('part-*.parquet'))} ({len(content['parts'])})",
        f"report    {display.place(made.uri('report.html'))}",
        f"manifest  {display.place(made.uri(manifest.NAME))}",
    ]
    return "\n".join(lines)


def told_stages(stages: Mapping[str, Any]) -> list[str]:
    found = [(name, one["left"], one["documents"]) for name, one in stages.items() if "left" in one]
    told = (f"{name} left {display.number(n)} of {display.number(of)}" for name, n, of in found)
    return ["stages: " + ", ".join(told)] if found else []


def told_estimate(found: Mapping[str, Any]) -> str:
    """A dry run in a few lines."""
    raw, time = found["raw"], found["seconds"]
    workers = display.some(found["workers"], "worker")
    lines = [
        f"would read {display.some(raw['shards'], 'shard')}, {display.number(raw['rows'])} rows, "
        f"{display.size(raw['bytes'])} stored, {display.size(raw['decoded_bytes'])} decoded",
        *(
            f"target {name!r}: {display.some(target['shards'], 'shard')}, "
            f"{display.number(target['rows'])} rows"
            for name, target in found["target"].items()
        ),
        f"would take about {display.duration(time['total'])} with {workers} "
        f"(fit {display.duration(time['fit'])}, score {display.duration(time['score'])}, "
        f"write {display.duration(time['write'])}; measured on {display.size(found['sample'])})",
        *([f"would take about {found['flops']:.2g} FLOPs"] if "flops" in found else []),
        f"would write to {display.place(found['out'])}; nothing was written",
    ]
    return "\n".join(lines)
