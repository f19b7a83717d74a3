"""Alignment by compression: what a dictionary saves, and the preferences that must show."""

import random

import numpy as np
import pytest
import zstandard

from assay.api.run_commands import told_passages
from assay.selectors import catalog, selection
from assay.selectors.choice import mix
from assay.selectors.errors import BadSetting, NothingToRead
from assay.selectors.methods.align import EMPTY
from assay.selectors.spec import Spec

SEA = "wave ship harbour sail wind salt captain tide storm deck anchor gull mist northern"
SUMS = "add take sum number seven twelve apples left share total equals dollars each many"


def texts(words, number, length, seed=0):
    chance, known = random.Random(f"{words} {number} {length} {seed}"), words.split()
    return [" ".join(chance.choice(known) for _ in range(length)) for _ in range(number)]


RAW = texts(SEA, 60, 60) + texts(SUMS, 20, 60)
FORMS = ("scaled", "saved", "normalised")


def fitted(memory, raw=RAW, target=None, **settings):
    fold = memory.fold(raw=raw, target=target or texts(SUMS, 40, 50, seed=1))
    return catalog.build("align", settings).fit(fold)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("contrast", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("level", [1, 3, 9])
def test_what_is_like_the_target_scores_higher(memory, form, contrast, level):
    scorer = fitted(memory, form=form, contrast=contrast, level=level)
    sea, sums = texts(SEA, 20, 50, seed=2), texts(SUMS, 20, 50, seed=2)
    found = scorer.score(memory.batch(sea + sums))
    assert found[20:].min() > found[:20].max()


def test_the_score_is_what_zstd_says(memory):
    scorer = fitted(memory)
    document = texts(SUMS, 1, 200, seed=3)[0].encode()

    def size(dictionary):
        options = {"write_content_size": False, "write_checksum": False, "write_dict_id": False}
        known = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        known.precompute_compress(level=3)
        plain = zstandard.ZstdCompressor(level=3, **options)
        made = zstandard.ZstdCompressor(level=3, dict_data=known, **options)
        return 8 * len((made if dictionary else plain).compress(document))

    alone, target, raw = size(b""), size(scorer.target), size(scorer.raw.usual)
    expected = (alone - target - 0.4 * (alone - raw)) / alone**0.7
    found = scorer.score(memory.batch([document.decode()], first=1000))
    assert found[0] == pytest.approx(expected, rel=1e-12)


def test_an_empty_text_comes_last(memory):
    found = fitted(memory).score(memory.batch(["", "the salt sea", "!"]))
    assert found[0] == EMPTY < found[1:].min()


def test_the_dictionaries_stay_within_their_size(memory):
    scorer = fitted(memory, target=texts(SUMS, 400, 50), dictionary_bytes=4096)
    assert 4000 < len(scorer.target) <= 4096 and 4000 < len(scorer.raw.usual) <= 4096
    assert len(scorer.target.split(b"\n")) >= 16  # no text fills more than a sixteenth


def test_without_contrast_the_raw_pool_is_not_read(memory):
    fold = memory.fold(target=texts(SUMS, 40, 50))
    del fold.streams["raw"]
    scorer = catalog.build("align", {"contrast": 0}).fit(fold)
    assert np.isfinite(scorer.score(memory.batch(RAW))).all()


def test_a_target_without_a_text_is_refused(memory):
    with pytest.raises(NothingToRead):
        catalog.build("align", {}).fit(memory.fold(raw=RAW, target=["", ""]))


@pytest.mark.parametrize(
    "settings",
    [{"contrast": 1.5}, {"level": 0}, {"form": "cubed"}, {"dictionary_bytes": 10}],
)
def test_a_setting_out_of_range_is_named(settings):
    with pytest.raises(BadSetting, match=next(iter(settings))):
        catalog.build("align", settings)


def test_an_explanation_shows_passages_and_sizes(memory):
    target = texts(SUMS, 40, 50, seed=1)
    scorer = fitted(memory, target=target)
    borrowed = target[3][20:120]
    told = scorer.explain(memory.batch([f"the gull {borrowed} mist"]))
    assert borrowed in told["passages"][0]["text"]
    assert told["passages"][0]["bytes"] == len(told["passages"][0]["text"])
    assert told["compressed"]["with_target"] < told["compressed"]["alone"]
    lines = "\n".join(told_passages(told))
    assert borrowed[:60] in lines and "with target" in lines


def test_the_version_of_zstd_is_in_the_manifest(corpus, target, tmp_path):
    spec = Spec(
        method="align",
        raw=(str(corpus),),
        target={"sums": (str(target),)},
        budget="100docs",
        out=str(tmp_path / "o"),
        id_column="id",
    )
    made = selection.select(spec)
    found = ".".join(str(number) for number in zstandard.ZSTD_VERSION)
    assert made.content["versions"]["zstd"] == found


def test_a_document_is_not_measured_with_its_own_copy(memory):
    """All of the raw pool stands in the dictionaries; who is in which must not show."""
    chance = random.Random(0)
    raw = [" ".join(f"{chance.getrandbits(40):x}" for _ in range(50)) for _ in range(400)]
    scorer = fitted(memory, raw=raw)
    inside, outside = scorer.score(memory.batch(raw)), scorer.score(memory.batch(raw, first=1000))
    first = np.isin(mix(memory.batch(raw).key, 0), scorer.raw.inside)
    assert 100 < first.sum() < 300
    assert abs(np.median(inside[first]) - np.median(inside[~first])) < 0.1
    assert np.median(outside[first]) < np.median(inside[first]) - 1
