"""Scores of a sample, learned from texts: against scikit-learn, and as odis uses them."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge as Reference

from assay.native import kernels
from assay.selectors import past, selection
from assay.selectors.directions import foretelling, regression
from assay.selectors.errors import BadInput, BadRequest, BadSetting
from assay.selectors.explain import explain
from assay.selectors.records import Batch
from assay.selectors.sampling import Sample
from assay.selectors.selection import Means
from assay.selectors.spec import Spec

WORDS = [
    *("river", "stone", "bridge", "lamp", "garden", "winter"),
    *("copper", "engine", "letter", "music", "harbour", "fossil"),
]


def texts_of(n, seed):
    """Texts whose words say what they are worth: more of the first, and of the second half."""
    chance = np.random.default_rng(seed)
    taste = chance.normal(size=(n, 2))
    made = []
    for a, b in taste:
        odds = np.ones(len(WORDS))
        odds[:6] *= np.exp(a)
        odds[::2] *= np.exp(b)
        made.append(" ".join(chance.choice(WORDS, 60, p=odds / odds.sum())) + ".")
    return made, taste


@pytest.fixture(scope="module")
def sample():
    texts, taste = texts_of(600, 1)
    column = pa.array(texts)
    ids = pa.array([f"d{n}" for n in range(len(texts))])
    return column, kernels.fingerprint(ids), (taste - taste.mean(axis=0)) / taste.std(axis=0)


@pytest.mark.parametrize("penalty", [0.3, 3.0])
def test_the_ridge_is_scikit_learns(sample, penalty, monkeypatch):
    monkeypatch.setattr(regression, "TOLERANCE", 1e-9)
    monkeypatch.setattr(regression, "STEPS", 2000)
    texts, _, wanted = sample
    scales = regression.scales_of(texts)
    rows = regression.Rows.of(texts, scales)
    found = regression.Ridge.fit(rows, wanted, penalty).of(texts, rows.statistics)
    f = regression.FEATURES
    table = np.zeros((len(texts), f.slots))
    for row, text in enumerate(texts.to_pylist()):
        slots = {s for _, _, s in kernels.list_ngrams(text.encode(), f.definition, 2, f.buckets)}
        table[row, sorted(slots)] = 1 / np.sqrt(len(slots))
    table = table[:, table.any(axis=0)]
    whole = np.hstack([table, rows.statistics])
    wanted_too = Reference(penalty, fit_intercept=False, solver="cholesky").fit(whole, wanted)
    assert np.abs(found - wanted_too.predict(whole)).max() < 1e-5


def test_what_is_held_out_is_foretold_by_the_others(sample):
    """Against models that are fitted anew without each part."""
    texts, key, wanted = sample
    learned = regression.fit(texts, key, wanted)
    scales = regression.scales_of(texts)
    part = regression.fifth(key)
    held = np.zeros_like(wanted)
    for number in range(regression.FOLDS):
        out = pa.array(np.flatnonzero(part == number))
        others = pa.array(np.flatnonzero(part != number))
        rows = regression.Rows.of(texts.take(others), scales)
        ridge = regression.Ridge.fit(rows, wanted[others.to_numpy()], learned.penalty)
        left = texts.take(out)
        held[out.to_numpy()] = ridge.of(left, regression.statistics(left, scales))
    assert np.abs(learned.held - held).max() < 0.05
    for place, column in enumerate(learned.held.T):
        found = foretelling.judged("a", column, wanted[:, place]).spearman
        assert found == pytest.approx(spearmanr(column, wanted[:, place])[0], abs=1e-9)


def learned(sample, wanted, scorer, folder=""):
    """As a selection learns them."""
    texts, key, _ = sample
    held = Sample(1 << 24, 1 << 15, 0)
    ids = pa.array([f"d{n}" for n in range(len(texts))])
    assert np.array_equal(kernels.fingerprint(ids), key)
    held.add(Batch(texts, ids, key, np.arange(len(texts)), 0))
    _, rows, _ = np.intersect1d(key, held.key, return_indices=True)
    order = {one: row for row, one in enumerate(key.tolist())}
    rows = [order[one] for one in held.key.tolist()]
    names = [f"c{n}" for n in range(wanted.shape[1])]
    return foretelling.learn(SimpleNamespace(seed=0), held, wanted[rows], names, scorer, folder)


def test_new_documents_are_foretold_and_noise_is_not(sample):
    _, _, wanted = sample
    noise = np.random.default_rng(3).normal(size=len(wanted))
    found = learned(sample, np.column_stack([wanted, noise]), "ridge")
    new, taste = texts_of(300, 2)
    told = found.model(pa.array(new))
    for place in range(2):
        assert spearmanr(told[:, place], taste[:, place])[0] > 0.8
        assert found.trust[place].passes(both=True)
    assert not found.trust[2].passes(both=False)
    assert abs(found.trust[2].spearman) < 0.2


def test_boosting_learns_what_is_no_sum(sample):
    """A statistic that matters in the middle: no linear model of its rank finds that."""
    texts, _, _ = sample
    share = kernels.surface(texts)[:, kernels.STATISTICS.index("mean_word_length")]
    rank = np.argsort(np.argsort(share)) / len(share)
    wanted = -np.abs(rank - 0.5)[:, None]
    wanted = (wanted - wanted.mean()) / wanted.std()
    ridge, trees = (learned(sample, wanted, scorer) for scorer in ("ridge", "boosting"))
    assert trees.trust[0].spearman > 0.9 > ridge.trust[0].spearman + 0.2
    again = learned(sample, wanted, "boosting")
    assert np.array_equal(trees.model(texts), again.model(texts))


def test_precision_is_against_chance():
    wanted = np.arange(100.0)
    assert foretelling.judged("x", wanted, wanted).precision == 10
    assert foretelling.judged("x", -wanted, wanted).precision == 0
    assert foretelling.judged("x", -wanted, wanted).spearman == pytest.approx(-1)
    assert foretelling.judged("x", np.zeros(100), wanted).spearman == 0


# In odis -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A corpus of 1,500 documents in two shards, of which 500 are rated."""
    folder = tmp_path_factory.mktemp("rated")
    texts, taste = texts_of(1500, 4)
    ids = [f"d{n}" for n in range(1500)]
    for shard in range(2):
        rows = slice(shard * 750, (shard + 1) * 750)
        pq.write_table(pa.table({"id": ids[rows], "text": texts[rows]}),
                       folder / f"raw-{shard}.parquet")  # fmt: skip
    chance = np.random.default_rng(5)
    rated = chance.choice(1500, 500, replace=False)
    columns = {
        "score.style": taste[rated, 0], "score.depth": taste[rated, 1],
        "score.chance": chance.normal(size=500),
    }  # fmt: skip
    pq.write_table(pa.table({"id": [ids[n] for n in rated], **columns}), folder / "ratings.parquet")
    about = {"depth": {"polarity": -1, "group": "knowledge"}}
    (folder / "ratings.json").write_text(json.dumps(about))
    return folder, dict(zip(ids, taste, strict=True))


