"""`assay verify|replay|explain|what-if`: questions to finished selections."""

import json
import tempfile
from collections.abc import Mapping
from typing import Any

import click

from assay.api import display
from assay.api.select_command import means, told
from assay.selectors import budget, manifest, past, whatif
from assay.selectors import explain as explaining
from assay.selectors.errors import BadRequest

JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
WORKERS = click.option("--workers", type=click.IntRange(1), help="[default: one a processor]")
MOVED = click.option(
    "--raw", multiple=True, metavar="URI...", help="The corpus, where it is no longer in its place."
)


@click.command()
@click.argument("run", metavar="MANIFEST")
@click.option("--inputs", is_flag=True, help="Check the corpus and the targets too.")
@JSON
def verify(run: str, inputs: bool, as_json: bool) -> None:
    """Check that every part is what the manifest says.

    Exit code 6 if not.
    """
    found = manifest.verified(manifest.read(run))
    if inputs:
        with means() as used:
            past.ground_of(found, used)
    parts = found.content["parts"]
    where = display.place(found.uri(manifest.NAME))
    said = f"{where}: {display.some(len(parts), 'part')} as promised, digest {found.digest}"
    answer = {"verified": True, "digest": found.digest, "parts": len(parts), "inputs": inputs}
    print(json.dumps(answer) if as_json else said)


@click.command()
@click.argument("run", metavar="MANIFEST")
@click.option("--out", metavar="URI", help="Keep the replayed selection here.")
@MOVED
@WORKERS
@JSON
def replay(
    run: str, out: str | None, raw: tuple[str, ...], workers: int | None, as_json: bool
) -> None:
    """Make a selection once more and compare the digests.

    Exit code 6 if they differ.
    """
    found = manifest.verified(manifest.read(run))
    with means(workers) as used:
        if out:
            again = past.replay(found, out, used, raw)
        else:
            with tempfile.TemporaryDirectory(prefix="assay-replay-") as folder:
                again = past.replay(found, folder, used, raw)
    said = f"the replay came out the same: digest {again.digest}"
    answer = {"same": True, "digest": again.digest, "out": out}
    print(json.dumps(answer) if as_json else "\n".join([said, *([told(again)] if out else [])]))


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("document")
@MOVED
@JSON
def explain(run: str, document: str, raw: tuple[str, ...], as_json: bool) -> None:
    """Say why a document was kept or dropped.

    DOCUMENT is its id.
    """
    with means() as used:
        found = explaining.explain(past.reopen(run), document, used, raw)
    print(json.dumps(found, indent=1, ensure_ascii=False) if as_json else told_reasons(found))


@click.command("what-if")
@click.argument("run", metavar="RUN")
@click.option("--budget", multiple=True, required=True, metavar="A,B,C", help="Budgets to try.")
@WORKERS
@JSON
def what_if(run: str, budget: tuple[str, ...], workers: int | None, as_json: bool) -> None:
    """Say what other budgets would keep, from the scores alone."""
    asked = [word for words in budget for word in words.split(",") if word.strip()]
    if not asked:
        raise BadRequest("no budget to try: give some, as in --budget 1%,5%,10%")
    with means(workers) as used:
        found = whatif.what_if(past.reopen(run), [_parsed(word) for word in asked], used)
    print(json.dumps(found, indent=1, ensure_ascii=False) if as_json else told_what_if(found))


def _parsed(word: str) -> budget.Budget:
    return budget.parse(word)


def told_what_if(found: Mapping[str, Any]) -> str:
    head = ["budget", "documents", "bytes", "tokens", "lowest score"]
    rows = [head, *(_what_if_row(answer) for answer in found["budgets"])]
    text = display.table(rows, right=(1, 2, 3, 4))
    names = list(found["budgets"][0]["sources"])
    if len(names) < 2:
        return text
    shares = [["source", "corpus", *(answer["budget"] for answer in found["budgets"])]]
    for name in names:
        each = [answer["sources"][name] for answer in found["budgets"]]
        shares.append([name or "(none)", *(f"{s:.1%}" for s in _shares(each))])
    columns = tuple(range(1, len(shares[0])))
    return f"{text}\n\nshare of the documents\n{display.table(shares, right=columns)}"


def _what_if_row(answer: Mapping[str, Any]) -> list[str]:
    kept, lowest = answer["kept"], answer["lowest_score"]
    return [
        answer["budget"],
        display.number(kept["documents"]),
        display.size(kept["bytes"]),
        display.number(kept["tokens"]),
        "-" if lowest is None else f"{lowest:.6g}",
    ]


def _shares(each: list[Mapping[str, Any]]) -> list[float]:
    return [each[0]["corpus_share"], *(one["share"] for one in each)]


