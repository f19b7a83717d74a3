"""The kernels of the linear model and of the n-gram models agree with plain Python."""

from math import exp, log, sqrt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.native import kernels

WORDS = st.lists(st.sampled_from(["the", "cat", "Sat", "on", "ΜΑΣ", "名前", ",", "x" * 20, "é"]))
TEXTS = st.lists(st.one_of(WORDS.map(" ".join), st.text(max_size=20)), max_size=12)
SETTINGS = st.tuples(st.sampled_from(["fast", "reference"]), st.integers(1, 4), st.integers(1, 200))


def distinct(text, setting):
    listed = kernels.list_ngrams(text.encode(), *setting)
    return list(dict.fromkeys(slot for _, _, slot in listed))


def array_of(texts):
    return pa.array(texts, pa.string())


# --- sets -------------------------------------------------------------------------------------


@given(TEXTS, SETTINGS)
def test_distinct_ngrams_are_those_that_are_listed(texts, setting):
    ends, slots = kernels.distinct_ngrams(array_of(texts), *setting)
    found = np.split(slots, ends[:-1]) if texts else []
    assert [one.tolist() for one in found] == [distinct(text, setting) for text in texts]


@pytest.mark.parametrize("words", [1, 63, 64, 65, 128, 1000])
def test_a_set_may_span_batches_and_the_next_one_begins_afresh(words):
    text = " ".join(f"w{n % 300}" for n in range(words))
    setting = ("fast", 2, 1 << 16)
    ends, slots = kernels.distinct_ngrams(array_of([text, "", text]), *setting)
    expected = distinct(text, setting)
    assert slots.tolist() == expected * 2
    assert ends.tolist() == [len(expected), len(expected), 2 * len(expected)]


@given(TEXTS, SETTINGS, st.sampled_from([np.float32, np.float64]))
def test_dot_distinct_adds_each_ngram_once_in_eight_running_sums(texts, setting, dtype):
    table = np.random.default_rng(5).normal(size=kernels.slots(*setting)).astype(dtype)
    sums, count = kernels.dot_distinct(array_of(texts), table, *setting)
    for text, found, number in zip(texts, sums, count, strict=True):
        running, met = [0.0] * 8, set()
        for place, (_, _, slot) in enumerate(kernels.list_ngrams(text.encode(), *setting)):
            running[place % 8] += 0.0 if slot in met else float(table[slot])
            met.add(slot)
        a, b, c, d, e, f, g, h = running
        assert found == ((a + e) + (c + g)) + ((b + f) + (d + h))
        assert number == len(met)


@given(TEXTS, SETTINGS, st.integers(1, 5))
def test_dot_distinct_columns_adds_lines_one_by_one(texts, setting, columns):
    table = np.random.default_rng(6).normal(size=(kernels.slots(*setting), columns))
    table = table.astype(np.float32)
    sums, count = kernels.dot_distinct_columns(array_of(texts), table, *setting)
    assert sums.shape == (len(texts), columns)
    for text, found, number in zip(texts, sums, count, strict=True):
        wanted, met = np.zeros(columns), set()
        for _, _, slot in kernels.list_ngrams(text.encode(), *setting):
            wanted += 0.0 if slot in met else table[slot].astype(float)
            met.add(slot)
        assert np.array_equal(found, wanted)
        assert number == len(met)


@pytest.mark.parametrize("shape", [(8,), (7, 2), (8, 0), (8, 2, 1)])
def test_dot_distinct_columns_refuses_other_tables(shape):
    with pytest.raises(ValueError, match="table must be"):
        kernels.dot_distinct_columns(array_of(["a"]), np.zeros(shape, np.float32), "fast", 1, 8)


# --- the logistic model -----------------------------------------------------------------------


def rows_of(sets):
    ends = np.cumsum([len(one) for one in sets], dtype=np.int64)
    slots = np.concatenate([np.asarray(one, np.uint32) for one in sets])
    return ends, slots


def fit(sets, labels, costs, size, rounds=1000, tolerance=1e-10):
    weights = np.zeros(size + 1, np.float32)
    arrays = np.asarray(labels, float), np.asarray(costs, float)
    kernels.fit_logistic(*rows_of(sets), *arrays, weights, rounds, tolerance)
    return weights.astype(float)


def gradient(weights, sets, labels, costs):
    """Of |w|^2 / 2 + the losses: nought where they are least."""
    total = weights.copy()
    for one, label, cost in zip(sets, labels, costs, strict=True):
        scale = 1 / sqrt(len(one)) if len(one) else 0.0
        margin = label * (sum(weights[slot] for slot in one) * scale + weights[-1])
        slope = -cost * label / (1 + exp(margin))
        total[-1] += slope
        for slot in one:
            total[slot] += slope * scale
    return total


SETS = st.lists(st.sets(st.integers(0, 9), max_size=6).map(sorted), min_size=1, max_size=12)


@settings(deadline=None, max_examples=40)
@given(SETS, st.integers(0, 2**30), st.sampled_from([0.01, 1.0, 100.0]))
def test_the_fit_is_where_the_gradient_is_nought(sets, seed, strength):
    random = np.random.default_rng(seed)
    labels = np.where(random.random(len(sets)) < 0.5, 1.0, -1.0)
    costs = strength * (0.5 + random.random(len(sets)))
    weights = fit(sets, labels, costs, 10)
    assert np.abs(gradient(weights, sets, labels, costs)).max() < 1e-4 * strength