@pytest.fixture
def learn(shelf, tmp_path):
    def run(name, columns="scores/r/style,scores/r/depth", **settings):
        folder, _ = shelf
        asked = Spec("odis", (str(folder / "raw-*.parquet"),), "10%", str(tmp_path / name), {},
                     {"columns": columns, "components": 2, "contrast": "up"} | settings,
                     scores={"r": str(folder / "ratings.parquet")})  # fmt: skip
        return selection.select(asked)

    return run


def kept(folder):
    table = pq.read_table([str(p) for p in sorted(folder.glob("part-*.parquet"))])
    return table["id"].to_pylist()


def test_a_sample_of_scores_is_enough(learn, shelf, tmp_path):
    made = learn("o", scorer="ridge", floor=0)
    chosen = kept(tmp_path / "o")
    assert len(chosen) == 150
    _, taste = shelf
    # Depth is better where there is less of it, as the file beside the ratings says.
    worth = [max(abs(taste[one][0] - taste[one][1]), abs(taste[one].sum())) for one in chosen]
    every = [max(abs(t[0] - t[1]), abs(t.sum())) for t in taste.values()]
    assert np.mean(worth) > np.mean(every) + 0.8
    found = json.loads((tmp_path / "o" / "report.json").read_text())["directions"]
    assert found["learned"]["scorer"] == "ridge" and found["learned"]["documents"] == 500
    assert {one["name"] for one in found["learned"]["held_out"]} == {"pc1", "pc2", "place.mean"}
    assert [column["polarity"] for column in found["columns"]] == [1, -1]
    assert [column["group"] for column in found["columns"]] == ["r", "knowledge"]
    assert made.content["cut"]["any_of"].keys() == {"pc1+", "pc2+"}
    said = explain(past.reopen(str(tmp_path / "o")), chosen[0], Means())
    assert said["because"]["directions"]["pc1+"]["because"]


def test_the_same_bytes_twice_and_by_processes(learn, tmp_path, shelf):
    learn("a", scorer="ridge", floor=0)
    learn("b", scorer="ridge", floor=0)
    parts = [sorted((tmp_path / name).glob("scores/*")) for name in "ab"]
    assert [p.read_bytes() for p in parts[0]] == [p.read_bytes() for p in parts[1]]


def test_a_component_that_cannot_be_learned_is_refused_by_name(learn):
    columns = "scores/r/style,scores/r/chance"
    with pytest.raises(BadRequest, match=r"r/chance \(r/chance \+1.*: Spearman -?0\.\d"):
        learn("x", columns=columns, scorer="ridge", along="columns", floor=0, components=1)


def test_it_is_left_out_if_that_is_asked_for(learn, tmp_path):
    made = learn("y", columns="scores/r/style,scores/r/chance", scorer="ridge", along="columns",
                 gate="leave", floor=20)  # fmt: skip
    assert made.content["cut"]["any_of"].keys() == {"r/style+"}


def test_without_a_scorer_a_sample_of_scores_is_refused_with_the_way_out(learn):
    with pytest.raises(BadRequest, match=r"500 rows for 1500 documents.*scorer=ridge"):
        learn("z")


def test_few_or_foreign_scores_and_statistics_are_refused(learn, shelf, tmp_path):
    folder, _ = shelf
    table = pq.read_table(folder / "ratings.parquet")
    spec = {"columns": "scores/r/style,scores/r/depth", "components": 2, "scorer": "ridge"}

    def run(ratings):
        pq.write_table(ratings, tmp_path / "r.parquet")
        out = tmp_path / f"{ratings['id'][0].as_py()}-{len(ratings)}"
        raw = (str(folder / "raw-*.parquet"),)
        scores = {"r": str(tmp_path / "r.parquet")}
        return selection.select(Spec("odis", raw, "10%", str(out), {}, spec, scores=scores))

    with pytest.raises(BadRequest, match=r"100 documents of the corpus have scores.*200 are"):
        run(table.slice(0, 100))
    with pytest.raises(BadInput, match="0 of 500 ids with scores are in the corpus"):
        run(table.set_column(0, "id", pa.array([f"other{n}" for n in range(500)])))
    with pytest.raises(BadSetting, match="are had of every document"):
        learn("w", columns="surface", scorer="ridge")
