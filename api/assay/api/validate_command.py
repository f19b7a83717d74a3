"""`assay validate`: is a subset worth training on? Small models say, with an interval."""

import sys
from pathlib import Path
from typing import Any

import click

from assay.api.scaling_commands import finish, rates_of
from assay.scaling.hardware import TABLE, USUAL_MFU, USUAL_PUE
from assay.scaling.proxy.arms import ARMS, USUAL
from assay.scaling.proxy.errors import BadTraining
from assay.scaling.proxy.ladder import LADDER


@click.command(
    epilog="Needs torch: pip install 'assay[proxy]'. Run the same command again to go on after a "
    "stop; with several GPUs or processes: torchrun --nproc-per-node N -m assay.api validate ..."
)
@click.option("--subset", required=True, metavar="RUN", help="A finished selection.")
@click.option("--raw", multiple=True, required=True, metavar="URI...", help="The whole corpus.")
@click.option(
    "--target", multiple=True, required=True, metavar="URI...", help="Held-out text of the kind."
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for trainings and report.",
)
@click.option("--sizes", default="1M,4M", show_default=True, help=f"Of {', '.join(LADDER)}.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--arms", default=",".join(USUAL), show_default=True, help=f"Of {', '.join(ARMS)}.")
@click.option(
    "--beside",
    multiple=True,
    metavar="NAME=RUN",
    help="Another selection as an arm of this name; may come several times.",
)
@click.option("--tokens", type=float, default=0.0, help="Of each training; 0: 20 per parameter.")
@click.option("--sequence", default=512, show_default=True, type=click.IntRange(min=8))
@click.option("--batch", default=0, help="Sequences in a batch; 0: by size.")
@click.option("--micro-batch", default=0, help="Sequences at once; 0: all of a batch.")
@click.option("--learning-rate", default=0.0, help="Muon's peak; 0: the tuned one.")
@click.option(
    "--learning-rates",
    default="1",
    show_default=True,
    help="Factors to try for each arm, such as 0.5,1,2; the best is used.",
)
@click.option("--feedforward", type=click.Choice(["swiglu", "relu2"]), default="swiglu")
@click.option("--experts", default="", metavar="8x2", help="Experts, and how many for a token.")
@click.option("--activation-sparsity", is_flag=True, help="Measure CETT-PPL-1% of each model.")
@click.option("--tied", is_flag=True, help="One matrix for embedding and read-out.")
@click.option(
    "--tokenizer",
    default="bytes",
    show_default=True,
    help="bytes; bpe:4096 to learn so many tokens on the corpus; a tokenizer.json or .tiktoken.",
)
@click.option("--target-bytes", default=200_000, show_default=True, help="To evaluate on, at most.")
@click.option("--text-column", default="text", show_default=True)
@click.option("--group-by", help="The column of domains, which `matched` keeps the shares of.")
@click.option(
    "--choices",
    default="",
    metavar="FILE",
    help="Questions beside: JSON lines or Parquet with prompt, choices, answer (from 0).",
)
@click.option("--at-params", default=0.0, help="Size of the run that the subset is for.")
@click.option("--at-tokens", default=0.0, help="Its tokens; 0: 20 per parameter.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--threads", default=0, help="Of torch; 0: its own choice.")
@click.option(
    "--shard",
    is_flag=True,
    help="With torchrun: each process holds a part of the model (FSDP2), not a copy of it.",
)
@click.option("--bf16/--fp32", default=None, help="By default bf16 on a GPU.")
@click.option("--compile/--no-compile", "compiled", default=None, help="By default on a GPU.")
@click.option("--flex", is_flag=True, help="Compiled, on a GPU: torch's flex attention.")
@click.option("--hardware", default="H100", show_default=True, help=", ".join(TABLE))
@click.option("--dollars-per-hour", type=float, help="Of one accelerator, or of this machine.")
@click.option("--mlflow", default="", metavar="URI", help="Log the trainings there as well.")
@click.option("--json", "as_document", is_flag=True, help="Print one JSON document.")
def validate(
    subset: str, out: Path, as_document: bool, compiled: bool | None, **given: Any
) -> None:
    """Train small models on a subset and on matched controls; report the gain with an interval.

    \b
    assay validate --subset kept --raw 'pool/*.parquet' --target held-out.parquet \\
        --sizes 1M,4M --seeds 3 --group-by domain --out proof
    """
    from assay.scaling.proxy.validate import TITLE, Means, StudySpec
    from assay.scaling.proxy.validate import validate as carry_out

    own = ("device", "threads", "micro_batch", "shard", "bf16", "flex", "mlflow")
    means = {name: given.pop(name) for name in own}
    machine = {"gpus": 1, "mfu": USUAL_MFU, "pue": USUAL_PUE}
    rates = rates_of({n: given.pop(n) for n in ("hardware", "dollars_per_hour")} | machine)
    for name in ("sizes", "arms"):
        given[name] = tuple(given[name].split(","))
    given["beside"] = tuple(named(word) for word in given["beside"])
    factors = tuple(factor(word) for word in given.pop("learning_rates").split(","))
    spec = StudySpec(subset=subset, learning_rates=factors, **given)
    reply = carry_out(spec, Means(out=out, rates=rates, compile=compiled, tell=tell, **means))
    if reply is not None:  # another process has it
        finish(reply, as_document, out, TITLE, spec.words)


def named(word: str) -> tuple[str, str]:
    name, sign, folder = word.partition("=")
    if not (name and sign and folder):
        raise BadTraining(f"--beside {word!r}: write NAME=RUN, such as dsir=by-dsir")
    return name, folder


def factor(word: str) -> float:
    try:
        found = float(word)
    except ValueError:
        found = 0.0
    if not found > 0:
        raise BadTraining(f"--learning-rates {word!r}: factors above 0, such as 0.5,1,2")
    return found


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
