"""Principal components from integer moments: scikit-learn's, whatever the grouping."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from assay.selectors.directions.orthogonal import (
    Axes,
    Moments,
    Scale,
    axes,
    how_many,
    oriented,
    stability,
)


def table(rows, d, seed, factors=2):
    chance = np.random.default_rng(seed)
    hidden = chance.standard_normal((rows, factors)) @ chance.standard_normal((factors, d))
    return hidden + 0.3 * chance.standard_normal((rows, d)) + chance.uniform(-5, 5, d)


def moments_of(columns, cuts=()):
    empty = (columns.mean(axis=0).round(3), columns.std(axis=0).round(3))
    parts = []
    for some in np.split(columns, sorted(cuts)):
        part = Moments(*empty)
        part.add(some)
        parts.append(part)
    for other in parts[1:]:
        parts[0].merge(other)
    return parts[0]


@pytest.mark.parametrize("d, seed", [(2, 0), (4, 1), (11, 2)])
def test_they_are_those_of_scikit_learn(d, seed):
    columns = table(3000, d, seed, factors=min(d, 4))
    found = axes(moments_of(columns))
    z = (columns - columns.mean(axis=0)) / columns.std(axis=0, ddof=1)
    known = PCA().fit(z)
    assert np.allclose(found.variances, known.explained_variance_, atol=1e-8)
    assert np.allclose(found.explained, known.explained_variance_ratio_, atol=1e-8)
    cosine = np.abs(np.sum(found.vectors.T * known.components_, axis=1))
    assert np.allclose(cosine, 1, atol=1e-8)
    assert np.allclose(found.mean, columns.mean(axis=0), atol=1e-8)
    y = found.project(columns)
    assert np.allclose(np.cov(y.T), np.eye(d), atol=1e-6)


@given(st.lists(st.integers(0, 200), max_size=6), st.integers(0, 50))
def test_how_documents_are_grouped_makes_no_difference(cuts, seed):
    columns = table(200, 5, seed)
    columns[::17, 2] = np.nan
    safe = np.where(np.isnan(columns), 0.0, columns)
    centre, spread = safe.mean(axis=0), safe.std(axis=0)

    def counted(pieces):
        whole = Moments(centre, spread)
        for piece in pieces:
            part = Moments(centre, spread)
            part.add(piece)
            whole.merge(part)
        return whole

    one, many = counted([columns]), counted(np.split(columns, sorted(cuts)))
    for name in ("sums", "high", "low", "missing"):
        assert np.array_equal(getattr(one, name), getattr(many, name))
    assert one.rows == many.rows == 200 and one.missing[2] == len(columns[::17])


def test_a_component_is_turned_to_what_is_wanted_and_a_contrast_is_told():
    chance = np.random.default_rng(5)
    good, other = chance.standard_normal((2, 4000))
    noise = 0.1 * chance.standard_normal((4, 4000))
    # Two columns where more is better, one where less is; two that pull against each other.
    columns = np.stack([good, good, -good, other * 0.5, -other * 0.5], axis=1)
    columns[:, :4] += noise.T
    found = axes(moments_of(columns))
    turned = oriented(found, (1, 1, -1, 1, 1), 2)
    y = turned.axes.project(columns)
    assert np.corrcoef(y[:, 0], good)[0, 1] > 0.95
    assert turned.contrast == (False, True)


def test_ranks_make_any_column_normal_and_tails_are_cut():
    chance = np.random.default_rng(1)
    heavy = np.exp(3 * chance.standard_normal(20_000))
    scale = Scale.of(heavy, gaussian=True)
    found = scale(heavy)
    assert abs(found.mean()) < 0.01 and abs(found.std() - 1) < 0.02
    assert np.array_equal(np.argsort(found[:100]), np.argsort(heavy[:100]))
    assert found.max() < 3.1 and scale(np.array([1e300]))[0] == found.max()
    assert np.isnan(scale(np.array([np.nan, np.inf, -np.inf]))).all()
    cut = Scale.of(heavy, gaussian=False)(heavy)
    assert cut.max() < heavy.max() and np.isclose(np.quantile(heavy, 0.999), cut.max(), rtol=0.1)
    assert Scale.of(np.full(9, 2.0), gaussian=True).constant


def test_how_many_components():
    columns = table(3000, 8, 3, factors=2)
    found = axes(moments_of(columns))
    assert how_many(found, "parallel", 3000, 0) == 2
    assert how_many(found, 4, 3000, 0) == 4
    share = how_many(found, 0.8, 3000, 0)
    assert found.explained[:share].sum() >= 0.8 > found.explained[: share - 1].sum()
    doubled = axes(moments_of(np.column_stack([columns, columns[:, 0]])))
    assert doubled.vectors.shape[1] == 8  # a column that repeats another adds no direction


def test_stable_components_stay_and_loose_ones_wander():
    columns = table(2000, 6, 7, factors=1)
    found = axes(moments_of(columns))
    one = Axes(found.mean, found.deviation, found.vectors[:, :1], found.variances)
    assert stability(one, columns, 20, 0)["cosine"][0] > 0.999
    noise = np.random.default_rng(0).standard_normal((60, 6))
    found = axes(moments_of(noise))
    loose = Axes(found.mean, found.deviation, found.vectors[:, :2], found.variances)
    told = stability(loose, noise, 20, 0)
    assert min(told["cosine"]) < 0.95 and told["angle"] > 20
    assert told == stability(loose, noise, 20, 0)
