"""Blends: weighted ranks of several methods' scores."""

import copy

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from assay.native import kernels
from assay.selectors import past, selection
from assay.selectors.errors import BadSetting, UnknownName
from assay.selectors.explain import explain
from assay.selectors.methods.blend import Blend, Curve, ingredients
from assay.selectors.records import Batch
from assay.selectors.selection import Means
from assay.selectors.spec import Spec

numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))


class Documents:
    """A fold over texts in memory; "target" are the first five."""

    seed, targets = 0, ("t",)

    def __init__(self, texts):
        names = pa.array([f"d{n}" for n in range(len(texts))])
        rows = np.arange(len(texts), dtype=np.int64)
        key = kernels.fingerprint(names, seed=0)
        self.batch = Batch(pa.array(texts, pa.string()), names, key, rows, 0)

    def __call__(self, stream, empty):
        few = slice(0, 5) if stream.startswith("target") else slice(None)
        whole = self.batch
        total = copy.deepcopy(empty)
        total.add(Batch(whole.text[few], whole.id[few], whole.key[few], whole.row[few], 0))
        return total


TEXTS = [f"sum {n} and {n * n} make {n + n * n}" for n in range(40)]
TEXTS += [f"a story of the sea, chapter {n}, in which it rains" for n in range(160)]


def test_ranks_in_the_sample_are_shares_of_the_pool():
    scores = np.array([3.0, 1.0, 2.0, 2.0, 7.0])
    expected = (rankdata(scores) - 0.5) / len(scores)
    assert pytest.approx(expected) == Curve.of(scores)(scores)


@given(st.lists(numbers, min_size=1, max_size=30), st.lists(numbers, max_size=30))
def test_better_scores_have_higher_ranks_beyond_the_sample_too(sample, others):
    curve = Curve.of(np.array(sample))
    scores = np.unique([*sample, *others, min(sample) - 5.0, max(sample) + 5.0])
    ranks = curve(scores)
    assert (np.diff(ranks) > 0).all()
    assert ranks[0] > 0 and ranks[-1] < 1


def test_what_one_method_rules_out_the_blend_rules_out():
    curve = Curve.of(np.array([1.0, -np.inf, 2.0]))
    assert curve(np.array([-np.inf, 1.5])).tolist() == [-np.inf, 0.5]


def test_the_score_is_the_weighted_mean_of_the_ranks():
    fold = Documents(TEXTS)
    scorer = Blend("dsir:3,lm").fit(fold)
    found = scorer.score(fold.batch)
    assert scorer.names == ("score", "blend.dsir", "blend.lm")
    ranks = [(rankdata(found[:, place]) - 0.5) / len(TEXTS) for place in (1, 2)]
    assert found[:, 0] == pytest.approx(0.75 * ranks[0] + 0.25 * ranks[1], abs=1e-6)
    best = np.argsort(-found[:, 0])[:40]
    assert (best < 40).mean() > 0.95


def test_one_method_alone_chooses_what_it_chooses_by_itself():
    fold = Documents(TEXTS)
    blended = Blend("dsir").fit(fold).score(fold.batch)
    order = np.argsort(blended[:, 0], kind="stable")
    assert (np.diff(blended[order, 1]) >= 0).all()


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ("", "write NAME"),
        ("dsir,", "write NAME"),
        ("dsir:1:2", "write NAME"),
        ("dsir:much", "no weight"),
        ("dsir:0", "above 0"),
        ("dsir:inf", "above 0"),
        ("dsir:orders=", "SETTING=VALUE"),
        ("dedup", "--stage dedup"),
        ("blend", "--stage blend"),
        ("dsir:orders=99", "orders"),
    ],
)
def test_what_cannot_be_blended_is_said(methods, said):
    with pytest.raises(BadSetting, match=said):
        ingredients(methods)


def test_an_unknown_method_is_named():
    with pytest.raises(UnknownName, match="did you mean 'dsir'"):
        ingredients("dsri:2")


def test_settings_and_weights_are_read_and_twins_are_told_apart():
    one, two = ingredients("dsir:2:orders=1, dsir:orders=3:0.5")
    assert (one.name, one.weight, one.source.orders) == ("dsir", 2.0, 1)
    assert (two.name, two.weight, two.source.orders) == ("dsir-2", 0.5, 3)


def test_a_blend_after_a_stage_is_explained(corpus, target, tmp_path):
    asked = Spec(
        method="blend",
        raw=(str(corpus),),
        target={"sums": (str(target),)},
        budget="20%",
        out=str(tmp_path / "o"),
        id_column="id",
        settings={"methods": "dsir:2,classifier,quality:0.5"},
        stages=({"method": "dedup", "settings": {}},),
    )
    made = selection.select(asked)
    kept = pq.read_table(made.uri(made.content["parts"][0]["name"]))
    told = explain(past.reopen(made.folder), kept["assay_id"][0].as_py(), Means())
    blend = told["because"]["blend"]
    assert blend.keys() == {"dsir", "classifier", "quality"}
    assert sum(part["weight"] for part in blend.values()) == pytest.approx(1)
    assert all(0 < part["rank"] < 1 for part in blend.values())
