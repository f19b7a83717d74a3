"""A surrogate: a small recommender, trained until its validation stops getting better.

found = trained(TrainSpec(), sequences, later)
found.model                            # the best of its epochs, in eval mode
measured(found.model, history, wanted) # recall and NDCG
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from assay.scaling.influence.errors import BadInfluence, NotFinite
from assay.scaling.influence.sequences.reading import Places, Sequences, aligned
from assay.scaling.influence.sequences.sasrec import SasRec, SasRecSpec, batches, losses_of
from assay.scaling.influence.vectors import Params
from assay.selectors.choice import mix

Floats = npt.NDArray[np.float64]

TOP = 10  # of recall and NDCG
LOOKED_AT = 2000  # users whose later items say which epoch is best: NDCG's error is then some .002
AT_ONCE = 512  # users whose scores of all items are held
ALIKE = 16  # batches among which sequences of one length are put together, so little is padding


@dataclass(frozen=True)
class TrainSpec:
    """DEALRec's published settings but for `patience`: its code trains 200 epochs and keeps the
    last; here the best is kept, and 10 looks without a better one are the end."""

    model: SasRecSpec = field(default_factory=SasRecSpec)
    learning_rate: float = 1e-3
    batch: int = 500
    epochs: int = 200
    look: int = 1  # epochs between looks at the validation
    patience: int = 10  # looks
    seed: int = 42


@dataclass(frozen=True)
class Epoch:
    number: int  # from 1
    loss: float  # nats, the mean over batches, with dropout
    ndcg: float


@dataclass(frozen=True)
class Trained:
    model: SasRec
    epochs: tuple[Epoch, ...]
    best: int  # the epoch that is kept


@dataclass(frozen=True)
class Measures:
    """Of each user with something to find, (users,)."""

    recall: Floats
    ndcg: Floats
    places: Places = field(repr=False)  # of the users


def trained(
    spec: TrainSpec,
    sequences: Sequences,
    history: Sequences,
    later: Sequences,
    tell: Callable[[str], None] = lambda _: None,
) -> Trained:
    """A model of the sequences. What the users of `history` do later, `later`, says which epoch
    is best. The same seed gives the same model on one machine with as many threads."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        return carried_out(spec, sequences, history, aligned(later, history.ids), tell)


def carried_out(
    spec: TrainSpec,
    sequences: Sequences,
    history: Sequences,
    later: Sequences,
    tell: Callable[[str], None],
) -> Trained:
    generator = torch.Generator().manual_seed(spec.seed)
    model = SasRec(spec.model, len(sequences.known), generator)
    optimiser = torch.optim.Adam(model.parameters(), spec.learning_rate)
    watched = looked_at(later, spec.seed)
    epochs: list[Epoch] = []
    best, kept = Epoch(0, math.nan, -1.0), copy.deepcopy(model.state_dict())
    for number in range(1, spec.epochs + 1):
        loss = one_epoch(model, optimiser, spec, sequences, number)
        if number % spec.look and number < spec.epochs:
            continue
        found = float(measured(model, history, later, watched).ndcg.mean())
        epochs.append(Epoch(number, loss, found))
        tell(f"epoch {number}: loss {loss:.4f}, NDCG@{TOP} {found:.5f}")
        if found > best.ndcg:
            best, kept = epochs[-1], copy.deepcopy(model.state_dict())
        if number - best.number >= spec.patience * spec.look:
            break
    model.load_state_dict(kept)
    return Trained(model.eval(), tuple(epochs), best.number)


def one_epoch(
    model: SasRec,
    optimiser: torch.optim.Optimizer,
    spec: TrainSpec,
    sequences: Sequences,
    number: int,
) -> float:
    model.train()
    losses = losses_of(model)
    params: Params = dict(model.named_parameters())
    total, count = 0.0, 0
    order = shuffled(sequences, spec, number)
    for batch in batches(sequences, spec.model.length, spec.batch, order, spec.seed, number):
        loss = losses(params, batch).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total, count = total + float(loss.detach()), count + 1
    if not math.isfinite(total):
        raise NotFinite(
            f"the surrogate's loss is not finite in epoch {number} (learning rate"
            f" {spec.learning_rate:g}): take a smaller one"
        )
    return total / max(1, count)


