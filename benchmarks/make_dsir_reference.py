"""Makes tests/data/dsir_reference.json: what the reference DSIR package says of some texts.

Runs in an environment of its own, because the package is no dependency of ours:

    python -m venv reference
    reference/bin/pip install data-selection==1.0.3 nltk==3.9.1 pyarrow
    reference/bin/python -X utf8 benchmarks/make_dsir_reference.py

As it stands it keeps the fixture's texts and asks the package again. `--pool FOLDER` picks the
texts anew from the development pool (Parquet shards with id, text, source, domain, licence, and
`targets/`); only sources that are public domain, CC0, Unlicense, MIT, Apache-2.0 or CC-BY are used.

The answers come from the package itself: `fit_importance_estimator`, `compute_importance_weights`
and `resample(top_k=True)`, with its defaults except where the fixture says otherwise. The option
`target_laplace_smoothing` is not in the released 1.0.3, so there is nothing to record of it.
"""

import argparse
import json
import platform
import tempfile
import unicodedata
from importlib.metadata import version
from pathlib import Path

import numpy as np
from data_selection import HashedNgramDSIR
from data_selection.hashed_ngram_dsir import hash_buckets

FIXTURE = Path(__file__).parent.parent / "tests" / "data" / "dsir_reference.json"
ORDERS = (1, 2, 3)
SHORTEST = (1, 100)
K = 10
LONGEST = 1_500  # characters that are kept of a real text

# Picked per source: (raw texts, target texts). Licences as the pool's notice states them.
PICKED = {
    "openai/grade-school-math": (12, 0),
    "abachaa/MedQuAD": (14, 12),
    "Anduin2017/HowToCook": (8, 4),
    "ronaldl29/public-domain-recipes": (6, 4),
    "GSA/digitalgov.gov": (6, 0),
    "publicdocs/uscode": (8, 0),
    "kubernetes/enhancements": (4, 0),
    "MicrosoftDocs/PowerShell-Docs": (6, 0),
    "openstax/osbooks-principles-economics-bundle": (4, 0),
    "COST-ELTeC/ELTeC-eng": (4, 0),
}
HELD_OUT = ("heldout_medical_qa", "heldout_recipes")

SYNTHETIC = [
    "",
    " ",
    "\n\t \u00a0\u2003\u3000\r\n",
    "alice",
    "Alice went",
    "a b c",
    "Good muffins cost $3.88\nin New York.  Please buy me\ntwo of them.\n\nThanks.",
    "don't stop -- believin'... ?!?! (what?) [ok] {fine} <b>bold</b> &amp; a/b\\c",
    "snake_case __init__ _ a_1 1_000 x‿y",
    # Final sigma: at the end of a word, alone, before marks that do not count, after none.
    "ΟΔΥΣΣΕΥΣ ΣΑΣ ΣΣ Σ ΑΣ. ΑΣΑ ΑΣ\u0301 ΑΣ\u00adΑ ΑΣ:Α ΑΣ'Α 'Σ 1Σ Σ1 ΑΣ\u200d Α\u0345Σ",
    "Ὀδυσσεὺς ΠΟΛΎΤΛΑΣ ΔΙΟΣ ΌΣ\u2019 ΤΟΥΣ, ΤΗΣ; ὈΔΥΣΣΕΎΣ",
    # Letters whose lower case is longer, or shared, or odd.
    "İSTANBUL İzmir I ı i̇ IĞDIR",
    "Ǆ ǅ ǆ Ǉ ẞ ß STRASSE Straße \u212a \u212b \u2126 ſ ﬃ ﬆ Ԛ",
    "ԵՎ և ᲗᲑᲘᲚᲘᲡᲘ თბილისი ᏣᎳᎩ ꮳꮃꭹ 𐐔𐐇𐐝𐐀𐐡𐐇𐐓 𝐀𝒷 𞤀𞤁𞤂 Ⅻ ⅻ Ⓐ ⓐ",
    # Marks are no word characters for `re`, but some numbers that are no digits are.
    "e\u0301te\u0301 \u00e9t\u00e9 A\u030angstro\u0308m \u00c5NGSTR\u00d6M n\u0303",
    "x² m³ ¹⁰ H₂O ½ ¾ ① ㊿ ٣٫١٤ ٠١٢ ०१२ 〇 〡 𝟘𝟙",
    "नमस्ते दुनिया। क्या हाल है? হ্যালো ஹலோ สวัสดีชาวโลก བོད་སྐད",
    "مَرْحَبًا بِالعَالَم ـــ שָׁלוֹם עוֹלָם یک‌دو",
    "你好,世界。今天天气很好!我们去公园玩吧、好吗?ＡＢＣ１２３",
    "吾輩は猫である。名前はまだ無い。ﾊﾝｶｸ カタカナー ゝ々〆",
    "안녕하세요 세계! \u1112\u1161\u11ab\u1100\u1173\u11af 한글",
    "Привет, МИР! Ёлка; СЪЕШЬ ещё этих мягких французских булок",
    "👩‍👩‍👧‍👦 👍🏽 🇫🇮🇯🇵 1️⃣ ❤️ ☺ :-) 😀😀 😀a😀",
    "a\u200bb \u200b c\u200cd e\u200df \ufeffg h\u2060i j\u00adk \u200e\u200f",
    "a\x1cb\x1dc\x1ed\x1fe\x85f\x0bg\x0ch \u2028 i\u2029j \u180e k",
    "\x00a\x00b \x01\x02 \x7f \x80 \x9f",
    "\ue000\ue001 \uffff \U000e0041 \U0010ffff \ufffd x",
    "€100 £5 ¥7 ₹3 ©®™ §12 ¶ °C µm ª º « » „“ ‚‘ … – — ‰ ∑∫√ ←→ ■",
    "!!!???...,,,;;;",
    "a" * 3_000,
    "Абвгд" * 300 + " конец",
    "supercalifragilistic" * 20 + " " + "𠀀𪚥" * 50,
    "z" + "\u0301" * 200 + "algo",
    " ".join(["buffalo"] * 150),
    " ".join(f"w{i}" for i in range(99)),
    " ".join(f"w{i}" for i in range(100)),
    " ".join(f"w{i}" for i in range(101)),
    ", ".join(f"W{i}" for i in range(50)),
    "fever and headache are symptoms of the disease . " * 30,
    "The The the THE tHe thE",
    "\u0130\u0130\u0130 \u03a3\u03a3\u03a3 \u00df\u00df\u00df",
    "tab\tseparated\tvalues\r\nwith windows\r\nline ends\r\n",
]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--pool", type=Path, help="pick the texts anew from this folder")
    options.add_argument("--out", type=Path, default=FIXTURE)
    asked = options.parse_args()
    texts = picked(asked.pool) if asked.pool else kept(asked.out)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(laid_out(fixture(texts)), encoding="utf-8")