def test_the_fit_is_that_of_scikit_learn():
    linear = pytest.importorskip("sklearn.linear_model")
    random = np.random.default_rng(3)
    sets = [random.choice(200, random.integers(1, 40), replace=False) for _ in range(150)]
    labels = np.where([min(one) < 5 for one in sets], 1.0, -1.0)
    costs = random.random(150) + 0.5
    dense = np.zeros((150, 200))
    for row, one in enumerate(sets):
        dense[row, one] = 1 / sqrt(len(one))
    # liblinear, as we do, counts the bias as a weight.
    theirs = linear.LogisticRegression(solver="liblinear", tol=1e-10, max_iter=10_000)
    theirs.fit(dense, labels, sample_weight=costs)
    ours = fit(sets, labels, costs, 200)
    assert np.abs(ours[:-1] - theirs.coef_[0]).max() < 1e-5
    assert abs(ours[-1] - theirs.intercept_[0]) < 1e-5


def test_bad_arrays_are_refused_by_name():
    ends, slots = rows_of([[0, 1], [2]])
    good = {"labels": np.ones(2), "costs": np.ones(2), "weights": np.zeros(4, np.float32)}
    for name, bad in [
        ("labels", np.ones(3)),
        ("costs", np.ones(1)),
        ("weights", np.zeros(0, np.float32)),
    ]:
        with pytest.raises(ValueError, match=name):
            kernels.fit_logistic(ends, slots, *(good | {name: bad}).values(), 1, 0.1)
    with pytest.raises(ValueError, match="slots"):
        kernels.fit_logistic(ends, slots, np.ones(2), np.ones(2), np.zeros(3, np.float32), 1, 0.1)
    with pytest.raises(ValueError, match="ends"):
        kernels.fit_logistic(ends[::-1].copy(), slots, *good.values(), 1, 0.1)


# --- the n-gram models ------------------------------------------------------------------------


def counted(texts, orders, buckets):
    counts = np.zeros(kernels.slots("fast", orders, buckets), np.int64)
    kernels.add_ngrams(array_of(texts), counts, "fast", orders, buckets)
    return counts


class Models:
    """As ngram_model.hpp says it."""

    def __init__(self, target, raw, orders, buckets, prior=(3.0, 7.0), flat=5.0, background=0.3):
        both = [counted(texts, orders, buckets) for texts in (target, raw)]
        self.counts = np.stack(both, axis=1).astype(np.float32)
        self.tokens = tuple(float(one[:buckets].sum()) for one in both)
        self.orders, self.buckets, self.prior = orders, buckets, prior
        self.flat, self.background = flat, background

    def kernel(self, texts):
        return kernels.score_ngrams(
            array_of(texts), self.counts, self.tokens, self.prior, self.flat, self.background,
            "fast", self.orders, self.buckets,
        )  # fmt: skip

    def words(self, text):
        """Slots of the n-grams that end with each token, shortest first."""
        ending = []
        for _, order, slot in kernels.list_ngrams(text.encode(), "fast", self.orders, self.buckets):
            if order == 1:
                ending.append([])
            ending[-1].append(slot)
        return ending

    def order(self, slots, before, model):
        """P_k of a word, by recursion on the order."""
        count = float(self.counts[slots[-1], model])
        if len(slots) > 1:
            history = float(self.counts[before[len(slots) - 2], model])
            shorter = self.order(slots[:-1], before, model)
            mass = min(count, history) + self.prior[model] * shorter
            return mass / (history + self.prior[model])
        if model == 1:
            return (count + self.flat / self.buckets) / (self.tokens[1] + self.flat)
        share = self.background
        return (1 - share) * count / self.tokens[0] + share * self.order(slots, before, 1)

    def logs(self, text):
        total, before = [0.0, 0.0], []
        for slots in self.words(text):
            target, raw = self.order(slots, before, 0), self.order(slots, before, 1)
            total[0] += log((1 - self.background) * target + self.background * raw)
            total[1] += log(raw)
            before = slots
        return total


@settings(deadline=None)
@given(TEXTS, st.integers(1, 4), st.sampled_from([1, 50, 4000]))
def test_score_ngrams_agrees_with_the_recursion(texts, orders, buckets):
    models = Models(["the cat sat on the cat", "名前 the"], [*texts, "on , the"], orders, buckets)
    logs, tokens = models.kernel(texts)
    assert logs.shape == (len(texts), 2)
    for text, found, count in zip(texts, logs, tokens, strict=True):
        assert found.tolist() == pytest.approx(models.logs(text), rel=1e-9, abs=1e-9)
        assert count == len(models.words(text))


def test_a_long_text_is_scored_across_batches():
    text = " ".join(f"w{n * n % 41}" for n in range(500))
    models = Models([text[:400]], [text[300:]], 3, 1 << 16)
    logs, _ = models.kernel(["w1", text, "w2 w1"])
    assert logs[1].tolist() == pytest.approx(models.logs(text), rel=1e-9)


@pytest.mark.parametrize("orders", [1, 2, 3])
@pytest.mark.parametrize("history", ["", "a", "a b", "r a", "z"])
def test_probabilities_sum_to_one_over_a_closed_vocabulary(orders, history):
    said = ["a b r a c a d a b r a", "c a b b a l a b a r"]
    # With next to nothing set aside for words that neither side has.
    models = Models(said[:1], said, orders, 1 << 20, flat=1e-9)
    words = sorted(set(" ".join(said).split()))
    base = models.logs(history) if history != "z" else models.kernel([history])[0][0]
    after = [models.logs(f"{history} {word}") for word in words]
    sums = np.exp(np.subtract(after, base)).sum(axis=0)
    assert (sums <= 1 + 1e-6).all()
    # "r a" ends the target and "r" the rest: once in so few times nothing follows.
    assert (sums >= 0.7).all()
    if history in ("", "a b", "z"):
        assert sums == pytest.approx([1, 1], abs=1e-6)