def told_reasons(found: Mapping[str, Any]) -> str:
    verdict = "kept" if found["kept"] else "dropped"
    score, cut = found["score"], found["lowest_kept"]
    lines = [
        f"{found['id']}: {verdict}",
        f"score {'ruled out' if score is None else f'{score:.6g}'}, "
        f"rank {display.number(found['rank'])} of {display.number(found['documents'])}, "
        f"lowest score kept {'-' if cut is None else f'{cut:.6g}'}",
        f"{found['tokens']} tokens, {found['bytes']} bytes, source {found['source']!r}, "
        f"{found['shard']} row {found['row']}",
    ]
    if found["same_id"]:
        lines.append(f"{found['same_id']} more documents carry this id; this is the first")
    because, out = dict(found["because"]), found["ruled_out_by"]
    if out:  # what ended its way comes first
        lines += [told_stage(found, out), *told_because(because.pop(out, {}))]
    lines += told_ranks(because.get("blend", {})) + told_because(because)
    for name in (name for name, said in because.items() if isinstance(said, Mapping)):
        if said := told_because(because[name]):
            lines += ["", f"{name}:", *said]
    return "\n".join(lines)


def told_stage(found: Mapping[str, Any], out: str) -> str:
    """What ended a document's way, and how many others'."""
    stage, score = found["stage"], found["scores"].get(f"stage.{out}.score")
    left = f"it left {display.number(stage['left'])} of {display.number(stage['documents'])}"
    least = f", {stage['least']:.6g} is asked for" if "least" in stage else ""
    ranked = stage.get("order") == "score" and score is not None
    scored = f", its score there {score:.6g}{least}" if ranked else ""
    return f"ruled out by the stage {out}: {left}{scored}"


def told_because(because: Mapping[str, Any]) -> list[str]:
    """One method's words."""
    return [
        *told_ngrams(because),
        *told_broken(because),
        *told_cluster(because),
        *told_passages(because),
    ]


def told_ranks(blend: Mapping[str, Any]) -> list[str]:
    if not blend:
        return []
    rows = [["blended", "score", "beats", "weight"]]
    for name, part in blend.items():
        rank = f"{part['rank']:.1%} of raw"
        rows.append([name, f"{part['score']:.6g}", rank, f"{part['weight']:.2f}"])
    return ["", display.table(rows, right=(1, 2, 3))]


def told_ngrams(because: Mapping[str, Any]) -> list[str]:
    ngrams = because.get("ngrams", [])[:20]
    if not ngrams:
        return []
    rows = [["n-gram", "times", "adds"]]
    rows += [[n["ngram"], str(n["times"]), f"{n['adds']:+.5f}"] for n in ngrams]
    more = max(because["distinct"] - len(ngrams), 0)
    return ["", display.table(rows, right=(1, 2)), f"and {more} more n-grams"]


def told_broken(because: Mapping[str, Any]) -> list[str]:
    if "broken" not in because:
        return []
    rules, broken = because["rules"], because["broken"]
    if not broken:
        return [f"it keeps all {rules} rules"]
    rows = [["rule broken", "statistic", "found", "wanted"]]
    rows += [[r["rule"], r["statistic"], f"{r['found']:.4g}", r["wanted"]] for r in broken]
    return [f"it breaks {len(broken)} of {rules} rules", "", display.table(rows, right=(2,))]


def told_cluster(because: Mapping[str, Any]) -> list[str]:
    if "cluster" not in because:
        return []
    if because["cluster"] == 1:
        return ["no other document is like it"]
    of = f"of a cluster of {display.number(because['cluster'])} documents"
    if because["is_representative"]:
        return [f"it stays, {of}"]
    how = "the same text" if because["identical"] else "nearly the same text"
    return [
        f"{of}, {because['representative']!r} stays: {how}, "
        f"estimated Jaccard similarity {because['estimated_jaccard']:.2f}"
    ]


def told_passages(because: Mapping[str, Any]) -> list[str]:
    if "passages" not in because:
        return []
    rows = [["bytes", "shared with the target"]]
    rows += [[str(p["bytes"]), _line(p["text"])] for p in because["passages"]]
    found = display.table(rows, right=(0,)) if len(rows) > 1 else "no passage is shared"
    share = f"{because['shared']:.0%} of its first {because['looked_at']:,} bytes"
    said = f"{share} stand in the target in passages of 8 bytes or more"
    near = [
        f"similarity {n['similarity']:.4f} to: {_line(n['target'])}"
        for n in because.get("nearest", [])
    ]
    sizes = [f"{k.replace('_', ' ')}: {v:,}" for k, v in because.get("compressed", {}).items()]
    told = [f"compressed bytes {', '.join(sizes)}"] if sizes else []
    return ["", found, said, *near, *told]


def _line(text: str) -> str:
    """A text on one line of a terminal."""
    words = " ".join(text.split())
    return words if len(words) <= 100 else words[:99] + "…"
