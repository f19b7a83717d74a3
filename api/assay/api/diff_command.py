"""`assay diff`: two selections side by side."""

import json
from collections.abc import Mapping
from typing import Any

import click

from assay.api import display
from assay.selectors import difference, past


@click.command()
@click.argument("a", metavar="MANIFEST_A")
@click.argument("b", metavar="MANIFEST_B")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def diff(a: str, b: str, as_json: bool) -> None:
    """Compare two selections, and say why documents differ."""
    found = difference.difference(past.reopen(a), past.reopen(b))
    print(json.dumps(found, indent=1, ensure_ascii=False) if as_json else told_difference(found))


def told_difference(found: Mapping[str, Any]) -> str:
    if found["same"]:
        return "the two selections are the same: their digests are equal"
    lines = [f"{display.number(found['both'])} documents in both, Jaccard {found['jaccard']:.4f}"]
    for side, name in (("only_a", "A"), ("only_b", "B")):
        one = found[side]
        because = ", ".join(f"{display.number(n)} {why}" for why, n in one["because"].items() if n)
        lines.append(
            f"only in {name}: {display.number(one['documents'])}"
            + (f" ({because})" if because else "")
        )
        lines += [f"  {_difference_line(example)}" for example in one["examples"][:5]]
    told_causes = [*found["asked"], *found["inputs"], *found["versions"]]
    return "\n".join(
        [*lines, "what was asked differs in:", *(f"  {cause}" for cause in told_causes)]
    )


def _difference_line(example: Mapping[str, Any]) -> str:
    there = example["score_in_the_other"]
    other = "no score" if there is None else f"{there:.6g}"
    out = f", ruled out by {example['ruled_out_by']}" if example["ruled_out_by"] else ""
    return f"{example['id']}: score {example['score']:.6g}, in the other {other}{out}"
