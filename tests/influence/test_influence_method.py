"""influence: its gradients are gradients, it finds what is planted, it says how far to trust it."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch", reason="influence needs the extra 'proxy'")

from assay.native import kernels
from assay.scaling.influence import appraisal, distil, gradients, oracle, texts, windows
from assay.scaling.influence.directional import jvp_losses
from assay.scaling.influence.errors import NotFinite, TooLittleTarget
from assay.scaling.influence.learned import Directions, Proxy, Weighed
from assay.scaling.influence.redundancy import in_turn
from assay.scaling.influence.scorers import Aside, Exact
from assay.scaling.influence.selector import Influence
from assay.scaling.influence.vectors import dot
from assay.scaling.proxy import needs
from assay.scaling.proxy.errors import MissingTorch, TooLittleMemory
from assay.scaling.proxy.model import Decoder
from assay.scaling.proxy.needs import Device
from assay.scaling.proxy.tokens import BYTES, IGNORED
from assay.selectors import catalog, past, selection
from assay.selectors.errors import BadSetting, NothingToRead
from assay.selectors.explain import explain
from assay.selectors.records import Batch
from assay.selectors.selection import Means
from assay.selectors.spec import Spec
from assay.selectors.stats import Features

TINY = {"size": "100K", "tokens": 6000, "context": 64, "windows": 2, "oracle": 120, "device": "cpu"}
CPU = Device("cpu", "a processor", 8e9, 1)


def words(seed, count=40):
    chance = random.Random(seed)
    return " ".join(
        chance.choice(["ship", "sea", "gale", "salt", "mast", "rope", "oar"]) for _ in range(count)
    )


def column(texts):
    return pa.array(texts, pa.large_binary())


def batch_of(texts):
    ids = pa.array([str(n) for n in range(len(texts))], pa.string())
    return Batch(
        pa.array(texts, pa.string()), ids, kernels.fingerprint(ids), np.arange(len(texts)), 0
    )


def recipe(**changes):
    return replace(Influence(**TINY).recipe(0), **changes)


@pytest.fixture(scope="module")
def lens():
    """A proxy that has moved away from its beginning, where read-outs are zero."""
    asked = recipe()
    model = Decoder(asked.shape(), torch.Generator().manual_seed(1))
    chance = torch.Generator().manual_seed(2)
    params = {
        name: value + 0.05 * torch.randn(value.shape, generator=chance)
        for name, value in gradients.parameters(model).items()
    }
    return oracle.Lens(model, params, torch.device("cpu"))


@pytest.fixture(scope="module")
def documents():
    return [windows.windows(words(n, 3 + 9 * n).encode(), 64, 2) for n in range(7)]


def like(params, seed):
    chance = torch.Generator().manual_seed(seed)
    return {name: torch.randn(v.shape, generator=chance) for name, v in params.items()}


def backwards(lens, document):
    """The gradient of one document's loss through the model that is trained, by backpropagation."""
    model = Decoder(lens.model.shape)
    model.load_state_dict({k: v.clone() for k, v in lens.params.items()})
    tokens, targets = (torch.from_numpy(x).long() for x in (document.inputs, document.targets))
    loss = torch.nn.functional.cross_entropy(
        model(tokens).flatten(0, 1), targets.flatten(), ignore_index=IGNORED
    )
    loss.backward()
    return {name: value.grad for name, value in model.named_parameters()}, float(loss.detach())


# Gradients -----------------------------------------------------------------------------------


