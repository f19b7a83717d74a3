"""Makes examples/sample: a small raw pool of eight domains and a target that matches one of them.

    python benchmarks/make_sample.py --pool FOLDER

FOLDER is the development pool: Parquet shards with id, text, source, domain, licence, `targets/`
and MANIFEST.json. Only sources whose licence lets text be passed on with attribution are used, and
no passage that holds an address or a handle. Everything hangs on hashes: the same pool gives the
same sample.
"""

import argparse
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SAMPLE = Path(__file__).parent.parent / "examples" / "sample"
SHARDS = 3
LONGEST = 2_400  # characters in a passage
SHORTEST = 80
COLUMNS = ["id", "text", "source", "domain", "licence"]

# How many documents of each source, and how its authors wish to be named.
SOURCES = {
    "openstax/osbooks-principles-economics-bundle": (110, "OpenStax, Principles of Economics"),
    "openstax/osbooks-college-success-bundle": (70, "OpenStax, College Success"),
    "abachaa/MedQuAD": (400, "MedQuAD, Asma Ben Abacha and Dina Demner-Fushman, from NIH websites"),
    "openai/grade-school-math": (400, "GSM8K, copyright OpenAI, MIT licence (below)"),
    "publicdocs/uscode": (380, "United States Code"),
    "COST-ELTeC/ELTeC-eng": (380, "English Novel Corpus (ELTeC-eng), edited by Lou Burnard"),
    "MicrosoftDocs/PowerShell-Docs": (250, "PowerShell documentation, Microsoft"),
    "kubernetes/enhancements": (130, "Kubernetes enhancement proposals, the Kubernetes authors"),
    "GSA/digitalgov.gov": (200, "Digital.gov, U.S. General Services Administration"),
    "ronaldl29/public-domain-recipes": (120, "Public Domain Recipes"),
    "Anduin2017/HowToCook": (110, "HowToCook"),
}
TARGET = "heldout_textbook"
TARGET_DOCUMENTS = 150
PRIVATE = re.compile(r"@\w|mailto:|\b(?:interview|phone|tel\.)", re.IGNORECASE)
QUOTED = re.compile(r"\b(?:said|says|Mr\.|Ms\.|Mrs\.|Dr\.)")  # in web text: about somebody
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
NAVIGATION = re.compile(r"Other Versions of this Document|^\[/us/", re.MULTILINE)

MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--pool", type=Path, required=True)
    options.add_argument("--out", type=Path, default=SAMPLE)
    asked = options.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    target = target_of(asked.pool)
    raw = raw_of(asked.pool, {row["text"] for row in target})
    for shard in range(SHARDS):
        write(raw[shard::SHARDS], asked.out / f"raw-{shard:05d}.parquet")
    write(target, asked.out / "target.parquet")
    commits = json.loads((asked.pool / "MANIFEST.json").read_text(encoding="utf-8"))["commits"]
    (asked.out / "NOTICE.md").write_text(notice(raw, target, commits), encoding="utf-8")
    print(len(raw), Counter(row["domain"] for row in raw), len(target))


def raw_of(pool: Path, taken: set[str]) -> list[dict[str, str]]:
    """One passage from each of some documents of each source, in an order that means nothing."""
    left = {source: count for source, (count, _) in SOURCES.items()}
    chosen = []
    for document in by_hash(rows(sorted(pool.glob("*.parquet")))):
        if not left.get(document["source"]):
            continue
        passage = next(iter(by_hash(passages(document))), None)
        if passage and passage["text"] not in taken:
            taken.add(passage["text"])
            left[document["source"]] -= 1
            chosen.append(passage)
    return list(by_hash(chosen))


def target_of(pool: Path) -> list[dict[str, str]]:
    """Passages of documents that were held out of the pool."""
    held_out = rows([pool / "targets" / f"{TARGET}.parquet"])
    found = {part["text"]: part for document in held_out for part in passages(document)}
    return list(by_hash(found.values()))[:TARGET_DOCUMENTS]


def rows(shards: list[Path]) -> list[dict[str, str]]:
    return pa.concat_tables([pq.read_table(path, columns=COLUMNS) for path in shards]).to_pylist()


def by_hash(documents) -> Iterator[dict[str, str]]:
    return iter(sorted(documents, key=lambda row: digest(row["id"] + row["text"])))


def passages(document: dict[str, str]) -> Iterator[dict[str, str]]:
    """Runs of whole paragraphs without anything personal."""
    body = FRONT_MATTER.sub("", document["text"])
    for text in packed(body.split("\n\n")):
        if len(text) >= SHORTEST and not personal(text, document["domain"]):
            yield document | {"text": text, "id": digest(text)[:16]}


def personal(text: str, domain: str) -> bool:
    return bool(PRIVATE.search(text) or (domain == "gov_web" and QUOTED.search(text)))


def packed(paragraphs: list[str]) -> Iterator[str]:
    """Runs of paragraphs; one that is too long by itself, or no more than links, is left out."""
    held: list[str] = []
    for paragraph in paragraphs:
        if held and sum(map(len, held)) + 2 * len(held) + len(paragraph) > LONGEST:
            yield "\n\n".join(held).strip()
            held = []
        if len(paragraph) <= LONGEST and not NAVIGATION.search(paragraph):
            held.append(paragraph)
    yield "\n\n".join(held).strip()


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write(documents: list[dict[str, str]], path: Path) -> None:
    schema = pa.schema([(column, pa.string()) for column in COLUMNS])
    table = pa.Table.from_pylist(documents, schema=schema)
    pq.write_table(table, path, compression="zstd", compression_level=19, row_group_size=256)


def notice(raw: list[dict[str, str]], target: list[dict[str, str]], commits: dict) -> str:
    counts, wanted = (Counter(row["source"] for row in part) for part in (raw, target))
    licences = {row["source"]: row["licence"] for row in raw}
    lines = [
        f"| {named} | https://github.com/{source} | {commits[source][:12]} | {licences[source]} "
        f"| {counts[source]} | {wanted[source] or ''} |"
        for source, (_, named) in SOURCES.items()
    ]
    return "\n".join([HEAD, *lines, TAIL])


HEAD = f"""\
# Where the sample comes from

`raw-*.parquet` and `target.parquet` hold passages from the public repositories below, at the
commits given. They are shipped to try `assay` on, not to train a model on.

Changes: markup of XML sources, front matter and lists of links were removed; documents were cut
into runs of whole paragraphs of at most {LONGEST:,} characters, and of each document of the pool
one passage was kept; passages with an address or a handle, and web text that quotes somebody, were
left out; the order is that of a hash. The target was cut from chapters that are not in the pool.
`licence` in each row says under which terms its text stands. CC-BY-4.0:
https://creativecommons.org/licenses/by/4.0/, Apache-2.0:
https://www.apache.org/licenses/LICENSE-2.0, Unlicense: https://unlicense.org/.
No author or publisher endorses this use.

| work | repository | commit | licence | raw | target |
| --- | --- | --- | --- | --- | --- |"""

TAIL = f"""
Made by `benchmarks/make_sample.py`.

## Licence of GSM8K

MIT License. Copyright (c) OpenAI

{MIT}"""


if __name__ == "__main__":
    main()
