"""A real selection in a minute: from the sample that is shipped, what is like a textbook.

`make demo` runs it. What it does is what these two commands do:

    assay select dsir --raw examples/sample/raw-*.parquet --target examples/sample/target.parquet \\
        --budget 180docs --group-by domain --out demo
    assay what-if demo --budget 2%,7%,20%
"""

import os
import subprocess
import sys
from pathlib import Path

from assay.api import display

HERE = Path(os.path.relpath(Path(__file__).parent))
SAMPLE = HERE / "sample"
OUT = "demo"
BUDGETS = "2%,7%,20%"


def main() -> None:
    raw = sorted(str(path) for path in SAMPLE.glob("raw-*.parquet"))
    target = str(SAMPLE / "target.parquet")
    say("1. Choose 180 of 2,550 passages: those that are most like 150 pages of textbooks")
    options = ["--budget", "180docs", "--group-by", "domain", "--out", OUT, "--fresh"]
    run("select", "dsir", "--raw", *raw, "--target", target, *options)
    say("2. What was chosen")
    print(picture())
    say("3. What other budgets would keep, from the scores alone")
    run("what-if", OUT, "--budget", BUDGETS)
    say("4. Nothing was changed since")
    run("verify", OUT)
    print(f"\nThe report, with pictures and examples: open {OUT}/report.html in a browser.")


def run(*words: str) -> None:
    """A command as a person would type it."""
    print("$ assay " + " ".join(shown(words)), flush=True)
    done = subprocess.run([sys.executable, "-m", "assay.api", *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def shown(words: tuple[str, ...]) -> list[str]:
    """The shards as the glob that stands for them."""
    raw = [word for word in words if "/raw-" in word]
    return [word.replace("raw-00000", "raw-*") for word in words if word not in raw[1:]]


def picture() -> str:
    """Shares of the domains in the corpus and in the subset, as bars."""
    from assay.selectors.budget import parse
    from assay.selectors.past import reopen
    from assay.selectors.selection import Means
    from assay.selectors.whatif import what_if

    answer = what_if(reopen(OUT), [parse("180docs")], Means())["budgets"][0]
    rows = [["domain", "corpus", "", "chosen", ""]]
    for name, found in sorted(answer["sources"].items(), key=lambda item: -item[1]["share"]):
        before, now = found["corpus_share"], found["share"]
        bars = display.bar(before, 20), display.bar(now, 40)
        rows.append([name, f"{before:.1%}", bars[0].ljust(20), f"{now:.1%}", bars[1]])
    return display.table(rows, right=(1, 3))


def say(text: str) -> None:
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    main()