def test_a_forward_derivative_is_the_product_with_the_gradient_of_backpropagation(lens, documents):
    direction = like(lens.params, 3)
    losses = gradients.losses_of(lens.model)
    with gradients.alone():
        for places, batch in lens.batches(documents):
            ahead = jvp_losses(losses, lens.params, direction, batch)
            each, lost = gradients.each(lens.model, lens.params, batch)
            for row, place in enumerate(places.tolist()):
                gradient, loss = backwards(lens, documents[place])
                product = float(dot(gradient, direction))
                assert float(ahead[row]) == pytest.approx(product, rel=1e-4, abs=1e-4)
                assert float(gradients.products(each, direction)[row]) == pytest.approx(
                    product, rel=1e-4, abs=1e-4
                )
                length = float(dot(gradient, gradient)) ** 0.5
                assert float(gradients.squares(each)[row]) ** 0.5 == pytest.approx(length, rel=1e-4)
                assert float(lost[row]) == pytest.approx(loss, rel=1e-5)


def test_influence_foretells_what_a_step_on_a_document_does_to_the_target(lens, documents):
    """The loss of the target after a small step, for real, less what it was."""
    target = [windows.windows(words(100 + n).encode(), 64, 2) for n in range(4)]
    with gradients.alone():
        goal, _, before = oracle.averages(lens, target, lambda done: None)
        foretold, happened = [], []
        for document in documents:
            gradient, _ = backwards(lens, document)
            rate = 1e-3 / float(dot(gradient, gradient)) ** 0.5
            foretold.append(rate * float(dot(gradient, goal)))
            moved = {k: v - rate * gradient[k] for k, v in lens.params.items()}
            after = oracle.averages(replace(lens, params=moved), target, lambda done: None)[2]
            happened.append(before - after)
    assert np.corrcoef(foretold, happened)[0, 1] > 0.99
    assert np.allclose(foretold, happened, rtol=0.1, atol=1e-5)


def test_the_gauss_newton_matrix_is_the_spread_of_what_logits_do(lens, documents):
    """v'Gv is the variance of the logits' change under the model's own chances, token by token."""
    direction = like(lens.params, 4)
    inputs, targets = (torch.from_numpy(x).long()[None]
                       for x in (documents[2].inputs, documents[2].targets))  # fmt: skip
    with gradients.alone():
        found = dot(direction, oracle.gauss_newton(lens, [(inputs, targets)], direction))

        def logits(step):
            moved = {k: v + step * direction[k] for k, v in lens.params.items()}
            with torch.no_grad():
                return torch.func.functional_call(lens.model, moved, (inputs[0],))

        change = (logits(1e-4) - logits(-1e-4)) / 2e-4
        chance = logits(0.0).softmax(-1)
    spread = (chance * change**2).sum(-1) - (chance * change).sum(-1) ** 2
    counted = targets[0] != IGNORED
    assert float(found) == pytest.approx(float(spread[counted].mean()), rel=0.02)


@pytest.mark.parametrize("precondition", ["none", "diagonal", "cg"])
def test_every_preconditioner_gives_a_direction_of_length_one(lens, documents, precondition):
    asked = recipe(precondition=precondition, checkpoints=1, against="nothing")
    proxy = Proxy(params=gradients.stored(lens.params)[None], steps=np.ones(1))
    found = oracle.directed(asked, proxy, documents[:3], documents, CPU, lambda done: None)
    assert (found.along**2 / found.scale).sum(1) == pytest.approx(1, rel=1e-3)
    assert found.residual < 0.5


