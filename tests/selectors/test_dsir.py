"""DSIR: the reference package's own numbers, and the preference that must show."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.native import kernels
from assay.selectors import catalog, selection
from assay.selectors.errors import BadSetting
from assay.selectors.methods.dsir import Dsir, tokens_behind, tokens_of
from assay.selectors.records import Batch
from assay.selectors.spec import Spec

REFERENCE = json.loads((Path(__file__).parents[1] / "data" / "dsir_reference.json").read_text())
TEXTS = [entry["text"] for entry in REFERENCE["raw"]]
TARGET = [entry["text"] for entry in REFERENCE["target"]]


def batch(texts):
    ids = pa.array([str(n) for n in range(len(texts))])
    key = kernels.fingerprint(ids)
    return Batch(pa.array(texts, pa.string()), ids, key, np.arange(len(texts)), 0)


class Fold:
    """Folds over texts in memory."""

    seed = 0

    def __init__(self, raw, **targets):
        self.texts = {"raw": raw} | {f"target/{name}": texts for name, texts in targets.items()}
        self.targets = tuple(targets)

    def __call__(self, stream, empty):
        import copy

        total = copy.deepcopy(empty)
        total.add(batch(self.texts[stream]))
        return total


def as_the_reference(orders, **more):
    settings = {"smoothing": 0.0, "length_normalised": False, "orders": orders, "min_length": 100}
    return catalog.build("dsir", {"features": "reference"} | settings | more)


@pytest.mark.parametrize("orders", ["1", "2", "3"])
def test_log_weights_are_those_of_the_reference_package(orders):
    answers = REFERENCE["answers"][orders]
    fold = Fold(TEXTS, target=TARGET)
    scorer = as_the_reference(int(orders), min_length=0).fit(fold)
    found = scorer.score(batch(TEXTS))
    assert np.allclose(found, answers["log_weight"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("orders", [1, 2, 3])
def test_tokens_are_counted_as_the_reference_package_does(orders):
    table = np.zeros(10_000)
    _, ngrams = kernels.dot_ngrams(batch(TEXTS).text, table, "reference", orders, 10_000)
    assert tokens_of(ngrams, orders).tolist() == REFERENCE["answers"][str(orders)]["tokens"]


@pytest.mark.parametrize("orders", [1, 2, 3, 8])
def test_tokens_follow_from_the_number_of_ngrams(orders):
    texts = batch([" ".join("a" * n) for n in range(40)]).text
    table = np.zeros(orders * 64, np.float32)
    _, ngrams = kernels.dot_ngrams(texts, table, "fast", orders, 64)
    assert tokens_behind(ngrams, orders).tolist() == kernels.count_tokens(texts).tolist()


def test_the_reference_length_filter_rules_short_documents_out():
    fold = Fold(TEXTS, target=TARGET)
    found = as_the_reference(2).fit(fold).score(batch(TEXTS))
    short = np.array(REFERENCE["answers"]["2"]["tokens"]) < 100
    assert (found == -np.inf).tolist() == short.tolist()


def test_buckets_of_the_reference_are_known():
    for words, bucket in REFERENCE["hashes"].items():
        if words:
            last = kernels.list_ngrams(words.encode(), "reference", len(words.split()), 10_000)
            assert bucket in [slot for ngram, _, slot in last if ngram.decode() == words]


RAW = ["the ship sailed on the salt sea"] * 30 + ["seven plus twelve makes nineteen"] * 30


@pytest.mark.parametrize("features", ["fast", "reference"])
@pytest.mark.parametrize("length_normalised", ["sqrt", "mean", True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_what_is_like_the_target_scores_higher(features, length_normalised, smoothing):
    settings = {"features": features, "length_normalised": length_normalised}
    selector = catalog.build("dsir", settings | {"smoothing": smoothing})
    scorer = selector.fit(Fold(RAW, sums=["add seven and twelve", "nineteen plus seven"]))
    sea, sums = scorer.score(batch(["a ship on the sea", "twelve plus seven makes"]))
    assert sums > sea


def test_a_text_without_a_token_comes_last_and_is_still_kept_when_all_are_asked_for():
    scorer = Dsir().fit(Fold(RAW, sums=["add seven"]))
    found = scorer.score(batch(["", " \n", "salt sea", "seven"]))
    assert found[0] == found[1] < found[2] < found[3]
    assert np.isfinite(found).all()


def test_an_explanation_adds_up_to_the_score():
    scorer = Dsir().fit(Fold(RAW, sums=["add seven and twelve"]))
    document = batch(["Seven ships: twelve plus seven makes NINETEEN ships"])
    told = scorer.explain(document)
    assert sum(n["adds"] for n in told["ngrams"]) + told["rest"] == pytest.approx(
        scorer.score(document)[0], rel=1e-5
    )
    assert told["ngrams"][0]["ngram"] in ("seven", "twelve", "plus seven", "twelve plus", "ships")


def test_each_target_gets_its_share(corpus, target, tmp_path):
    sea = tmp_path / "sea.parquet"
    pq.write_table(
        pa.table({"text": ["ship harbour sail wind tide storm deck anchor gull"] * 9}), sea
    )
    asked = Spec(
        method="dsir",
        raw=(str(corpus),),
        target={"sums": (str(target),), "sea": (str(sea),)},
        budget="100docs",
        out=str(tmp_path / "o"),
        settings={"proportions": {"sums": 3, "sea": 1}},
    )
    made = selection.select(asked)
    topics = pq.read_table(tmp_path / "o" / "part-00000.parquet")["topic"].to_pylist()
    assert (topics.count("sums"), topics.count("sea")) == (75, 25)
    assert made.content["scores"]["columns"] == ["score.sums", "score.sea"]


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"smoothing": -1}, "smoothing"),
        ({"smoothing": 1}, "smoothing"),
        ({"orders": 0}, "orders"),
        ({"orders": "two"}, "orders"),
        ({"features": "slow"}, "features"),
        ({"draw": "lots"}, "draw"),
        ({"temperature": 0}, "temperature"),
    ],
)
def test_a_setting_out_of_range_is_named(settings, words):
    with pytest.raises(BadSetting, match=words):
        catalog.build("dsir", settings)


def test_proportions_that_miss_a_target_are_refused():
    selector = catalog.build("dsir", {"proportions": {"a": 1}})
    with pytest.raises(BadSetting, match=r"names \['a'\], the targets are \['b'\]"):
        selector.fit(Fold(RAW, b=["x"]))


def test_a_hot_sample_is_nearer_to_uniform_than_a_cold_one(corpus, target, tmp_path):
    shares = []
    for temperature in (0.3, 30.0):
        asked = Spec(
            method="dsir",
            raw=(str(corpus),),
            target={"sums": (str(target),)},
            budget="160docs",
            out=str(tmp_path / str(temperature)),
            settings={"draw": "sample", "temperature": temperature},
        )
        selection.select(asked)
        table = pq.read_table(tmp_path / str(temperature) / "part-00000.parquet")
        shares.append(table["topic"].to_pylist().count("sums") / 160)
    assert shares[0] > 0.9
    assert 0.2 < shares[1] < 0.6
