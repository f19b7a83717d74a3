"""Sequences of items, and prompts with answers, from Parquet; joined by id and by nothing else.

A table of sequences has a row for each user: an id, and a list of items in the order of time.
Items are anything that can be told apart. A table of prompts has an id, a prompt (a text, or a
list of texts, which are joined by line ends) and an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assay.native import kernels
from assay.scaling.influence.errors import (
    BadSequences,
    EmptyAnswer,
    IdsDoNotMatch,
    TooFewItems,
)
from assay.selectors import storage

Items = npt.NDArray[np.int64]  # from 1; 0 is no item
Places = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]

ENOUGH = 0.99  # of the ids, in a join: as for score columns elsewhere
SHORTEST = 2  # items


@dataclass(frozen=True)
class Sequences:
    """User i's items are items[starts[i]:starts[i + 1]], oldest first."""

    ids: tuple[str, ...]
    items: Items
    starts: Places
    known: pa.Array  # item number n is known[n - 1]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Places:
        return np.diff(self.starts)

    @property
    def keys(self) -> Keys:
        """A hash of each id: what draws hang on."""
        return kernels.fingerprint(pa.array(self.ids, pa.string()))

    def of(self, place: int) -> Items:
        return self.items[self.starts[place] : self.starts[place + 1]]

    def take(self, places: Places) -> "Sequences":
        return gathered(
            [self.ids[i] for i in places], [self.of(int(i)) for i in places], self.known
        )

    def usable(self, where: str) -> "Sequences":
        """Those with two items or more. Raises TooFewItems where there is none."""
        enough = np.flatnonzero(self.lengths >= SHORTEST)
        if not len(enough):
            raise TooFewItems(
                f"{where}: none of {len(self):,} sequences has {SHORTEST} items: there is nothing"
                " to predict; give each user's items as one list, not as a row for each"
            )
        return self.take(enough)


@dataclass(frozen=True)
class Prompts:
    """What a language model is asked, and what it should say; in the order of `ids`."""

    ids: tuple[str, ...]
    prompts: tuple[str, ...]
    answers: tuple[str, ...]


def gathered(ids: Sequence[str], items: Sequence[Items], known: pa.Array) -> Sequences:
    starts = np.concatenate([[0], np.cumsum([len(one) for one in items], dtype=np.int64)])
    every = np.concatenate(items) if len(items) else np.zeros(0, np.int64)
    return Sequences(tuple(ids), every, starts.astype(np.int64), known)


# Sequences -----------------------------------------------------------------------------


def read_sequences(
    path: str, id_column: str = "", items_column: str = "items", known: pa.Array | None = None
) -> Sequences:
    """The sequences of a file. `known` are the items of another, which they must be of; items
    that it does not know are left out."""
    table = opened(path)
    ids = id_words(table, path, id_column)
    lists = column(table, path, items_column)
    if not (pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)):
        raise BadSequences(
            f"{path}: the column {items_column!r} is of type {lists.type}; wanted is a list of"
            " items in each row, oldest first"
        )
    lists = pc.fill_null(lists, pa.scalar([], lists.type))
    flat = pc.list_flatten(lists)
    if flat.null_count:
        raise BadSequences(f"{path}: {flat.null_count:,} items of {items_column!r} are null")
    if known is None:
        known = flat.unique().take(pc.sort_indices(flat.unique()))
    number = pc.fill_null(pc.index_in(flat, known.cast(flat.type)), -1).to_numpy() + 1
    owner = pc.list_parent_indices(lists).to_numpy()
    counts = np.bincount(owner[number > 0], minlength=len(lists)).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    return Sequences(ids, number[number > 0].astype(np.int64), starts, known)


def aligned(other: Sequences, ids: Sequence[str]) -> Sequences:
    """Another table's sequences in the order of `ids`; who is not there has an empty one."""
    place = {name: i for i, name in enumerate(other.ids)}
    none = np.zeros(0, np.int64)
    return gathered(
        ids, [other.of(place[name]) if name in place else none for name in ids], other.known
    )


