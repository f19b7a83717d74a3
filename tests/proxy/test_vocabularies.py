"""Tokens other than bytes, learned or from files; and what stays the same whatever they are."""

import base64
import json
import subprocess
import sys
from math import log2

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="trainings need the extra 'proxy'")
pytest.importorskip("tokenizers", reason="the extra 'tokens'")
pytest.importorskip("tiktoken", reason="the extra 'tokens'")

from test_train import WORDS, place, texts

from assay.scaling.proxy import vocabularies
from assay.scaling.proxy.errors import BadTraining
from assay.scaling.proxy.evaluate import surprise
from assay.scaling.proxy.tokens import BYTES, pack
from assay.scaling.proxy.train import Trainer, TrainSpec
from assay.scaling.proxy.validate import passages, whole
from assay.scaling.proxy.vocabularies import encoding, learn, to_learn

STRANGE = "Ein Größerer 3.1415 — 你好\n\n\tx  é 🚢".encode()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same merges as a tokenizer.json and as a tiktoken vocabulary."""
    folder = tmp_path_factory.mktemp("tokens")
    learn(texts(200), 300, folder / "learned.json")
    merges = [b"th", b"the", b" the", b"in", b" sh", b"ip", b" ship", b"wave", b" w"]
    ranks = [bytes([byte]) for byte in range(256)] + merges
    lines = [b"%s %d" % (base64.b64encode(token), rank) for rank, token in enumerate(ranks)]
    (folder / "small.tiktoken").write_bytes(b"\n".join(lines))
    return folder


def test_a_learned_tokenizer_hangs_on_the_texts_and_not_on_their_order(files):
    one, same = files / "learned.json", files / "again.json"
    learn(texts(200)[::-1], 300, same)
    assert one.read_bytes() == same.read_bytes()
    script = (
        "import sys; sys.path[:0] = [sys.argv[1]]; from pathlib import Path\n"
        "from test_train import texts; from assay.scaling.proxy.vocabularies import learn\n"
        "learn(texts(200), 300, Path(sys.argv[2]))"
    )
    here = str(__file__.rpartition("/")[0])
    other = files / "process.json"
    subprocess.run([sys.executable, "-c", script, here, str(other)], check=True, timeout=100)
    assert one.read_bytes() == other.read_bytes()
    learn(texts(200, seed=1), 300, same)
    assert one.read_bytes() != same.read_bytes()


@pytest.mark.parametrize("name", ["learned.json", "small.tiktoken"])
def test_tokens_of_a_file_say_every_text_again(files, name):
    how = encoding(str(files / name))
    import tiktoken
    import tokenizers

    if name.endswith("json"):
        back = tokenizers.Tokenizer.from_file(str(files / name)).decode
    else:
        ranks = vocabularies.ranks_of(files / name)
        known = tiktoken.Encoding("x", pat_str=r"[\s\S]+", mergeable_ranks=ranks, special_tokens={})
        back = known.decode
    for text in (STRANGE, *texts(5)):
        tokens = how.encode(text)
        assert back(tokens.tolist()).encode() == text
        assert tokens.min() >= 0 and tokens.max() < how.begin == how.vocabulary - 1
    shorter = len(how.encode(b" ".join(texts(20)))) / len(b" ".join(texts(20)))
    assert shorter < 0.95
    packed = pack(texts(5), how)
    assert packed.values[0] == how.begin
    assert packed.bytes.tolist() == [len(text) for text in texts(5)]


def test_a_vocabulary_with_holes_keeps_the_beginning_apart(files):
    content = json.loads((files / "learned.json").read_text())
    vocabulary = content["model"]["vocab"]
    last = max(vocabulary, key=vocabulary.get)
    vocabulary[last] += 50
    (files / "holes.json").write_text(json.dumps(content))
    assert encoding(str(files / "holes.json")).begin == 350


def test_a_file_that_changed_is_read_anew(files, tmp_path):
    path = tmp_path / "x.tiktoken"
    path.write_bytes((files / "small.tiktoken").read_bytes())
    before, named = encoding(str(path)), vocabularies.identity(str(path))
    path.write_bytes(path.read_bytes() + b"\n" + base64.b64encode(b" wind") + b" 265")
    assert encoding(str(path)).vocabulary == before.vocabulary + 1
    assert vocabularies.identity(str(path)) != named


def test_what_is_no_tokenizer_is_said(files, tmp_path, monkeypatch):
    assert encoding("bytes") is BYTES
    bad = {"a.json": b"{}", "b.tiktoken": b"not base64 at all", "c.tiktoken": b"YQ== 0"}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadTraining, match=f"{name}: "):
            encoding(str(tmp_path / name))
    for name in ("gpt2", "bpe:many", "bpe:20", "bpe:9999999"):
        with pytest.raises(BadTraining, match="bpe:4096"):
            to_learn(name) or encoding(name)
    with pytest.raises(BadTraining, match="no pair left"):
        learn([b"abc"], 400, tmp_path / "none.json")
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(BadTraining, match=r"assay\[tokens\]"):
        encoding(str(files / "small.tiktoken"))


def test_bits_per_byte_mean_the_same_whatever_the_tokens(files):
    """Words drawn evenly have a known entropy: no tokens may seem to beat it, all come close."""
    chance = np.random.default_rng(0)

    def drawn(count):
        return [b" ".join(chance.choice(WORDS, size=120)) for _ in range(count)]

    train, held = drawn(400), drawn(20)
    entropy = log2(len(WORDS)) * 120 * len(held) / sum(map(len, held))
    found = {}
    for name in ("bytes", str(files / "learned.json")):
        packed = pack(train, encoding(name))
        spec = TrainSpec("100K", 70 * 4 * 128, sequence=128, batch=4, learning_rate=0.04)
        trainer = Trainer(spec, packed, place())
        trainer.run()
        seen = surprise(trainer.model, pack(held, encoding(name)), trainer.where)
        assert seen.bytes.sum() == sum(map(len, held))
        found[name] = seen.bits_per_byte
    values = np.array(list(found.values())) / entropy
    assert (values > 1).all() and (values < 1.15).all() and np.ptp(values) < 0.1, found


def test_passages_are_whole_characters():
    text = "海の上の船".encode() * 400
    pieces = list(passages(text))
    assert b"".join(pieces) == text and len(pieces) > 1
    for piece in pieces:
        piece.decode()
    assert whole(text, 4) == "海".encode() and whole(b"abc", 2) == b"ab" and whole(text, 1) == b""
