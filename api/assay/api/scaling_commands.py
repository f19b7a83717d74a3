"""`assay laws`, `assay fit`, `assay plan`, `assay recommend`: from a command line to one function.

`COMMANDS` is what the program adds to its group. Data goes to stdout, everything else to stderr.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assay.scaling.commands import Budget, Reply, laws_run, plan_run, recommend_run
from assay.scaling.costs import Rates
from assay.scaling.errors import BadFitSetting
from assay.scaling.hardware import TABLE, USUAL_MFU, USUAL_PUE
from assay.scaling.hardware import find as find_hardware
from assay.scaling.law import Law
from assay.scaling.opinions import Request
from assay.scaling.plan import MixtureSpec, PlanSpec, known
from assay.scaling.registry import find
from assay.scaling.reporting import as_json, written
from assay.selectors.errors import StorageError

if TYPE_CHECKING:  # scipy and polars take two seconds to import: only fits wait for them
    from assay.scaling.fitting import StudySpec
    from assay.scaling.observations import Observations

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def chained(*options: Decorator) -> Decorator:
    """Several options as one decorator, shown in the order given."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


OUTPUT = chained(
    click.option("--json", "as_document", is_flag=True, help="Print one JSON document."),
    click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        help="Write report.html, report.json and pictures into this folder.",
    ),
)
RUNS = chained(
    click.option(
        "--map",
        "mapping",
        multiple=True,
        metavar="NAME=COLUMN",
        help="Our name = the file's column, such as params='Model Size'. May be repeated.",
    ),
    click.option(
        "--scale",
        multiple=True,
        metavar="NAME=FACTOR",
        help="Multiply a column: batch_tokens=2048 turns sequences of 2048 into tokens.",
    ),
    click.option(
        "--top-losses",
        type=click.IntRange(min=0),
        default=0,
        help="Leave out so many runs with the largest losses (Epoch's fit leaves out 5).",
    ),
    click.option("--counted", default="", help="What params counts: total, non-embedding."),
    click.option("--loss-unit", default="", help="nats/token, bits/byte, ..."),
    click.option("--bootstrap", default=4000, show_default=True, help="Replicates."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True),
    click.option("--starts", default=64, show_default=True),
    click.option("--delta", default=1e-3, show_default=True, help="Huber's, on the log loss."),
    click.option("--tie", multiple=True, metavar="NAME=NAME", help="beta=alpha: one number."),
    click.option("--fix", multiple=True, metavar="NAME=VALUE", help="Not fitted, but given."),
    click.option("--holdout-above", type=float, help="Hold out runs from this compute on."),
    click.option(
        "--beside",
        multiple=True,
        metavar="FORM",
        help="Weigh another form by AICc: beta=alpha, E=1.69, or a law's name. May be repeated.",
    ),
)


@click.command()
@OUTPUT
def laws(as_document: bool, out: Path | None) -> None:
    """List every law, its formula's inputs and what was published for it."""
    finish(laws_run(), as_document, out, "Scaling laws", "What assay knows.")


@click.command()
@click.argument("law")
@click.option(
    "--runs", "path", required=True, type=click.Path(path_type=Path), help="CSV, Parquet, JSONL."
)
@RUNS
@OUTPUT
def fit(law: str, path: Path, as_document: bool, out: Path | None, **options: Any) -> None:
    """Fit LAW to a table of runs, with intervals, a hold-out and warnings.

    \b
    assay fit chinchilla --runs runs.csv --map params='Model Size' --map compute='Training FLOP'
    assay fit steplaw --runs sweep.csv --map learning_rate=lr --map batch_tokens=bs \\
        --scale batch_tokens=2048 --map params=N --map tokens=D --json
    """
    from assay.scaling.fit_commands import fit_run

    found = find(law)
    runs = table_of_runs(found, path, options)
    reply = fit_run(found, runs, study_spec(options))
    finish(reply, as_document, out, f"{law}, fitted", f"{len(runs)} runs of {path.name}")


@click.command()
@click.option("--params", type=float, required=True, help="Without embeddings; of an MoE all.")
@click.option("--tokens", type=float, required=True, help="Training tokens.")
@click.option("--sequence", type=int, default=4096, show_default=True, help="Tokens in one.")
@click.option("--active-params", type=float, help="Of a mixture of experts.")
@click.option("--experts", type=float, default=1, help="Routed experts in a layer.")
@click.option("--unique-tokens", type=float, help="If tokens repeat.")
@click.option("--loss", type=float, help="That is aimed at, nats per token: some laws want it.")
@click.option("--proxy-learning-rate", type=float, help="Tuned on a narrower model, under muP.")
@click.option("--width-ratio", type=float, help="Width over the proxy's.")
@OUTPUT
def recommend(as_document: bool, out: Path | None, **options: Any) -> None:
    """Learning rate, batch, weight decay, warm-up, schedule: every law's, and one to use.

    \b
    assay recommend --params 1e9 --tokens 100e9 --json
    """
    request = Request(**options)
    lead = f"{request.params:.3g} parameters, {request.tokens:.3g} tokens"
    finish(recommend_run(request), as_document, out, "How to train it", lead)