def appended(first: Sequences, second: Sequences) -> Sequences:
    """Each user's items of both, the first's before the second's; for those of the first."""
    later = aligned(second, first.ids)
    both = [np.concatenate([first.of(i), later.of(i)]) for i in range(len(first))]
    return gathered(first.ids, both, first.known)


# Prompts -------------------------------------------------------------------------------


def read_prompts(
    path: str, id_column: str = "", prompt_column: str = "prompt", answer_column: str = "answer"
) -> Prompts:
    """The prompts of a file. Raises EmptyAnswer with the ids that have none."""
    table = opened(path)
    ids = id_words(table, path, id_column)
    prompts = words(column(table, path, prompt_column), path, prompt_column)
    answers = words(column(table, path, answer_column), path, answer_column)
    empty = [name for name, answer in zip(ids, answers, strict=True) if not answer]
    if empty:
        raise EmptyAnswer(
            f"{path}: {len(empty):,} of {len(ids):,} prompts have an empty answer span in the"
            f" column {answer_column!r}, first the id {empty[0]}: effort is measured on the answer;"
            " fill it in, or leave these rows out"
        )
    return Prompts(ids, prompts, answers)


def words(values: pa.Array, path: str, name: str) -> tuple[str, ...]:
    kind = values.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return tuple("\n".join(map(str, one or [])) for one in values.to_pylist())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return tuple(one or "" for one in values.to_pylist())
    raise BadSequences(f"{path}: the column {name!r} is of type {kind}; wanted is text")


def joined(sequences: Sequences, prompts: Prompts) -> tuple[Sequences, Prompts]:
    """Both in the order of the sequences, those that have a prompt. Raises IdsDoNotMatch where
    more than one in a hundred has none."""
    place = {name: i for i, name in enumerate(prompts.ids)}
    kept = np.array([i for i, name in enumerate(sequences.ids) if name in place], np.int64)
    if len(kept) < ENOUGH * len(sequences):
        without = next(name for name in sequences.ids if name not in place)
        raise IdsDoNotMatch(
            f"{len(kept):,} of {len(sequences):,} sequences have a prompt of the same id; wanted"
            f" are {ENOUGH:.0%}. Without one, for example: {without}; prompts begin with the id"
            f" {prompts.ids[0] if prompts.ids else '(there are none)'}. Name the column of"
            " ids with --id-column, or give the prompts of the same users"
        )
    order = [place[sequences.ids[i]] for i in kept]
    chosen = Prompts(
        tuple(prompts.ids[i] for i in order),
        tuple(prompts.prompts[i] for i in order),
        tuple(prompts.answers[i] for i in order),
    )
    return sequences.take(kept), chosen


# Tables --------------------------------------------------------------------------------


def opened(path: str) -> pa.Table:
    """The whole table, local or in an object store. Raises NotFound, BadSequences."""
    try:
        return pq.read_table(pa.BufferReader(storage.read_bytes(path)))
    except pa.ArrowException as cause:
        raise BadSequences(f"{path}: not a Parquet file that can be read: {cause}") from cause


def column(table: pa.Table, path: str, name: str) -> Any:
    if name not in table.column_names:
        raise BadSequences(
            f"{path}: no column {name!r}; it has {', '.join(map(repr, table.column_names))}"
        )
    return table[name].combine_chunks()


def id_words(table: pa.Table, path: str, name: str) -> tuple[str, ...]:
    """Ids as words, numbers in decimal. Without a name: `id`, else `user`."""
    if not name:
        name = next((one for one in ("id", "user") if one in table.column_names), "id")
    values = column(table, path, name)
    if values.null_count:
        raise BadSequences(f"{path}: {values.null_count:,} ids in the column {name!r} are null")
    try:
        ids = tuple(pc.cast(values, pa.string()).to_pylist())
    except pa.ArrowException as cause:
        raise BadSequences(f"{path}: ids of type {values.type} in {name!r}: {cause}") from cause
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = next(one for one in ids if one in seen or seen.add(one))  # type: ignore[func-returns-value]
        raise BadSequences(
            f"{path}: {len(ids) - len(set(ids)):,} ids in {name!r} stand there more than once,"
            f" first {twice}: one row for each user"
        )
    return ids
