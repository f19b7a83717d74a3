"""`assay prune-sequences`: which users' sequences a recommender is tuned on."""

import sys
from typing import Any

import click

from assay.scaling.proxy import needs
from assay.scaling.reporting import as_json


@click.command(
    name="prune-sequences",
    epilog="Needs torch: pip install 'assay[proxy]'. Writes NAME.parquet (id, score and its parts "
    "of who is chosen), NAME.scores.parquet (of everybody) and NAME.json (the manifest).",
)
@click.option(
    "--sequences", required=True, metavar="URI", help="Parquet: an id, a list of items in order."
)
@click.option("--prompts", default="", metavar="URI", help="Parquet: an id, a prompt, an answer.")
@click.option(
    "--valid",
    default="",
    metavar="URI",
    help="Items that came later.  [default: last items held back]",
)
@click.option("--budget", required=True, type=int, help="Sequences to choose.")
@click.option("--out", required=True, metavar="NAME.parquet", help="Where the choice goes.")
@click.option(
    "--effort-weight", default=0.3, show_default=True, help="Lambda; 0: by influence alone."
)
@click.option(
    "--normalise",
    "normalisation",
    type=click.Choice(["minmax", "rank"]),
    default="minmax",
    show_default=True,
)
@click.option("--groups", default=50, show_default=True, help="Of the range of scores.")
@click.option(
    "--width",
    type=click.Choice(["equal", "quantile"]),
    default="equal",
    show_default=True,
    help="Groups of equal range, or of equal number.",
)
@click.option(
    "--hard-prune", default=0.1, show_default=True, help="Share with the highest scores, left out."
)
@click.option(
    "--form",
    type=click.Choice(["code", "paper"]),
    default="code",
    show_default=True,
    help="Of the series: damping .01 and scale 25, or neither.",
)
@click.option(
    "--over",
    type=click.Choice(["matrix", "all"]),
    default="matrix",
    show_default=True,
    help="Parameters: the last attention's read-out, or all.",
)
@click.option("--steps", default=5000, show_default=True, help="Of the series.")
@click.option("--repeats", default=1, show_default=True, help="Of the series; their mean is taken.")
@click.option("--damping", type=float, help="Of the series; the ridge is damping * scale.")
@click.option("--scale", type=float, help="Of the series.")
@click.option("--epochs", default=200, show_default=True, type=click.IntRange(1), help="At most.")
@click.option("--effort-size", default="100K", show_default=True, help="Of the language model.")
@click.option(
    "--effort-tokens", default=2_000_000, show_default=True, help="Bytes that it is trained on."
)
@click.option(
    "--effort-bytes",
    default=256,
    show_default=True,
    type=click.IntRange(8),
    help="Of each prompt's end with its answer, that it is shown.",
)
@click.option("--id-column", default="", metavar="NAME", help="[default: id, else user]")
@click.option("--items-column", default="items", show_default=True, metavar="NAME")
@click.option("--prompt-column", default="prompt", show_default=True, metavar="NAME")
@click.option("--answer-column", default="answer", show_default=True, metavar="NAME")
@click.option("--threads", default=0, help="Of torch; 0: its own choice.")
@click.option("--seed", default=42, show_default=True)
@click.option("--fresh", is_flag=True, help="Write over another choice.")
@click.option("--json", "as_document", is_flag=True, help="Print the manifest.")
def prune_sequences(out: str, fresh: bool, threads: int, as_document: bool, **given: Any) -> None:
    """Choose few users' sequences that a recommender learns most from (DEALRec).

    \b
    assay prune-sequences --sequences train.parquet --valid valid.parquet \\
        --prompts prompts.parquet --budget 1024 --out chosen.parquet
    """
    needs.device("cpu", threads)
    from assay.scaling.influence.sequences.effort import EffortSpec
    from assay.scaling.influence.sequences.pruning import PruneSpec, Tables, prune, told
    from assay.scaling.influence.sequences.scores import InfluenceSpec
    from assay.scaling.influence.sequences.surrogate import TrainSpec

    def some(*names: str) -> dict[str, Any]:
        return {name: given.pop(name) for name in names}

    tables = Tables(
        **some("sequences", "prompts", "valid"),
        **some("id_column", "items_column", "prompt_column", "answer_column"),
    )
    spec = PruneSpec(
        surrogate=TrainSpec(**some("epochs")),
        influence=InfluenceSpec(**some("form", "over", "steps", "repeats", "damping", "scale")),
        effort=EffortSpec(
            given.pop("effort_size"), given.pop("effort_tokens"), given.pop("effort_bytes")
        ),
        **given,
    )
    content = prune(spec, tables, out, tell, fresh)
    click.echo(as_json(content) if as_document else told(out, content))


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
