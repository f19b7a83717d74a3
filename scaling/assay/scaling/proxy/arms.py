"""What is compared with a subset, and the texts that each arm trains on.

subset     the selection
uniform    as many bytes, drawn evenly from the corpus; another sample for each seed
uniform-2  the same once more: what it is found to differ by is noise
matched    drawn evenly, but with the subset's bytes in each class of domain and length
full       the whole corpus in a random order, at equal FLOPs: nothing repeats sooner than it must
cost       uniform, with the tokens more that the selection's own time, or FLOPs, would have trained

Other selections may stand beside as arms of their own, under names of their own.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from assay.scaling.proxy import documents
from assay.scaling.proxy.documents import Mask, Pool
from assay.scaling.proxy.errors import BadTraining

SUBSET = "subset"
ARMS = (SUBSET, "uniform", "uniform-2", "matched", "full", "cost")
USUAL = (SUBSET, "uniform", "matched", "full", "cost")
SECOND_SAMPLE = 1000  # added to the seed of the second uniform sample
# Bytes of text from which a training takes what it needs, at least: where a short one read only as
# many documents as it can use, a single book could be all of them.
LEAST = 16_000_000
ROOM = 1.1
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")  # of another selection: it is part of files' names


@dataclass(frozen=True)
class Texts:
    """For each arm and seed the texts; `chosen` counts bytes that the arm may draw on."""

    of: Mapping[tuple[str, int], Sequence[bytes]]
    unique: int  # bytes of the subset


def checked(arms: Sequence[str], beside: Sequence[str] = ()) -> tuple[str, ...]:
    """The arms in their own order, the subset among them; then other selections, by their names."""
    for name in beside:
        if name in ARMS or not NAME.fullmatch(name) or list(beside).count(name) > 1:
            raise BadTraining(
                f"--beside {name}=...: a name of small letters, digits and hyphens, that no other"
                f" arm has ({', '.join(ARMS)})"
            )
    for name in arms:
        if name not in ARMS:
            raise BadTraining(f"no arm {name!r}; the arms are {', '.join(ARMS)}")
    wanted = {SUBSET, *arms}
    if len(wanted) < 2 and not beside:
        raise BadTraining("the subset alone cannot be compared: add an arm, such as uniform")
    return (*(name for name in ARMS if name in wanted), *beside)


def texts(
    arms: Sequence[str], seeds: Sequence[int], subset: Pool, raw: Pool, most: float,
    beside: Mapping[str, Pool],
) -> Texts:  # fmt: skip
    """The texts of every arm and seed; `most` is how many bytes any training will read. Of another
    selection no more bytes are drawn than the subset has."""
    unique = int(subset.size.sum())
    enough = max(LEAST, int(most * ROOM))
    from_subset = {
        (SUBSET, seed): documents.uniform(subset, min(unique, enough), seed) for seed in seeds
    }
    from_raw = {
        (arm, seed): sample(arm, seed, subset, raw, unique, enough)
        for arm in arms
        if arm in ARMS and arm != SUBSET
        for seed in seeds
    }
    of = read(subset, from_subset) | read(raw, from_raw)
    for name, other in beside.items():
        share = min(int(other.size.sum()), unique, enough)
        of |= read(other, {(name, seed): documents.uniform(other, share, seed) for seed in seeds})
    return Texts(of, unique)


def sample(arm: str, seed: int, subset: Pool, raw: Pool, unique: int, enough: int) -> Mask:
    if arm == "matched":
        chosen = documents.matched(raw, subset, seed)
        return thinned(raw, chosen, enough, seed)
    # Of `cost`, more text as well as more tokens: its budget would have bought both.
    share = enough if arm in ("full", "cost") else min(unique, enough)
    other = SECOND_SAMPLE if arm == "uniform-2" else 0
    return documents.uniform(raw, share, seed + other)


def thinned(found: Pool, chosen: Mask, budget: int, seed: int) -> Mask:
    if int(found.size[chosen].sum()) <= budget:
        return chosen
    return documents.uniform(found, budget, seed, out=~chosen)


def read(
    found: Pool, wanted: Mapping[tuple[str, int], Mask]
) -> dict[tuple[str, int], Sequence[bytes]]:
    """Every text is read once, however many arms use it."""
    if not wanted:
        return {}
    union = np.logical_or.reduce(list(wanted.values()))
    held = found.texts(union)
    number = np.cumsum(union) - 1
    return {name: [held[i] for i in number[mask]] for name, mask in wanted.items()}
