"""Bits per byte of texts under a model, document by document."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch

from assay.scaling.proxy import choices, losses
from assay.scaling.proxy.attention import sight
from assay.scaling.proxy.model import Decoder
from assay.scaling.proxy.tokens import IGNORED, Counts, Encoding, Packed, Tokens
from assay.scaling.slopes import Floats

LN2 = float(np.log(2.0))
TOGETHER = 8192  # tokens at once


@dataclass(frozen=True)
class Surprise:
    """What a model found in each document."""

    nats: Floats
    bytes: Counts

    @property
    def bits_per_byte(self) -> float:
        """Over all text, not over documents: a long one counts more."""
        return float(self.nats.sum() / (LN2 * max(int(self.bytes.sum()), 1)))


@torch.no_grad()
def surprise(model: Decoder, packed: Packed, where: torch.device, bf16: bool = False) -> Surprise:
    """Every token of every document is predicted once, from its own document only; a document
    longer than a sequence is cut."""
    nats = np.zeros(len(packed))
    for inputs, targets, owner in rows(packed, model.shape.sequence):
        tokens = torch.from_numpy(inputs).long().to(where)
        wanted = torch.from_numpy(targets).long().to(where)
        with torch.autocast(where.type, torch.bfloat16, enabled=bf16):
            seen = sight(tokens, packed.encoding.begin)
            lost = losses.nats(model, model.hidden(tokens, seen), wanted, "none").flatten()
        found = lost.double().cpu().numpy()
        nats += np.bincount(owner.ravel(), weights=found, minlength=len(packed))
    return Surprise(nats, packed.bytes)


@torch.no_grad()
def answered(
    model: Decoder,
    questions: tuple[choices.Question, ...],
    how: Encoding,
    where: torch.device,
    bf16: bool = False,
) -> dict[str, float]:
    """How probable the right answers are."""
    length = model.shape.sequence
    asked = list(choices.rows(questions, how, length))
    each, nats = max(1, TOGETHER // length), []
    for first in range(0, len(asked), each):
        some = asked[first : first + each]
        tokens = torch.from_numpy(np.stack([row.inputs for row in some])).long().to(where)
        wanted = torch.from_numpy(np.stack([row.targets for row in some])).long().to(where)
        with torch.autocast(where.type, torch.bfloat16, enabled=bf16):
            hidden = model.hidden(tokens, sight(tokens, how.begin))
            lost = losses.nats(model, hidden, wanted, "none")
        nats += lost.double().sum(1).tolist()
    return choices.scores(questions, asked, nats)


def rows(packed: Packed, length: int) -> Iterator[tuple[Tokens, Tokens, Counts]]:
    """Inputs, targets, and the document of each target; what is left over is filled up with
    beginnings, which are not predicted."""
    begin = packed.encoding.begin
    have = len(packed.values)
    count = max(1, ceil((have - 1) / length))
    filled = np.full(count * length + 1, begin, np.int32)
    filled[:have] = packed.values
    owner = np.zeros(count * length + 1, np.int64)
    owner[:have] = np.repeat(np.arange(len(packed)), packed.lengths)
    inputs = filled[:-1].reshape(count, length)
    targets = np.where(filled[1:] == begin, IGNORED, filled[1:]).reshape(count, length)
    owners = owner[1:].reshape(count, length)
    each = max(1, TOGETHER // length)
    for first in range(0, count, each):
        part = slice(first, first + each)
        yield inputs[part], targets[part], owners[part]
