"""One of each cluster stays, wherever the copies lie; the oracle is brute force."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasketch import MinHash, MinHashLSH

from assay.jobs.executors import pool
from assay.selectors import catalog, past, selection
from assay.selectors.clusters import Bands, Places, clusters
from assay.selectors.errors import BadSetting
from assay.selectors.explain import explain
from assay.selectors.methods.dedup import Dedup
from assay.selectors.selection import Means
from assay.selectors.sketch import Sketch, chance, fast_hash, shape
from assay.selectors.spec import Spec
from assay.selectors.stages import EVERYTHING, InTurn, Remaining, Stage

VOCABULARY = [f"word{number}" for number in range(2000)]


def prose(seed, words=120):
    return " ".join(np.random.default_rng(seed).choice(VOCABULARY, words))


def near(text, changes=1):
    """The same text with so many words replaced: each touches five shingles."""
    words = text.split()
    for change in range(changes):
        words[10 + 40 * change] = f"other{change}"
    return " ".join(words)


def copies():
    """30 documents; of each the first ten a twin, of each the next ten two near copies."""
    rows = [(f"doc-{n:02d}", prose(n)) for n in range(30)]
    rows += [(f"twin-{n:02d}", prose(n)) for n in range(10)]
    rows += [(f"near-{n:02d}", near(prose(n))) for n in range(10, 20)]
    rows += [(f"nearer-{n:02d}", near(prose(n)) + " end") for n in range(10, 20)]
    return [*rows, ("short-a", "Yes."), ("short-b", "Yes."), ("short-c", "No!"), ("empty", "")]


def shards(folder, rows, number=3, group=4):
    folder.mkdir(parents=True, exist_ok=True)
    for place in range(number):
        ids, texts = zip(*rows[place::number], strict=True)
        table = pa.table({"id": ids, "text": texts})
        pq.write_table(table, folder / f"{place}.parquet", row_group_size=group)
    return str(folder)


def select(raw, out, budget="100%", means=None, **settings):
    asked = Spec("dedup", (raw,), budget, str(out), settings=settings)
    return selection.select(asked, means)


def ids(made):
    parts = [pq.read_table(made.uri(part["name"])) for part in made.content["parts"]]
    return sorted(pa.concat_tables(parts)["assay_id"].to_pylist())


def originals(names):
    """What each kept document is a copy of."""
    return sorted(name.split("-")[1] for name in names if name[0] in "dtn")


def test_one_of_each_cluster_stays(tmp_path):
    kept = ids(select(shards(tmp_path / "raw", copies()), tmp_path / "o"))
    assert originals(kept) == [f"{n:02d}" for n in range(30)]
    assert len(kept) == 30 + 3 and {"short-c", "empty"} < set(kept)


def test_exact_only_leaves_near_copies_alone(tmp_path):
    kept = ids(select(shards(tmp_path / "raw", copies()), tmp_path / "o", near=False))
    assert len(kept) == 30 + 20 + 3


def test_the_same_documents_stay_in_any_shards_and_order_and_memory(tmp_path):
    rows = copies()
    kept = ids(select(shards(tmp_path / "a", rows), tmp_path / "o"))
    turned = shards(tmp_path / "b", rows[::-1], number=7, group=1)
    assert ids(select(turned, tmp_path / "p", memory=1)) == kept
    with pool("processes", 2) as workers:
        assert ids(select(turned, tmp_path / "q", means=Means(workers))) == kept


def test_documents_in_small_portions_of_the_buckets(tmp_path):
    made = select(shards(tmp_path / "raw", copies()), tmp_path / "o")
    fold = past.reopen(made.folder).fold(Means())
    by = Bands(Dedup()._bands())
    whole, portioned = (clusters(fold, by, memory) for memory in (10**9, 700))
    assert (whole.dropped() == portioned.dropped()).all()


def test_a_budget_takes_a_uniform_sample_of_what_is_left(tmp_path):
    raw = shards(tmp_path / "raw", copies())
    some, more = (ids(select(raw, tmp_path / b, budget=b)) for b in ("10docs", "20docs"))
    assert len(some) == 10 and set(some) < set(more)
    assert len(originals(more)) == len(set(originals(more)))


def test_ids_that_repeat_are_no_reason_to_drop(tmp_path):
    rows = [("same", prose(n)) for n in range(5)] + [("same", prose(0))]
    made = select(shards(tmp_path / "raw", rows), tmp_path / "o")
    assert made.content["spent"]["documents"] == 5
    assert made.content["cut"]["only"]["duplicates"] == 1


def test_copies_that_a_stage_before_has_dropped_do_not_stay_for_others(tmp_path):
    made = select(shards(tmp_path / "raw", copies()), tmp_path / "o")
    fold = past.reopen(made.folder).fold(Means())
    among = Named("twin-")
    seen = Remaining(fold, among, Stage("", Dedup()))
    rule = InTurn((among, Dedup().choose(EVERYTHING, seen)))
    files = past.reopen(made.folder).files
    kept = [rule.keep(scored) for file in files for scored in fold.streams["scores"].batches(file)]
    assert np.concatenate(kept).sum() == 10


class Named:
    """Keeps the documents whose ids begin so."""

    def __init__(self, begin):
        self.begin = begin

    def keep(self, scored):
        return np.array([name.startswith(self.begin) for name in scored.id.to_pylist()], bool)

    def describe(self):
        return {"begin": self.begin}


def test_clusters_are_those_of_brute_force(tmp_path):
    """Random copies of copies: whoever shares a band is joined, and the joined are joined."""
    pick = np.random.default_rng(7)
    rows = [("0", prose(0))]
    for number in range(1, 80):
        source = rows[pick.integers(len(rows))][1] if pick.random() < 0.6 else prose(number)
        rows.append((str(number), near(source, int(pick.integers(0, 3)))))
    made = select(shards(tmp_path / "raw", rows), tmp_path / "o")
    texts = dict(rows)
    bands = Sketch().bands(pa.array(texts.values()), 0.7)
    apart = {name: {name} for name in texts}
    for one, mine in zip(texts, bands, strict=True):
        for other, theirs in zip(texts, bands, strict=True):
            if (mine == theirs).any() and apart[one] is not apart[other]:
                apart[one] |= apart[other]
                apart.update(dict.fromkeys(apart[one], apart[one]))
    kept = ids(made)
    assert len(kept) == len({id(group) for group in apart.values()})
    assert all(len(apart[name] & set(kept)) == 1 for name in texts)


def test_near_copies_are_met_as_often_as_the_bands_promise():
    bands, rows = shape(0.8, 128)
    pairs = 400
    texts = [prose(n) for n in range(pairs)]
    for changes in (2, 4):
        others = [near(text, 1) for text in texts] if changes == 2 else [near(t, 3) for t in texts]
        one, other = (Sketch().bands(pa.array(some), 0.8) for some in (texts, others))
        touched = 5 * (1 if changes == 2 else 3)
        jaccard = (116 - touched) / (116 + touched)
        promised = chance(jaccard, bands, rows)
        met = float((one == other).any(axis=1).mean())
        assert abs(met - promised) < 5 * np.sqrt(promised * (1 - promised) / pairs) + 0.01


def test_a_drop_is_explained_by_its_cluster(tmp_path):
    made = select(shards(tmp_path / "raw", copies()), tmp_path / "o")
    kept = ids(made)
    opened = past.reopen(made.folder)
    dropped = next(name for name in ("doc-12", "near-12") if name not in kept)
    told = explain(opened, dropped, Means())
    because = told["because"]
    assert not told["kept"] and because["cluster"] == 3 and not because["is_representative"]
    assert because["representative"] in kept and because["representative"].endswith("12")
    true = 111 / 121
    assert abs(because["estimated_jaccard"] - true) < 5 * np.sqrt(true * (1 - true) / 128) + 0.02
    stays = explain(opened, because["representative"], Means())["because"]
    assert stays["is_representative"] and stays["identical"] and stays["estimated_jaccard"] == 1


# 50 documents, their twins, and 50 near copies that share 0.66 to 1.0 of their shingles: 48 of them
# 0.7 or more, 45 of which meet in a band; at 0.5 all do.
@pytest.mark.parametrize(
    ("settings", "left"), [({"near": False}, 100), ({}, 55), ({"threshold": 0.5}, 50)]
)
def test_the_dirty_copies_are_found(dirty, tmp_path, settings, left):
    path = dirty / "exact_and_near_duplicates.parquet"
    kept = ids(select(str(path), tmp_path / "o", **settings))
    assert len(kept) == left
    assert {name.split("-")[0] for name in kept} == {name.split("-")[0] for name in ids_of(path)}


def ids_of(path):
    return pq.read_table(path)["id"].to_pylist()


@pytest.mark.parametrize("hashing, hashfunc", [("fast", fast_hash), ("sha1", None)])
@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_pairs_are_those_of_datasketch_s_index(dirty, hashing, hashfunc, threshold):
    texts = pq.read_table(dirty / "exact_and_near_duplicates.parquet")["text"].combine_chunks()
    signatures = Sketch(hash=hashing).signatures(texts)
    index = MinHashLSH(threshold=threshold, num_perm=128)
    sketches = [
        MinHash(hashvalues=row, seed=1, hashfunc=hashfunc, scheme="affine32") for row in signatures
    ]
    for place, sketch in enumerate(sketches):
        index.insert(place, sketch)
    bands = Sketch(hash=hashing).bands(texts, threshold)
    for place, sketch in enumerate(sketches):
        ours = np.flatnonzero((bands == bands[place]).any(axis=1))
        assert set(index.query(sketch)) == set(ours.tolist())


@pytest.mark.parametrize("name", ["duplicate_ids.parquet", "duplicate_ids_across_*.parquet"])
def test_the_dirty_ids_are_handled(dirty, tmp_path, name):
    made = select(str(dirty / name), tmp_path / "o", near=False)
    texts = pq.read_table(sorted(dirty.glob(name)))["text"].to_pylist()
    assert made.content["spent"]["documents"] == len(set(texts))


def test_places_are_found_again():
    places = Places(np.array([0, 3, 3, 10]))
    assert [places.find(n) for n in (0, 2, 3, 9)] == [(0, 0), (0, 2), (2, 0), (2, 6)]


def test_settings_out_of_range_are_refused():
    for settings in ({"threshold": 0}, {"permutations": 1}, {"hash": "md5"}):
        with pytest.raises(BadSetting):
            catalog.build("dedup", settings)