@click.command()
@click.option("--compute", type=float, help="FLOPs.")
@click.option("--money", type=float, help="Dollars; needs --dollars-per-hour.")
@click.option("--gpu-hours", type=float, help="Hours of one accelerator, summed over all.")
@click.option("--hardware", default="H100", show_default=True, help=", ".join(TABLE))
@click.option("--gpus", type=int, default=8, show_default=True)
@click.option("--mfu", type=float, default=USUAL_MFU, show_default=True)
@click.option("--pue", type=float, default=USUAL_PUE, show_default=True)
@click.option("--dollars-per-hour", type=float, help="Of one accelerator.")
@click.option("--unique-tokens", type=float, help="How many different tokens there are.")
@click.option("--inference-tokens", type=float, default=0.0, help="To be served, in all.")
@click.option("--params", type=float, help="Plan for this size instead of the best one.")
@click.option("--activation", type=float, help="Beside it, a mixture with this active share.")
@click.option("--granularity", type=float, help="Of the mixture; by default the best.")
@click.option("--sequence", type=int, default=4096, show_default=True)
@click.option("--law", default="chinchilla", show_default=True)
@click.option("--published", help="Which published coefficients; by default the most trusted.")
@click.option("--runs", "path", type=click.Path(path_type=Path), help="Fit the law to these first.")
@RUNS
@OUTPUT
def plan(as_document: bool, out: Path | None, path: Path | None, **options: Any) -> None:
    """What a budget buys: size, tokens, loss, hours, money, a parallelism that fits.

    \b
    assay plan --compute 5.76e23
    assay plan --money 2e6 --dollars-per-hour 2.5 --gpus 512 --activation 0.05
    """
    budget = Budget(options["compute"], options["money"], options["gpu_hours"])
    rates = rates_of(options)
    spec = plan_spec(budget.compute(rates), options)
    law = find(options["law"])
    if path is None:
        refuse_idle(options)
        reply = plan_run(spec, rates, known(law, options["published"]))
    else:
        if options["published"]:
            raise BadFitSetting("--published names coefficients, and --runs fits others: give one")
        from assay.scaling.fit_commands import plan_from_runs

        runs = table_of_runs(law, path, options)
        reply = plan_from_runs(law, runs, study_spec(options), spec, rates)
    finish(reply, as_document, out, "What the budget buys", reply.document["law"])


COMMANDS: list[click.Command] = [laws, fit, plan, recommend]


# Translating ---------------------------------------------------------------------------


def finish(reply: Reply, as_document: bool, out: Path | None, title: str, lead: str) -> None:
    """Print the answer; pictures and a page only if a folder was named."""
    click.echo(as_json(reply.document) if as_document else reply.text)
    if out is None:
        return
    pages = written(reply, title, lead)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in pages.items():
            (out / name).write_bytes(content)
    except OSError as cause:
        raise StorageError(f"--out {out}: {cause.strerror or cause}") from cause
    click.echo(f"written: {out / 'report.html'}", err=True)


def table_of_runs(law: Law, path: Path, options: dict[str, Any]) -> "Observations":
    from assay.scaling.observations import VOCABULARY, Conventions
    from assay.scaling.reading import read

    conventions = Conventions(params=options["counted"], loss=options["loss_unit"])
    mapping, scale = pairs(options["mapping"], "--map"), numbers(options["scale"], "--scale")
    words = {*VOCABULARY, *law.inputs, law.predicts}
    if strange := sorted(mapping.keys() - words):
        raise BadFitSetting(
            f"--map {strange[0]}=...: {law.name} reads {', '.join(law.inputs)}; the name before"
            f" the = is one of {', '.join(sorted(words))}"
        )
    runs = read(path, mapping, conventions, scale)
    if not options["top_losses"]:
        return runs
    return runs.take(runs["loss"].argsort()[: max(0, len(runs) - options["top_losses"])])


def study_spec(options: dict[str, Any]) -> "StudySpec":
    from assay.scaling.fitting import StudySpec

    return StudySpec(
        bootstrap=options["bootstrap"],
        seed=options["seed"],
        starts=options["starts"],
        delta=options["delta"],
        tied=pairs(options["tie"], "--tie"),
        fixed=numbers(options["fix"], "--fix"),
        holdout_above=options["holdout_above"],
        beside=options["beside"],
    )


def refuse_idle(options: dict[str, Any]) -> None:
    """What says how to read or fit runs does nothing where there are none."""
    for name in ("mapping", "scale", "tie", "fix", "top_losses", "holdout_above", "beside"):
        if options[name]:
            flag = "--map" if name == "mapping" else f"--{name.replace('_', '-')}"
            raise BadFitSetting(f"{flag} is for runs: name them by --runs FILE")


def plan_spec(compute: float, options: dict[str, Any]) -> PlanSpec:
    activation = options["activation"]
    if activation is None and options["granularity"] is not None:
        raise BadFitSetting("--granularity is of a mixture: give its --activation too")
    return PlanSpec(
        compute=compute,
        unique_tokens=options["unique_tokens"],
        inference_tokens=options["inference_tokens"],
        params=options["params"],
        mixture=None if activation is None else MixtureSpec(activation, options["granularity"]),
        sequence=options["sequence"],
    )


def rates_of(options: dict[str, Any]) -> Rates:
    return Rates(
        hardware=find_hardware(options["hardware"]),
        accelerators=options["gpus"],
        mfu=options["mfu"],
        pue=options["pue"],
        dollars_per_hour=options["dollars_per_hour"],
    )


def pairs(given: tuple[str, ...], option: str) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise BadFitSetting(f"{option} {text!r}: write it as NAME=VALUE")
        found[name] = value
    return found


def numbers(given: tuple[str, ...], option: str) -> dict[str, float]:
    found = {}
    for name, value in pairs(given, option).items():
        try:
            found[name] = float(value)
        except ValueError as cause:
            raise BadFitSetting(f"{option} {name}={value}: {value!r} is not a number") from cause
    return found