def fixture(texts: dict) -> dict:
    return {
        "made_by": "benchmarks/make_dsir_reference.py",
        "reference": {
            "data-selection": version("data-selection"),
            "nltk": version("nltk"),
            "numpy": version("numpy"),
            "python": platform.python_version(),
            "unicode": unicodedata.unidata_version,
        },
        "buckets": 10_000,
        "hashes": {word: hash_buckets(word) for word in ("alice", "alice went", "été", "")},
        "answers": {str(n): answers(texts, n) for n in ORDERS},
        **texts,
    }


def answers(texts: dict, n: int) -> dict:
    """Of one order: tokens and log weight of each raw text, and the places of those chosen."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        raw = written(folder / "raw.jsonl", [row["text"] for row in texts["raw"]])
        target = written(folder / "target.jsonl", [row["text"] for row in texts["target"]])
        dsir = HashedNgramDSIR([raw], [target], str(folder / "cache"), num_proc=1, ngrams=n)
        dsir.fit_importance_estimator()
        dsir.compute_importance_weights()
        weights = np.load(folder / "cache" / "log_importance_weights" / "0.npy")
        lengths = np.load(folder / "cache" / "perexample_metadata" / "0.npy")
        chosen = {}
        for shortest in SHORTEST:
            dsir.min_example_length = shortest
            out = folder / f"out{shortest}"
            dsir.resample(str(out), K, cache_dir=str(folder / f"kept{shortest}"), top_k=True)
            lines = (out / "0.jsonl").read_text(encoding="utf-8").splitlines()
            chosen[str(shortest)] = sorted(json.loads(line)["place"] for line in lines)
            clear_cut(weights, lengths >= shortest)
        return {
            "tokens": [int(length) for length in lengths],
            "log_weight": [float(weight) for weight in weights],
            "chosen": {"k": K, "of_at_least": chosen},
        }


def clear_cut(weights: np.ndarray, allowed: np.ndarray) -> None:
    """The package breaks ties as `argpartition` pleases: a test needs a cut without one."""
    ranked = np.sort(weights[allowed])[::-1]
    assert ranked[K - 1] - ranked[K] > 1e-6, "the last chosen and the first left out are tied"


def written(path: Path, texts: list[str]) -> str:
    rows = (json.dumps({"text": text, "place": i}) for i, text in enumerate(texts))
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return str(path)


# The texts ---------------------------------------------------------------------------


def kept(path: Path) -> dict:
    stored = json.loads(path.read_text(encoding="utf-8"))
    return {name: stored[name] for name in ("sources", "raw", "target")}


def picked(pool: Path) -> dict:
    manifest = json.loads((pool / "MANIFEST.json").read_text(encoding="utf-8"))
    shards = sorted(pool.glob("*.parquet"))
    held_out = [pool / "targets" / f"{name}.parquet" for name in HELD_OUT]
    raw = taken(shards, {source: counts[0] for source, counts in PICKED.items()})
    target = taken(held_out, {source: counts[1] for source, counts in PICKED.items()})
    licences = {row["origin"]: row.pop("licence") for row in raw + target}
    sources = {
        source: {
            "repository": f"https://github.com/{source}",
            "commit": manifest["commits"][source],
            "licence": licences[source],
            "changes": f"cut at a space to at most {LONGEST} characters",
        }
        for source in PICKED
    }
    made = [{"text": text, "origin": "synthetic"} for text in SYNTHETIC]
    return {"sources": sources, "raw": raw + made, "target": target}


def taken(shards: list[Path], wanted: dict[str, int]) -> list[dict]:
    """The first texts of each source, in the order of their ids: ids are hashes, so it is fair."""
    import pyarrow.dataset as dataset

    columns = ["id", "text", "source", "licence"]
    table = dataset.dataset([str(path) for path in shards]).to_table(columns=columns)
    rows = []
    for row in sorted(table.to_pylist(), key=lambda row: row["id"]):
        text = shortened(row["text"])
        if wanted.get(row["source"], 0) > 0 and "@" not in text:  # nobody's address or handle
            wanted[row["source"]] -= 1
            rows.append({"text": text, "origin": row["source"], "licence": row["licence"]})
    return rows


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(None, 1)[0]


def laid_out(fixture: dict) -> str:
    """JSON with one text to a line: a change of one text is a change of one line."""
    rows = {name: fixture.pop(name) for name in ("raw", "target")}
    head = json.dumps(fixture, ensure_ascii=False)[:-1]
    lists = (
        f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in listed) + "\n]"
        for name, listed in rows.items()
    )
    return head + ",\n" + ",\n".join(lists) + "}\n"


if __name__ == "__main__":
    main()
