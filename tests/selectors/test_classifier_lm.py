"""The classifier and the language models: oracles, and the preferences that must show."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.native import kernels
from assay.selectors import catalog
from assay.selectors.errors import BadSetting, NothingToRead
from assay.selectors.methods.classifier import Classifier
from assay.selectors.records import Batch

SAMPLE = Path(__file__).parents[2] / "examples" / "sample"
RAW = [f"the ship sailed on the salt sea {n}" for n in range(30)]
RAW += [f"seven plus twelve makes nineteen {n}" for n in range(30)]
SUMS = ["add seven and twelve", "nineteen plus seven", "twelve plus seven"]


def batch(texts):
    ids = pa.array([str(n) for n in range(len(texts))])
    return Batch(
        pa.array(texts, pa.string()), ids, kernels.fingerprint(ids), np.arange(len(texts)), 0
    )


class Fold:
    """Folds over texts in memory, all targets together or one by one."""

    seed = 0

    def __init__(self, raw, **targets):
        everything = [text for texts in targets.values() for text in texts]
        self.texts = {"raw": raw, "target": everything}
        self.targets = tuple(targets)

    def __call__(self, stream, empty):
        import copy

        total = copy.deepcopy(empty)
        total.add(batch(self.texts[stream]))
        return total


@pytest.mark.parametrize("method", ["classifier", "lm"])
def test_what_is_like_the_target_scores_higher(method):
    scorer = catalog.build(method, {}).fit(Fold(RAW, sums=SUMS))
    sea, sums = scorer.score(batch(["a ship on the sea", "twelve plus seven makes"]))
    assert sums > sea


@pytest.mark.parametrize("method", ["classifier", "lm"])
def test_a_text_without_a_token_comes_last(method):
    scorer = catalog.build(method, {}).fit(Fold(RAW, sums=SUMS))
    found = scorer.score(batch(["", " \n", "salt sea", "seven"]))
    assert found[0] == found[1] < found[2] < found[3]
    assert np.isfinite(found).all()


@pytest.mark.parametrize("method", ["classifier", "lm"])
def test_several_targets_are_one(method):
    apart = catalog.build(method, {}).fit(Fold(RAW, a=SUMS[:2], b=SUMS[2:]))
    together = catalog.build(method, {}).fit(Fold(RAW, sums=SUMS))
    assert np.array_equal(apart.score(batch(RAW)), together.score(batch(RAW)))


@pytest.mark.parametrize("method", ["classifier", "lm"])
def test_a_document_scores_the_same_in_any_company(method):
    scorer = catalog.build(method, {}).fit(Fold(RAW, sums=SUMS))
    alone = [scorer.score(batch([text]))[0] for text in RAW]
    assert scorer.score(batch(RAW)).tolist() == alone


@pytest.mark.parametrize("method", ["classifier", "lm"])
def test_an_explanation_adds_up_to_the_score(method):
    scorer = catalog.build(method, {}).fit(Fold(RAW, sums=SUMS))
    document = batch(["Seven ships: twelve plus seven makes NINETEEN ships. " * 40])
    told = scorer.explain(document)
    assert sum(n["adds"] for n in told["ngrams"]) + told["rest"] == pytest.approx(
        scorer.score(document)[0], rel=1e-5
    )
    best = max(told["ngrams"], key=lambda n: n["adds"])
    assert best["ngram"] in ("seven", "twelve", "plus seven", "twelve plus", "nineteen")
    assert told["ngrams"][0]["times"] == 40 or told["ngrams"][0]["times"] == 80


@pytest.mark.parametrize("method", ["classifier", "lm"])
def test_a_raw_pool_without_words_does_no_harm(method):
    scorer = catalog.build(method, {}).fit(Fold(["", " "], sums=SUMS))
    assert np.isfinite(scorer.score(batch(RAW))).all()


@pytest.mark.parametrize("method", ["classifier", "lm"])
def test_a_target_without_text_is_refused(method):
    with pytest.raises(NothingToRead, match="sums"):
        catalog.build(method, {}).fit(Fold(RAW, sums=["", " "]))


@pytest.mark.parametrize(
    "method, settings, words",
    [
        ("classifier", {"l2": 0}, "l2"),
        ("classifier", {"orders": 9}, "orders"),
        ("classifier", {"sample": 0}, "sample"),
        ("lm", {"background": 0}, "background"),
        ("lm", {"background": 1}, "background"),
        ("lm", {"prior": 0}, "prior"),
        ("lm", {"length_power": 2}, "length_power"),
    ],
)
def test_a_setting_out_of_range_is_named(method, settings, words):
    with pytest.raises(BadSetting, match=words):
        catalog.build(method, settings)


def test_it_is_as_good_as_scikit_learn_on_the_same_ngrams():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    linear = pytest.importorskip("sklearn.linear_model")
    metrics = pytest.importorskip("sklearn.metrics")
    target = pq.read_table(SAMPLE / "target.parquet")["text"].to_pylist()
    raw = pq.read_table(SAMPLE / "raw-00000.parquet", columns=["text"])["text"].to_pylist()
    held_out = pq.read_table(SAMPLE / "raw-00001.parquet", columns=["text", "domain"])
    texts, hit = held_out["text"].to_pylist(), held_out["domain"].to_numpy() == "textbook"
    ours = Classifier().fit(Fold(raw, sums=target)).score(batch(texts))
    words = text.HashingVectorizer(
        token_pattern=r"\w+|[^\w\s]+", ngram_range=(1, 2), binary=True, alternate_sign=False
    )
    labels = np.repeat([1, 0], [len(target), len(raw)])
    examples = words.transform([*target, *raw])
    mine = metrics.roc_auc_score(hit, ours)
    for model in (
        linear.SGDClassifier(
            loss="log_loss", alpha=Classifier().l2, class_weight="balanced", random_state=0
        ),
        linear.LogisticRegression(C=1 / (Classifier().l2 * len(labels)), class_weight="balanced"),
    ):
        scores = model.fit(examples, labels).decision_function(words.transform(texts))
        assert mine > metrics.roc_auc_score(hit, scores) - 0.005
        assert np.corrcoef(ours, scores)[0, 1] > 0.99


def test_a_text_is_less_of_a_surprise_to_the_model_of_its_own_kind():
    target = pq.read_table(SAMPLE / "target.parquet")["text"].to_pylist()
    raw = pq.read_table(SAMPLE / "raw-00000.parquet", columns=["text"])["text"].to_pylist()
    held_out = pq.read_table(SAMPLE / "raw-00001.parquet", columns=["text", "domain"])
    models = catalog.build("lm", {}).fit(Fold(raw, books=target))
    logs, tokens = models.logs(held_out["text"].combine_chunks())
    own = held_out["domain"].to_numpy() == "textbook"
    ours, others = (np.exp(-logs[m].sum(axis=0) / tokens[m].sum()) for m in (own, ~own))
    assert ours[0] < 0.8 * ours[1]  # the target's model is the better one for its own kind
    assert others[0] > 0.95 * others[1]
    assert 50 < ours[0] < 2000