def test_documents_weigh_the_same_in_any_batches(lens, documents, monkeypatch):
    asked = recipe(checkpoints=1)
    proxy = Proxy(params=gradients.stored(lens.params)[None], steps=np.ones(1))
    found = oracle.directed(asked, proxy, documents[:3], documents, CPU, lambda done: None)
    with gradients.alone():
        scales = [oracle.Scale.of(asked, proxy, found, 0, "cpu")]
        together = oracle.weighed(scales, documents, lambda done: None)
        monkeypatch.setattr(oracle, "GRADIENTS", 1)  # one at a time
        apart = oracle.weighed(scales, documents[::-1], lambda done: None)
    for a, b in zip(together, apart, strict=True):
        assert np.allclose(a[:, ::-1], b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("control", ["gradient", "tokens"])
def test_exact_scores_do_not_hang_on_the_batch(lens, documents, control):
    asked = recipe(checkpoints=1, control=control)
    proxy = Proxy(params=gradients.stored(lens.params)[None], steps=np.ones(1))
    found = oracle.directed(asked, proxy, documents[:3], documents, CPU, lambda done: None)
    aside = Aside(asked, "cpu", proxy, found, Weighed(), ())
    texts = [words(n, 3 + 9 * n) for n in range(7)] + ["", "  \n"]
    scorer = Exact(aside, 0.0, np.zeros(0))
    whole = scorer.score(batch_of(texts))
    for n, text in enumerate(texts):
        assert (scorer.score(batch_of([text]))[0] == whole[n]).all()
    assert (whole[7:, 0] < -1e8).all() and np.isfinite(whole).all()


# Windows -------------------------------------------------------------------------------------


def test_windows_predict_every_byte_once_where_all_are_looked_at():
    text = bytes(range(200))
    found = windows.windows(text, 64, 10)
    assert found.inputs.shape == (4, 64)
    assert found.targets[found.targets != IGNORED].tolist() == list(text)
    assert found.inputs[0, 0] == BYTES.begin and found.inputs[1, 0] == text[63]


def test_of_a_long_document_windows_are_spread_over_the_whole():
    found = windows.windows(bytes([n // 64 for n in range(64 * 9)]), 64, 3)
    assert found.targets[:, 0].tolist() == [0, 4, 8]


def test_a_short_document_takes_a_short_window():
    assert windows.windows(b"abc", 64, 3).inputs.shape == (1, 32)
    assert windows.windows(b"", 64, 3).predicted == 0


# Distilling ----------------------------------------------------------------------------------


def test_the_ridge_is_that_of_the_normal_equations():
    texts, wanted = [words(n).encode() for n in range(30)], np.random.default_rng(0).normal(size=30)
    features = Features("fast", 2, 1 << 12)
    rows = distil.Rows.of(column(texts), features)
    found = rows.fit(np.ones(30, bool), wanted, 0.5)
    x = rows.matrix.toarray()
    exact = np.linalg.solve(x.T @ x + 0.5 * np.eye(x.shape[1]), x.T @ wanted)
    assert np.abs(found - exact).max() < 1e-2 * np.abs(exact).max()
    assert (x[:, :-1] ** 2).sum(1) == pytest.approx(1)


def test_distilled_scores_are_those_of_the_ridge_and_know_documents_they_have_not_seen():
    rare = [f"word{n}" for n in range(200)]
    chance = random.Random(5)
    texts = [" ".join(chance.choices(rare, k=60)).encode() for _ in range(300)]
    helps = {word: chance.gauss(0, 1) for word in rare}
    wanted = distil.normal(
        np.array([sum(helps[w] for w in set(text.decode().split())) for text in texts])
    )
    features = Features("fast", 1, 1 << 12)
    found = distil.distilled(column(texts), wanted, np.ones(300, bool), features)
    print(f"held-out Spearman {found.spearman:.3f} over {found.held_out} documents")
    assert found.held_out == 30 and found.spearman > 0.8
    sums, distinct = kernels.dot_distinct(column(texts), found.table, "fast", 1, 1 << 12)
    assert sums / np.sqrt(distinct) + found.bias == pytest.approx(found.fitted, abs=1e-4)


def test_half_of_what_is_weighed_is_like_the_target_and_the_rest_stands_for_the_corpus():
    """Six of 300 documents are of the target's kind: by chance 60 of them hold one or two."""
    chance = random.Random(3)
    raw = [words(n).encode() for n in range(294)]
    kind = [" ".join(chance.choices(["take", "add", "sum", "total"], k=40)).encode()
            for _ in range(12)]  # fmt: skip
    raw[40:40] = kind[:6]
    by_chance = np.arange(300) < 30
    found = texts.nearest(kind[6:], raw, 60, by_chance)
    assert found.sum() == 30 and not (found & by_chance).any()
    assert found[40:46].all()


# Redundancy ----------------------------------------------------------------------------------


def test_a_sketch_keeps_cosines(lens, documents):
    with gradients.alone():
        (_, each, _), *_ = lens.gradients(documents[3:])
        whole = torch.cat([g.flatten(1) for g in each.values()], 1)
        small = gradients.sketched(each, None, 0, 512)
    first, second = (torch.nn.functional.normalize(x, dim=1) for x in (whole, small))
    assert float((first @ first.T - second @ second.T).abs().max()) < 0.2  # 4 sigma


def test_of_documents_alike_one_is_picked_before_the_rest():
    """Five of one kind rank first; picked one after the other, the other kind waits its turn."""
    sketch = np.repeat(np.eye(2, dtype=np.float32), 5, axis=0)
    score = np.linspace(1, -1, 10)
    assert in_turn(score, sketch, 0.0).tolist() == list(range(10))
    turns = in_turn(score, sketch, 0.5)
    assert turns[0] == 0 and turns[5] < turns[4] and sorted(turns) == list(range(10))


# A whole selection ---------------------------------------------------------------------------


@pytest.fixture
def select(corpus, target, tmp_path):
    def run(name, budget="10%", progress=None, targets=None, raw=None, **settings):
        asked = Spec("influence", (str(raw or corpus),), budget, str(tmp_path / name),
                     {"sums": (str(targets or target),)}, {**TINY, **settings})  # fmt: skip
        return selection.select(asked, Means(progress=progress) if progress else None)

    return run


def topics(made):
    table = pq.read_table([made.uri(part["name"]) for part in made.content["parts"]])
    return table["topic"].to_pylist()


class Heard:
    """A progress that keeps what it is told."""

    def __init__(self):
        self.notes, self.stages = [], []

    def note(self, line):
        self.notes.append(line)

    def begin(self, stage, total):
        self.stages.append(stage)

    def advance(self, size): ...

    def end(self): ...


@pytest.mark.parametrize("settings", [{}, {"effort": 0.3, "redundancy": 0.3}])
def test_documents_of_the_targets_kind_are_found(select, settings):
    """A quarter of the corpus is of the kind: by chance 20 of the 80 kept, within 14 (4 sigma)."""
    heard = Heard()
    made = select("o", progress=heard, **settings)
    assert topics(made).count("sums") >= 50
    check_what_is_told(made, heard)
    told = made.content["appraisal"]
    print(f"held-out Spearman {told['held_out_spearman']}")
    assert told["held_out_spearman"] > 0.3
    assert any("Spearman" in line for line in told["said"])


def test_so_does_the_gradient_of_every_document(select, shards_of, rows_of, tmp_path):
    """By chance 3 of the 12 kept, within 5 (4 sigma)."""
    raw = shards_of(tmp_path / "raw", rows_of(120), shards=2, group=37)
    heard = Heard()
    made = select("o", progress=heard, raw=raw, scoring="exact", checkpoints=1, effort=0.1)
    assert topics(made).count("sums") >= 9
    check_what_is_told(made, heard)
    assert made.content["appraisal"]["held_out_spearman"] is None


def check_what_is_told(made, heard):
    told = made.content["appraisal"]
    assert told["target_beats_corpus"] > 0.6
    # Foretold is no less than what it was; and said before anything begins.
    assert heard.notes and "FLOPs" in heard.notes[0]
    assert 0 < told["flops"] <= 1.05 * float(heard.notes[0].split()[4])  # two digits are told


def test_what_was_trained_is_not_trained_again(select, monkeypatch):
    """Killed while distilling: the proxy and its gradients are read back."""
    plain = select("plain")

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("assay.scaling.influence.selector.distilled", killed)
        with pytest.raises(KeyboardInterrupt):
            select("o")
    for name in ("trained", "directed", "looked_at"):
        monkeypatch.setattr(oracle, name, killed)
    assert select("o").digest == plain.digest
    found = past.reopen(plain.folder)  # nor is it for an explanation
    one = explain(found, "doc-00000", Means())["because"]
    assert one["ngrams"] and one["influence"]["influence"]["percentile"] > 50
    assert {"loss", "effort", "bytes"} <= set(one["influence"])
    helped = one["influence"]["target"]["helped_most"]
    assert helped[0]["cosine"] >= helped[-1]["cosine"] and helped[0]["text"]
    json.dumps(one, allow_nan=False)


def test_a_poor_distillation_is_warned_of(select):
    made = select("o", buckets=1, orders=1)  # one feature knows nothing
    assert made.content["appraisal"]["held_out_spearman"] < 0.6
    assert any("Distilled influence" in warning for warning in made.content["warnings"])
    report = json.loads(Path(made.uri("report.json")).read_text())
    (found,) = [one for one in report["checks"] if one["name"] == "influence_distilled"]
    assert found["fired"]


@pytest.mark.parametrize("number, fired", [(0.81, True), (-0.9, True), (0.5, False)])
def test_a_score_that_is_mostly_length_or_loss_is_told(number, fired):
    for what in ("length", "loss"):
        assert appraisal.mostly(what, number, "")["fired"] is fired


def test_how_often_one_side_beats_the_other():
    assert appraisal.beats(np.array([1.0, 2]), np.array([0.0, 0, 0])) == 1
    assert appraisal.beats(np.array([1.0, 1]), np.array([1.0])) == 0.5
    assert np.isnan(appraisal.beats(np.zeros(0), np.ones(3)))


# What is refused -----------------------------------------------------------------------------


def test_without_torch_it_is_listed_and_refused_in_words(select, monkeypatch):
    monkeypatch.setattr(needs, "find_spec", lambda name: None)
    assert catalog.describe("influence").about
    with pytest.raises(MissingTorch, match="pip install"):
        select("o")


def test_too_little_memory_is_told_before_anything_is_read(select, monkeypatch):
    monkeypatch.setattr(needs, "free_memory", lambda: 1e8)
    with pytest.raises(TooLittleMemory, match=r"100K proxy.*needs about .* GB"):
        select("o")


def test_a_proxy_that_diverges_is_told(select):
    with pytest.raises(NotFinite, match="learning_rate"):
        select("o", learning_rate=1e30)


def test_too_little_target_is_told(select, shards_of, tmp_path):
    small = shards_of(tmp_path / "t", [{"id": "a", "text": "One text."}], shards=1, group=1)
    with pytest.raises(TooLittleTarget, match="1 documents"):
        select("o", targets=small)
    none = shards_of(tmp_path / "n", [{"id": "a", "text": " "}], shards=1, group=1)
    with pytest.raises(NothingToRead):
        select("p", targets=none)


def test_redundancy_is_refused_where_it_is_not_looked_for():
    with pytest.raises(BadSetting, match="scoring=distil"):
        catalog.build("influence", {"scoring": "exact", "redundancy": 1})


def test_a_size_that_is_not_on_the_ladder_is_refused():
    with pytest.raises(BadSetting, match="the ladder is"):
        catalog.build("influence", {"size": "7B"})


def test_a_direction_that_is_not_finite_is_told(lens, documents):
    broken = {name: value * float("nan") for name, value in lens.params.items()}
    proxy = Proxy(params=gradients.stored(broken)[None], steps=np.ones(1))
    with pytest.raises(NotFinite, match="no finite"):
        oracle.directed(recipe(), proxy, documents[:3], documents, CPU, lambda done: None)
    with pytest.raises(NotFinite, match="1 of 2 documents"):
        oracle.check_weights(np.array([[1.0, float("nan")]]))


def test_what_is_learned_comes_back_from_its_record():
    from assay.selectors.folding import freeze, thaw

    made = Directions(np.ones((2, 3), np.float32), np.ones((2, 3), np.float32), 0.5, 1.0, 2.0)
    again = thaw(Directions(), freeze(made))
    assert (again.along == made.along).all() and again.residual == 0.5
