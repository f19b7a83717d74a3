"""An encoder from a local folder learns scores. The folder is made here, untrained and tiny."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr

from assay.selectors import selection
from assay.selectors.directions import encoder, foretelling
from assay.selectors.errors import BadInput, BadSetting
from assay.selectors.spec import Spec

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

GOOD, BAD = ("river", "stone", "lamp", "garden"), ("copper", "engine", "letter", "harbour")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("encoder")
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *GOOD, *BAD]
    plain = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>")
    )
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    plain.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token="<s>", pad_token="<pad>", eos_token="</s>",
        unk_token="<unk>", mask_token="<mask>",
    ).save_pretrained(place)  # fmt: skip
    transformers.set_seed(0)
    config = transformers.RobertaConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=34, pad_token_id=1, bos_token_id=0,
        eos_token_id=2,
    )  # fmt: skip
    transformers.RobertaModel(config).save_pretrained(place)
    return place


@pytest.fixture
def rates(monkeypatch):
    """A body that knows nothing yet takes larger steps than one that was trained before."""
    monkeypatch.setattr(encoder, "RATE", 3e-3)
    monkeypatch.setattr(encoder, "HEAD_RATE", 3e-2)


def texts_of(n, seed):
    chance = np.random.default_rng(seed)
    share = chance.uniform(size=n)
    texts = [
        " ".join(np.where(chance.uniform(size=20) < s, chance.choice(GOOD, 20),
                          chance.choice(BAD, 20)).tolist())
        for s in share
    ]  # fmt: skip
    return texts, share


def test_it_learns_and_each_document_stands_for_itself(folder, rates):
    texts, share = texts_of(320, 1)
    wanted = ((share - share.mean()) / share.std())[:, None]
    place = encoder.opened(str(folder))
    out = np.arange(320) % 5 == 0
    steps = []
    found = encoder.train(place, pa.array(texts), wanted, out, 7, steps.append)
    assert sum(steps) == encoder.steps(256) == 24
    assert found.losses[-1] < 0.5 * found.losses[0]
    new, truth = texts_of(100, 2)
    model = encoder.Encoder(place, found)
    told = model(pa.array(new))
    assert spearmanr(told[:, 0], truth)[0] > 0.8
    alone = np.concatenate([model(pa.array([text])) for text in new[:5]])
    assert np.array_equal(told[:5], alone)
    again = encoder.train(place, pa.array(texts), wanted, out, 7)
    assert np.array_equal(found.flat, again.flat)


def test_a_long_text_is_the_mean_of_its_windows(folder, rates):
    texts, share = texts_of(64, 3)
    place = encoder.opened(str(folder))
    found = encoder.train(place, pa.array(texts), share[:, None], np.zeros(64, bool), 0)
    model = encoder.Encoder(place, found)
    room = 32 - 2  # of 34 places, two before the first, and two marks
    parts = [" ".join([word] * room) for word in (GOOD[0], BAD[0])]
    whole = model(pa.array([" ".join(parts)]))[0, 0]
    assert whole == pytest.approx(np.mean(model(pa.array(parts))[:, 0]), abs=1e-5)
    assert np.isfinite(model(pa.array(["", "\u4e00"]))).all()


def test_a_selection_by_an_encoder(folder, rates, tmp_path):
    texts, share = texts_of(600, 4)
    ids = [f"d{n}" for n in range(600)]
    pq.write_table(pa.table({"id": ids, "text": texts}), tmp_path / "raw.parquet")
    rated = pa.table({"id": ids[:400], "score.good": share[:400], "score.bad": -(share[:400] ** 3)})
    pq.write_table(rated, tmp_path / "r.parquet")
    (tmp_path / "r.json").write_text(json.dumps({"bad": {"polarity": -1}}))
    asked = Spec("odis", (str(tmp_path / "raw.parquet"),), "10%", str(tmp_path / "out"), {},
                 {"columns": "scores/r/good,scores/r/bad", "components": 1, "scorer": "encoder",
                  "encoder": str(folder)}, scores={"r": str(tmp_path / "r.parquet")})  # fmt: skip
    made = selection.select(asked)
    kept = pq.read_table(tmp_path / "out" / "part-00000.parquet")["id"].to_pylist()
    assert len(kept) == 60
    assert np.mean([share[int(one[1:])] for one in kept]) > 0.85
    found = json.loads((tmp_path / "out" / "report.json").read_text())["directions"]["learned"]
    assert found["scorer"] == "encoder" and len(found["losses"]) == encoder.EPOCHS
    assert found["held_out"][0]["spearman"] > foretelling.SPEARMAN
    assert "transformers" in json.dumps(made.content)


def test_folders_that_hold_no_encoder_are_refused(folder, tmp_path):
    with pytest.raises(BadSetting, match="encoder=FOLDER"):
        encoder.opened("")
    with pytest.raises(BadInput, match="holds no encoder"):
        encoder.opened(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    place = encoder.opened(str(tmp_path))
    with pytest.raises(BadInput, match="cannot be read as an encoder"):
        encoder.train(place, pa.array(["a"]), np.zeros((1, 1)), np.zeros(1, bool), 0)
