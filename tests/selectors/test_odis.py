"""odis: what it decorrelates, what it takes, and what it refuses."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.native import kernels
from assay.selectors import past, selection
from assay.selectors.directions import surface
from assay.selectors.errors import AssayError, BadInput, BadRequest, BadSetting
from assay.selectors.explain import explain
from assay.selectors.sampling import Sample
from assay.selectors.selection import Means
from assay.selectors.spec import Spec


def chosen(folder):
    table = pq.read_table([str(p) for p in sorted(folder.glob("part-*.parquet"))])
    return table["id"].to_pylist()


def stored(folder):
    """The score store as a dictionary of columns."""
    found = past.reopen(str(folder)).fold(Means()).streams["scores"]
    batches = [scored for file in found.units for scored in found.batches(file)]
    names = batches[0].names
    values = np.concatenate([scored.scores for scored in batches])
    return dict(zip(names, values.T, strict=True))


@pytest.fixture
def select(corpus, target, tmp_path):
    def run(name, budget="20%", target_too=True, scores=None, raw=None, **settings):
        wanted = {"sums": (str(target),)} if target_too else {}
        asked = Spec("odis", (str(raw or corpus),), budget, str(tmp_path / name), wanted,
                     settings, scores=scores or {})  # fmt: skip
        return selection.select(asked)

    return run


# What is learned and kept --------------------------------------------------------------------


def test_directions_are_uncorrelated_and_documents_are_kept_once(select, tmp_path):
    made = select("o")
    found = stored(tmp_path / "o")
    y = np.array([values for name, values in found.items() if name.startswith("along.")])
    assert len(y) == 4
    assert np.abs(np.corrcoef(y) - np.eye(4)).max() < 0.05
    ids = chosen(tmp_path / "o")
    assert len(ids) == len(set(ids)) == made.content["spent"]["documents"] == 160
    spent = {name: rule["spent"] for name, rule in made.content["cut"]["any_of"].items()}
    assert sum(spent.values()) == 160 and max(spent.values()) - min(spent.values()) <= 40
    assert made.content["cut"]["overlap"]["mean"] < 0.2


def test_the_report_shows_what_the_directions_are_made_of(select, tmp_path):
    select("o")
    found = json.loads((tmp_path / "o" / "report.json").read_text())["directions"]
    assert len(found["loadings"]) == 4 and len(found["loadings"][0]) == len(found["columns"])
    assert {tail["name"][:3] for tail in found["tails"]} == {"pc1", "pc2", "pc3", "pc4"}
    page = (tmp_path / "o" / "report.html").read_text()
    assert "Loadings of the directions" in page and "Overlap of the ends" in page
    select("average", along="average")
    assert "Overlap of the ends" not in (tmp_path / "average" / "report.html").read_text()


def test_without_a_target_there_are_ten_columns(select, tmp_path):
    select("with")
    select("without", target_too=False)
    assert "z.target" in stored(tmp_path / "with")
    assert "z.target" not in stored(tmp_path / "without")


def test_the_worst_by_their_mean_are_never_chosen(select, tmp_path):
    select("o", budget="100%", floor=30)
    found = stored(tmp_path / "o")
    ruled_out = np.isneginf(found["score"])
    assert 0.25 < ruled_out.mean() < 0.35
    assert found["place.mean"][ruled_out].max() < found["place.mean"][~ruled_out].min()
    assert len(chosen(tmp_path / "o")) == (~ruled_out).sum()


@pytest.mark.parametrize("settings", [{"along": "columns"}, {"along": "average"}, {"only": 2}])
def test_the_arms_that_it_has_to_beat(select, tmp_path, settings):
    made = select("o", **settings)
    assert made.content["spent"]["documents"] > 100
    directions = {name[:-1] for name in made.content["cut"]["any_of"]}
    expected = {"average": {"average"}, "columns": None}.get(settings.get("along", ""), {"pc2"})
    assert directions == expected or (expected is None and "diversity" in directions)


def test_the_best_of_each_cluster(select, tmp_path):
    made = select("o", along="clusters", components=3)
    rules = made.content["cut"]["any_of"]
    assert rules.keys() == {"cluster1+", "cluster2+", "cluster3+"}
    found = stored(tmp_path / "o")
    along = np.array([found[f"along.cluster{n}"] for n in (1, 2, 3)])
    inside = along > -100
    assert (inside.sum(axis=0) == 1).all()
    assert np.allclose(np.where(inside, along, 0).sum(axis=0), along.max(axis=0))
    z = np.array([values for name, values in found.items() if name.startswith("z.")]).T
    centres = np.array([z[one].mean(axis=0) for one in inside])
    nearest = np.square(z[:, None] - centres[None]).sum(axis=2).argmin(axis=1)
    assert (nearest == inside.argmax(axis=0)).mean() > 0.9
    told = explain(past.reopen(str(tmp_path / "o")), chosen(tmp_path / "o")[0], Means())
    assert told["because"]["directions"]
    for settings in ({"components": 0.8}, {"components": 1}, {"components": "parallel"}):
        with pytest.raises(BadSetting, match="a whole number from 2 on"):
            select("x", along="clusters", **settings)


def test_a_weighted_sample_differs_by_seed_and_the_top_does_not(corpus, tmp_path):
    def run(name, seed, temperature):
        asked = Spec("odis", (str(corpus),), "10%", str(tmp_path / name), {},
                     {"temperature": temperature}, seed=seed)  # fmt: skip
        selection.select(asked)
        return set(chosen(tmp_path / name))

    assert run("a", 0, 2.0) != run("b", 1, 2.0)
    assert len(run("c", 0, 0.0) & run("d", 1, 0.0)) > 70  # the sample that is learned on is seeded


def test_a_document_is_explained(select, tmp_path):
    select("o")
    told = explain(past.reopen(str(tmp_path / "o")), chosen(tmp_path / "o")[0], Means())
    text = json.dumps(told)
    assert '"pc1+"' in text and '"beats"' in text and "diversity" in text


# The eleven scores ---------------------------------------------------------------------------


def sampled(texts):
    from assay.selectors.records import Batch

    ids = pa.array([f"d{n}" for n in range(len(texts))])
    sample = Sample(1 << 20, 1 << 15, 0)
    sample.add(Batch(pa.array(texts), ids, kernels.fingerprint(ids), np.arange(len(texts)), 0))
    return sample


PLAIN = (
    "The ship left the harbour at dawn. Captain Morgan counted 12 sails (two were torn). "
    "Nobody spoke of the storm that the old men had seen in the gulls and in the mist. "
)


def test_scores_say_what_their_names_say():
    texts = [PLAIN + f"Day {n} was calm and the deck was dry." for n in range(60)]
    learned, _ = surface.learn(sampled(texts), None)
    odd = {
        "plain": PLAIN,
        "repeated": "buy now buy now buy now buy now " * 30,
        "symbols": "# # # ### ... ... @ @ \n- x\n- y\n- z\n" * 10,
        "unknown": "zxqv wqpt klmr ghtv bnmq plkj rtyu vbnm " * 2 + "mnbv cxzq.",
        "empty": "",
    }
    names = [column.name for column in learned.columns]
    key = kernels.fingerprint(pa.array(list(odd)))
    found = dict(zip(odd, learned(pa.array(list(odd.values())), key), strict=True))
    score = {who: dict(zip(names, row, strict=True)) for who, row in found.items()}
    assert len(names) == 10 and np.isfinite(np.array(list(found.values()))).all()
    assert score["repeated"]["repetition"] > 3 > score["plain"]["repetition"]
    assert score["repeated"]["diversity"] < score["plain"]["diversity"]
    assert score["symbols"]["words"] < score["plain"]["words"]
    assert score["unknown"]["surprisal"] > score["plain"]["surprisal"]
    assert score["unknown"]["bits_per_byte"] > score["plain"]["bits_per_byte"]
    assert score["plain"]["facts"] > score["repeated"]["facts"]
    assert score["repeated"]["compression"] > score["plain"]["compression"]


def test_a_document_is_not_judged_by_a_model_that_has_seen_it():
    def counted(first):
        words = ("alpha", "beta", "gamma", "delta", "epsilon")
        return [" ".join(f"{word}{n}" for word in words) for n in range(first, first + 400)]

    sample = sampled(counted(100))
    learned, found = surface.learn(sample, None)
    bits = learned(sample.texts(), sample.key)[:, -1]
    assert np.array_equal(found[:, -1], bits)
    fresh = pa.array(counted(500))
    other = learned(fresh, kernels.fingerprint(fresh))[:, -1]
    assert abs(bits.mean() / other.mean() - 1) < 0.01


# Scores of one's own -------------------------------------------------------------------------


@pytest.fixture
def runs(corpus, target, tmp_path):
    for method, settings in (("dsir", {}), ("lm", {}), ("quality", {"failing": "last"})):
        asked = Spec(method, (str(corpus),), "10%", str(tmp_path / method),
                     {} if method == "quality" else {"sums": (str(target),)}, settings)  # fmt: skip
        selection.select(asked)
    return {name: str(tmp_path / name) for name in ("dsir", "lm", "quality")}


def test_columns_of_earlier_selections_are_decorrelated(select, runs, tmp_path):
    columns = "scores/dsir,scores/lm,scores/quality/stat.mattr_50,scores/quality/stat.words:0"
    select("o", scores=runs, columns=columns, components=3, target_too=False)
    found = stored(tmp_path / "o")
    y = np.array([values for name, values in found.items() if name.startswith("along.")])
    assert len(y) == 3 and np.abs(np.corrcoef(y) - np.eye(3)).max() < 0.1
    wanted = stored(tmp_path / "dsir")["score"]
    assert np.corrcoef(found["z.dsir"], np.argsort(np.argsort(wanted)))[0, 1] > 0.9


def refused(run, *words):
    with pytest.raises(AssayError) as told:
        run()
    assert all(word in str(told.value) for word in words), str(told.value)
    return told.value


def test_what_cannot_be_decorrelated_is_refused_by_name(select, runs):
    alone = {"quality": runs["quality"]}

    def asked(columns, **more):
        return lambda: select("o", scores=alone, columns=columns, target_too=False, **more)

    constant = "scores/quality/stat.mattr_50,scores/quality/stat.lorem_ipsum"
    assert isinstance(refused(asked(constant), "lorem_ipsum", "same score"), BadInput)
    one = "scores/quality/stat.mattr_50"
    assert isinstance(refused(asked(one), "two score columns"), BadRequest)
    both = "scores/quality/stat.ari,scores/quality/stat.lix"
    refused(asked(both, components=3), "only 2 independent")
    refused(asked("scores/quality/stat.nothing,scores/quality/stat.lix"), "stat.nothing")
    for bad in ("stat.ari", "scores/", "surface,scores/quality", "scores/quality:x",
                "scores/quality,scores/quality", ""):  # fmt: skip
        assert isinstance(refused(asked(bad), "columns"), BadSetting)
    for k in (0, -1, 2.5, 1001):
        refused(asked(both, components=k), "components")
    refused(asked(both, components=2, only=3), "only=3")
    refused(asked("scores/elsewhere,scores/quality"), "elsewhere")


def test_missing_scores_count_as_the_mean_and_are_told(corpus, tmp_path):
    """quality's statistics of an empty text are zero; what a plug-in leaves as NaN cannot be."""
    from assay.selectors.directions.columns import OfStore, Source, Wanted, fold_moments, scaled
    from assay.selectors.directions.orthogonal import Scale, axes

    chance = np.random.default_rng(0)
    raw = chance.standard_normal((500, 3))
    raw[::10, 1] = np.nan
    scales = [Scale.of(column, True) for column in raw.T]
    columns = tuple(Wanted("r", name, 1) for name in "abc")
    source = Source(columns, OfStore(columns), tuple(scales), scaled(scales, raw))
    other = Source(columns, lambda batch: raw, tuple(scales), scaled(scales, raw))
    moments = fold_moments(other, None)
    assert moments.missing.tolist() == [0, 50, 0]
    z = axes(moments).standard(source.sample)
    assert (z[::10, 1] == 0).all() and np.isfinite(z).all()
