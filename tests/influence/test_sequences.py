"""Sequences and prompts as they are read, the surrogate, effort, and the command as a whole."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch", reason="influence needs the extra 'proxy'")

from scipy.stats import spearmanr

from assay.api.cli import run
from assay.scaling.influence import directional, errors, vectors
from assay.scaling.influence.sequences import effort, reading, scores, surrogate
from assay.scaling.influence.sequences.reading import gathered
from assay.scaling.influence.sequences.sasrec import SasRec, SasRecSpec, batches, losses_of

ITEMS, USERS = 30, 240
SMALL = SasRecSpec(hidden=16, length=8, dropout=0.1)
TITLES = ["red ball", "blue kite", "old chess set", "fast kart", "space puzzle"]


def walk(user, length):
    """Items in a round, by steps of one or two for each user: there is something to learn."""
    return [1 + (user * 7 + k * (1 + user % 2)) % ITEMS for k in range(length)]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Sequences, later items and prompts, each in an order of its own."""
    folder = tmp_path_factory.mktemp("sequences")
    long = {user: walk(user, 3 + user % 9) for user in range(USERS)}
    rows = [{"user": f"u{user}", "items": items[:-1]} for user, items in long.items()]
    rows.append({"user": "lonely", "items": [4]})
    later = [{"user": f"u{user}", "items": long[user][-1:]} for user in reversed(range(USERS))]
    prompts = [
        {
            "user": f"u{user}",
            "prompt": [TITLES[i % 5] for i in long[user][:-2]],
            "answer": TITLES[long[user][-2] % 5] + "!" * (user % 4),
        }
        for user in np.random.default_rng(0).permutation(USERS).tolist()
    ]
    for name, some in (("train", rows), ("valid", later), ("prompts", prompts)):
        pq.write_table(pa.Table.from_pylist(some), folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def sequences(tables):
    return reading.read_sequences(str(tables / "train.parquet")).usable("train")


@pytest.fixture(scope="module")
def later(tables, sequences):
    return reading.read_sequences(str(tables / "valid.parquet"), known=sequences.known)


@pytest.fixture(scope="module")
def model(sequences, later):
    spec = surrogate.TrainSpec(SMALL, 1e-2, batch=40, epochs=12, patience=12, seed=1)
    return surrogate.trained(spec, sequences, sequences, later)


# Reading -------------------------------------------------------------------------------


def test_tables_are_joined_by_id(tables, sequences, later):
    assert len(sequences) == USERS  # without the one of one item
    aligned = reading.aligned(later, sequences.ids)
    both = reading.appended(sequences, later)
    prompts = reading.read_prompts(str(tables / "prompts.parquet"))
    same, answers = reading.joined(sequences, prompts)
    known = sequences.known.to_pylist()
    for place in (0, 7, 239):
        user = int(sequences.ids[place][1:])
        wanted = walk(user, 3 + user % 9)
        assert [known[i - 1] for i in aligned.of(place)] == wanted[-1:]
        assert [known[i - 1] for i in both.of(place)] == wanted
        assert answers.ids[place] == same.ids[place] == sequences.ids[place]
        assert answers.answers[place].startswith(TITLES[wanted[-2] % 5])
    assert "\n" in answers.prompts[5]  # a list of titles, by lines


def test_items_that_training_does_not_know_are_left_out(tmp_path, sequences):
    path = tmp_path / "later.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "items": [[1, 999, 2], [777]]}), path)
    found = reading.read_sequences(str(path), known=sequences.known)
    assert found.lengths.tolist() == [2, 0]
    assert [found.known[int(i) - 1].as_py() for i in found.of(0)] == [1, 2]


WRONG = [
    ({"user": ["a"], "things": [[1]]}, errors.BadSequences, r"no column 'items'; it has 'user', "),
    ({"name": ["a"], "items": [[1]]}, errors.BadSequences, "no column 'id'; it has 'name'"),
    ({"id": ["a"], "items": [1]}, errors.BadSequences, "type int64; wanted is a list"),
    ({"id": ["a", "a"], "items": [[1], [2]]}, errors.BadSequences, "more than once, first a"),
    ({"id": ["a", None], "items": [[1], [2]]}, errors.BadSequences, "1 ids in the column 'id'"),
    ({"id": ["a"], "items": [[1, None]]}, errors.BadSequences, "1 items of 'items' are null"),
    ({"id": ["a", "b"], "items": [[1], []]}, errors.TooFewItems, "none of 2 sequences has 2"),
]


@pytest.mark.parametrize(("columns", "error", "said"), WRONG)
def test_bad_sequences_are_refused_in_words(tmp_path, columns, error, said):
    path = tmp_path / "bad.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(error, match=said):
        reading.read_sequences(str(path)).usable(str(path))


def test_bad_prompts_are_refused_in_words(tmp_path, sequences):
    path = tmp_path / "prompts.parquet"
    pq.write_table(pa.table({"id": ["u1", "u2"], "prompt": ["p", "q"], "answer": ["a", ""]}), path)
    with pytest.raises(errors.EmptyAnswer, match=r"1 of 2 prompts have an empty answer span.* u2"):
        reading.read_prompts(str(path))
    pq.write_table(pa.table({"id": [1, 2], "prompt": ["p", "q"], "answer": ["a", "b"]}), path)
    with pytest.raises(errors.IdsDoNotMatch, match=r"0 of 240 .* example: u0; .* the id 1"):
        reading.joined(sequences, reading.read_prompts(str(path)))
    path.write_text("no Parquet")
    with pytest.raises(errors.BadSequences, match="not a Parquet file"):
        reading.read_prompts(str(path))


def test_the_published_games_are_read_and_joined():
    """Counts are those of DEALRec's Table 1 and of the files' own inventory."""
    shared = Path(os.environ.get("ASSAY_SHARED", Path(__file__).parents[3] / "shared"))
    folder = shared / "data" / "recsys" / "dealrec" / "games"
    if not folder.is_dir():
        pytest.skip("DEALRec's data are not in this checkout; set ASSAY_SHARED to their folder")
    every = reading.read_sequences(str(folder / "sequential_train.parquet"))
    assert (len(every), int(every.lengths.sum())) == (49_156, 299_987)
    prompts = reading.read_prompts(
        str(folder / "train_samples.parquet"),
        prompt_column="history_titles",
        answer_column="target_title",
    )
    sequences, answers = reading.joined(every.usable("games"), prompts)
    assert len(sequences) == len(answers.ids) == 45_774
    later = reading.read_sequences(str(folder / "sequential_test.parquet"), known=every.known)
    assert int((later.lengths > 0).sum()) == 6_523  # with an item that training knows


# The surrogate -------------------------------------------------------------------------


def test_padding_and_neighbours_change_no_loss(sequences):
    model = SasRec(SMALL, ITEMS, torch.Generator().manual_seed(0)).eval()
    losses, params = losses_of(model), scores.detached(model)
    order = np.array([0, 8, 3, 100])  # of different lengths
    (together,) = batches(sequences, 8, 4, order, 0)
    alone = [next(batches(sequences, 8, 1, order[i : i + 1], 0)) for i in range(4)]
    each = torch.cat([losses(params, one) for one in alone])
    assert torch.allclose(losses(params, together), each, atol=1e-6)
    one = sequences.take(order[1:2])
    assert torch.allclose(losses(params, next(batches(one, 8, 1, order[:1], 0))), each[1])
    assert not ((together[2] == together[1]) & (together[1] > 0)).any()  # never what came


def test_a_later_item_does_not_change_what_was_expected(sequences):
    model = SasRec(SMALL, ITEMS, torch.Generator().manual_seed(0)).eval()
    first, second = torch.tensor([[0, 0, 3, 4, 5]]), torch.tensor([[0, 0, 3, 4, 9]])
    assert torch.equal(model(first)[:, :4], model(second)[:, :4])
    assert not torch.allclose(model(first)[:, 4], model(second)[:, 4])


def test_the_surrogate_learns_and_keeps_its_best_epoch(model, sequences, later):
    best = model.epochs[model.best - 1]
    assert best.ndcg == max(one.ndcg for one in model.epochs)
    assert not model.model.training
    again = surrogate.measured(model.model, sequences, reading.aligned(later, sequences.ids))
    assert abs(again.ndcg.mean() - best.ndcg) < 1e-6
    untrained = SasRec(SMALL, ITEMS, torch.Generator().manual_seed(3))
    chance = surrogate.measured(untrained, sequences, reading.aligned(later, sequences.ids))
    assert again.ndcg.mean() > 2 * chance.ndcg.mean()
    assert (again.recall >= 0).all() and (again.ndcg <= 1).all()


def test_recall_and_ndcg_are_those_of_a_ranking_by_hand():
    model = SasRec(SMALL, 6, torch.Generator().manual_seed(0)).eval()
    known = pa.array(range(1, 7))
    history = gathered(["a"], [np.array([1, 2])], known)
    wanted = gathered(["a"], [np.array([3, 5, 5])], known)
    with torch.no_grad():
        seen = torch.tensor([[1, 2]])
        order = (model(seen)[0, -1] @ model.items.weight.T).argsort(descending=True).tolist()
    order = [item for item in order if item not in (0, 1, 2)][:3]
    found = surrogate.measured(model, history, wanted, top=3)
    hits = [item in (3, 5) for item in order]
    gains = [1 / np.log2(place + 2) for place in range(3)]
    assert np.isclose(found.recall[0], sum(hits) / 2)
    assert np.isclose(found.ndcg[0], np.dot(hits, gains) / (gains[0] + gains[1]))


def test_a_diverging_surrogate_is_said(sequences, later):
    spec = surrogate.TrainSpec(SMALL, learning_rate=1e25, batch=40, epochs=3)
    with pytest.raises(errors.NotFinite, match=r"loss is not finite in epoch \d"):
        surrogate.trained(spec, sequences, sequences, later)


# Scores --------------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["matrix", "all"])
def test_influence_is_the_dot_product_with_the_series_direction(model, sequences, over):
    spec = scores.InfluenceSpec(over=over, steps=40, repeats=2)
    found = scores.influence(spec, model.model, sequences)
    losses, params = losses_of(model.model), scores.detached(model.model)
    assert list(found.series.direction) == ([SMALL.matrix] if over == "matrix" else list(params))
    for place in (0, 50, 239):
        one = scores.alone(model.model, sequences, place)
        gradient = directional.summed_gradient(losses, params, one, list(found.series.direction))
        wanted = float(vectors.dot(gradient, found.series.direction)) / len(sequences)
        assert abs(found.scores[place] - wanted) < 1e-4 * abs(wanted) + 1e-9
    assert found.series.ridge == (0.25 if over == "matrix" else 1.0)
    assert found.series.spread > 0


def test_influence_follows_the_ids_and_not_the_order(model, sequences):
    spec = scores.InfluenceSpec(steps=2)
    gradient = scores.influence(spec, model.model, sequences.take(np.arange(USERS))).plain
    turned = np.random.default_rng(0).permutation(USERS)
    again = scores.influence(spec, model.model, sequences.take(turned)).plain
    assert np.allclose(gradient[turned], again, rtol=1e-3, atol=1e-9)


def test_a_surrogate_that_is_no_number_is_refused(sequences):
    model = SasRec(SMALL, ITEMS, torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        model.blocks[0].up.weight[0, 0] = torch.nan
    with pytest.raises(errors.NotFinite, match="mean gradient is not finite in the parameter"):
        scores.influence(scores.InfluenceSpec(steps=2), model, sequences)


def test_a_model_in_training_mode_is_refused(sequences):
    model = SasRec(SMALL, ITEMS, torch.Generator()).train()
    with pytest.raises(errors.BadInfluence, match="training mode"):
        scores.influence(scores.InfluenceSpec(), model, sequences)


def test_effort_is_the_length_of_the_answers_gradient(tables):
    prompts = reading.read_prompts(str(tables / "prompts.parquet"))
    spec = effort.EffortSpec(tokens=20_000, sequence=48)
    model = effort.trained(spec, prompts)
    found = effort.effort(spec, model, prompts)
    matrices = [n for n, p in model.named_parameters() if n.startswith("blocks.")]

    def losses(params, batch):
        return effort.answer_losses(
            lambda inputs: torch.func.functional_call(model, params, (inputs,)), *batch
        )

    params = dict(model.named_parameters())
    some = [0, 17, 101]
    for place in some:
        inputs, targets = effort.padded([effort.row(spec, prompts, place)])
        wanted = directional.gradient_norms(
            losses, params, (inputs, targets), among=matrices, one_by_one=True
        )
        assert abs(found.scores[place] / float(wanted[0]) - 1) < 1e-3
        assert int((targets >= 0).sum()) == len(prompts.answers[place].encode())
    assert found.scores.std() > 0 and np.isfinite(found.nats).all()
    with torch.no_grad():
        model.blocks[0].up.weight[0, 0] = torch.nan
    with pytest.raises(errors.NotFinite, match=r"of 240 answers is not finite, first of the id u"):
        effort.effort(spec, model, prompts)
    none = reading.Prompts(("x",), ("p",), ("",))
    with pytest.raises(errors.EmptyAnswer, match="id x has an empty answer span"):
        effort.effort(spec, model, none)


# The command ---------------------------------------------------------------------------


@pytest.fixture
def command(tables, tmp_path):
    def go(*more, out="chosen.parquet", prompts=True):
        words = ["prune-sequences", "--sequences", str(tables / "train.parquet")]
        words += ["--valid", str(tables / "valid.parquet"), "--budget", "40"]
        words += ["--prompts", str(tables / "prompts.parquet")] if prompts else []
        words += ["--epochs", "2", "--steps", "20", "--effort-tokens", "10000", "--threads", "1"]
        return run([*words, "--out", str(tmp_path / out), *more])

    return go


def test_the_command_writes_ids_scores_and_a_manifest(command, tmp_path, capsys):
    assert command() == 0, capsys.readouterr().err
    said = capsys.readouterr()
    assert "40 of 240 sequences" in said.out
    assert "1 of 241 sequences have one item or none" in said.err
    chosen = pq.read_table(tmp_path / "chosen.parquet")
    every = pq.read_table(tmp_path / "chosen.scores.parquet")
    assert chosen.column_names == ["id", "score", "score.influence", "score.effort"]
    assert len(set(chosen["id"].to_pylist())) == 40 and len(every) == 240
    known = {row["id"]: row for row in every.to_pylist()}
    assert all(known[row["id"]] == row for row in chosen.to_pylist())
    # The highest tenth is left out.
    assert max(chosen["score"].to_pylist()) <= sorted(every["score"].to_pylist())[-25]
    manifest = json.loads((tmp_path / "chosen.json").read_text())
    assert manifest["chosen"] == 40 and manifest["request"]["spec"]["budget"] == 40
    assert manifest["request"]["inputs"]["prompts"].startswith("sha256:")
    # The overall score is that of Eq. 13.
    moved, hard = (np.array(every[f"score.{n}"]) for n in ("influence", "effort"))
    parts = [(one - one.min()) / (one.max() - one.min()) for one in (moved, hard)]
    assert np.allclose(every["score"], parts[0] + 0.3 * parts[1])


def test_the_same_seed_gives_the_same_bytes(command, tmp_path, capsys):
    files = [f"{name}.{end}" for name in ("one", "two", "other")
             for end in ("parquet", "scores.parquet", "json")]  # fmt: skip
    assert command(out="one.parquet") == command(out="two.parquet") == 0
    assert command("--seed", "7", out="other.parquet") == 0
    one, two, other = (
        [(tmp_path / file).read_bytes() for file in files[3 * k : 3 * k + 3]] for k in range(3)
    )
    assert one == two
    assert one[0] != other[0]
    assert command(out="one.parquet") == 0  # the same request once more
    capsys.readouterr()
    assert command("--seed", "8", out="one.parquet") == 2
    assert "not of this request" in capsys.readouterr().err
    assert command("--seed", "8", "--fresh", out="one.parquet") == 0


def test_influence_alone_needs_no_prompts(command, tmp_path, capsys):
    assert command(prompts=False) == 2
    assert "--effort-weight 0" in capsys.readouterr().err
    assert command("--effort-weight", "0", "--normalise", "rank", "--width", "quantile",
                   prompts=False) == 0  # fmt: skip
    chosen = pq.read_table(tmp_path / "chosen.parquet")
    assert chosen.column_names == ["id", "score", "score.influence"] and len(chosen) == 40


MISTAKES = [
    (["--budget", "241"], 2, "there are 240 sequences of two items or more with a prompt"),
    (["--budget", "0"], 2, "at least one sequence"),
    (["--out", "chosen"], 2, "ends in .parquet"),
    (["--steps", "0"], 2, "steps 0"),
    (["--hard-prune", "1"], 2, "to prune in [0, 1)"),
    (["--effort-size", "7B"], 2, "no proxy of size"),
    (["--prompt-column", "text"], 3, "no column 'text'"),
    (["--over", "all", "--scale", "0.01", "--steps", "200"], 2, "take a larger scale"),
    (["--sequences", "nowhere.parquet"], 3, "nowhere.parquet"),
]


@pytest.mark.parametrize(("more", "code", "said"), MISTAKES)
def test_mistakes_are_told_without_a_traceback(command, capsys, more, code, said):
    assert command(*more) == code
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err and "bug in assay" not in err


def test_the_published_settings_are_the_defaults():
    from assay.scaling.influence.sequences.pruning import PruneSpec

    spec = PruneSpec(1024)
    surrogate_spec = spec.surrogate
    assert surrogate_spec.model == SasRecSpec(2, 2, 64, 0.5, 50)
    assert (surrogate_spec.learning_rate, surrogate_spec.batch) == (1e-3, 500)
    assert (spec.influence.steps, spec.influence.constants) == (5000, (0.01, 25))
    assert (spec.groups, spec.hard_prune, spec.normalisation) == (50, 0.1, "minmax")


def test_scores_agree_whether_the_surrogate_is_asked_once_or_twice(model, sequences):
    spec = scores.InfluenceSpec(steps=100, seed=3)
    one, two = (scores.influence(spec, model.model, sequences) for _ in range(2))
    assert np.array_equal(one.scores, two.scores)
    other = scores.influence(scores.InfluenceSpec(steps=100, seed=4), model.model, sequences)
    assert spearmanr(one.scores, other.scores).statistic > 0.9