def shuffled(sequences: Sequences, spec: TrainSpec, epoch: int) -> Places:
    """An order of the epoch in which batches hold sequences of about one length; which batch
    comes first is drawn again."""
    chance = np.random.Generator(np.random.PCG64([spec.seed, epoch]))
    order = chance.permutation(len(sequences))
    lengths = np.minimum(sequences.lengths, spec.model.length)
    reach = ALIKE * spec.batch
    for first in range(0, len(order), reach):
        part = order[first : first + reach]
        order[first : first + reach] = part[np.argsort(lengths[part], kind="stable")]
    whole = len(order) // spec.batch  # the batch that is not full stays last
    full = order[: whole * spec.batch].reshape(whole, spec.batch)
    rest = order[whole * spec.batch :]
    return np.concatenate([full[chance.permutation(whole)].ravel(), rest])


def looked_at(later: Sequences, seed: int) -> Places:
    """Users with something to find, at most so many, by their ids."""
    those = np.flatnonzero(later.lengths > 0)
    if not len(those):
        raise BadInfluence(
            "no user has a later item to validate on: give --valid a file with the same ids, or"
            " leave it out, and a tenth of the users give their last item"
        )
    return those[np.argsort(mix(later.keys[those], seed), kind="stable")[:LOOKED_AT]]


# Measuring -----------------------------------------------------------------------------


@torch.no_grad()
def measured(
    model: SasRec,
    history: Sequences,
    wanted: Sequences,
    those: Places | None = None,
    top: int = TOP,
) -> Measures:
    """Recall and NDCG among the `top` of all items that the user has not had, for the users with
    something wanted (both tables in one order), or for `those`. NDCG's ideal has all that is
    wanted in front."""
    if those is None:
        those = np.flatnonzero(wanted.lengths > 0)
    model.eval()
    parts = [
        part_measured(model, history, wanted, those[first : first + AT_ONCE], top)
        for first in range(0, len(those), AT_ONCE)
    ]
    recall, ndcg = (np.concatenate([part[i] for part in parts]) for i in range(2))
    return Measures(recall, ndcg, those)


def part_measured(
    model: SasRec, history: Sequences, wanted: Sequences, those: Places, top: int
) -> tuple[Floats, Floats]:
    scores = expected(model, history, those)
    for row, user in enumerate(those):
        scores[row, history.of(int(user))] = -torch.inf
    best = scores.topk(min(top, scores.shape[1] - 1)).indices.numpy()
    recall, ndcg = np.zeros(len(those)), np.zeros(len(those))
    gain = 1 / np.log2(np.arange(2, top + 2))
    for row, user in enumerate(those):
        want = np.unique(wanted.of(int(user)))
        hit = np.isin(best[row], want)
        recall[row] = hit.sum() / len(want)
        ndcg[row] = gain[: len(hit)][hit].sum() / gain[: len(want)].sum()
    return recall, ndcg


def expected(model: SasRec, history: Sequences, those: Places) -> torch.Tensor:
    """(users, items + 1): how much each item is expected next; item 0 never is."""
    length = model.spec.length
    seen = np.zeros((len(those), length), np.int64)
    for row, user in enumerate(those):
        tail = history.of(int(user))[-length:]
        seen[row, length - len(tail) :] = tail
    seen = seen[:, min(length - 1, int((seen > 0).argmax(1)[seen.any(1)].min(initial=length))) :]
    scores: torch.Tensor = model(torch.from_numpy(seen))[:, -1] @ model.items.weight.T
    scores[:, 0] = -torch.inf
    return scores
