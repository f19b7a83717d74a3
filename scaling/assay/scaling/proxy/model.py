"""A small decoder as they are built now: RMSNorm, rotary positions, QK norm, SwiGLU or ReLU^2.

Widths scale by muP (Yang et al. 2022, arXiv 2203.03466) so that one learning rate serves every
size: hidden matrices start with variance 1/fan_in and are moved by Muon, whose step has a spectral
norm that does not hang on the width; the read-out starts at zero and is divided by the width over
the base width; heads have one width everywhere, so attention needs no correction.

Documents are packed one behind the other; a token sees its own document's earlier tokens only.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assay.scaling.architecture import Shape
from assay.scaling.proxy.attention import Sight, document_mask, mixed, sight
from assay.scaling.proxy.kernels import Turn, added_and_normed, gated, looked_up, normed
from assay.scaling.proxy.ladder import BASE_WIDTH
from assay.scaling.proxy.mixture import Mixture

__all__ = ["Decoder", "document_mask", "sight"]

EMBEDDING_STD = 0.02
ROTARY_BASE = 10_000.0  # Su et al. 2021, arXiv 2104.09864


class Decoder(nn.Module):
    """Tokens in, logits out: shapes (batch, sequence) and (batch, sequence, vocabulary)."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, shape: Shape, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.readout = None if shape.tied else linear(shape.width, shape.vocabulary)
        cosine, sine = rotations(shape.sequence, shape.head_width)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self.start(generator)

    @torch.no_grad()
    def start(self, generator: torch.Generator | None) -> None:
        """The same weights for the same generator, whatever the device."""
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD, generator=generator)
        for block in cast("list[Block]", self.blocks):
            for name, matrix in block.matrices():
                if name in ("out", "down"):  # a block begins as the identity
                    nn.init.zeros_(matrix)
                else:
                    nn.init.normal_(matrix, std=matrix.shape[1] ** -0.5, generator=generator)
            if block.mixture is not None:  # scores of size one
                router = block.mixture.router.weight
                nn.init.normal_(router, std=self.shape.width**0.5 / BASE_WIDTH, generator=generator)
        if self.readout is not None:
            nn.init.zeros_(self.readout.weight)

    def forward(self, tokens: Tensor, mask: Sight = None) -> Tensor:
        return self.logits(self.hidden(tokens, mask))

    def hidden(self, tokens: Tensor, mask: Sight = None) -> Tensor:
        """The last layer's output, normed. `mask` is what `sight` or `document_mask`
        gives; None: causal."""
        length = tokens.shape[1]
        x = normed(self.embedding(tokens))
        more: Tensor | None = None
        turn = (self.cosine[:length], self.sine[:length])
        for block in self.blocks:
            x, more = block(x, more, turn, mask)
        return added_and_normed(x, more)[1]

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden * self.scale, self.ends)

    def balance(self) -> Tensor | None:
        """The mean load-balance term of the last call; None without experts."""
        mixtures = [block.mixture for block in cast("list[Block]", self.blocks)]
        found = [one.balance for one in mixtures if one is not None]
        return torch.stack(found).mean() if found else None

    @property
    def ends(self) -> Tensor:
        """The read-out's matrix, (vocabulary, width)."""
        return self.embedding.weight if self.readout is None else self.readout.weight

    @property
    def scale(self) -> float:
        """Of the read-out, by muP; on the hidden layer, which has fewer numbers than the logits."""
        return BASE_WIDTH / self.shape.width


class Block(nn.Module):
    """Attention, then a feed-forward, each added to what came in."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, inner = shape.width, shape.feedforward
        self.query, self.key = linear(width, width), linear(width, width)
        self.value, self.out = linear(width, width), linear(width, width)
        self.mixture = Mixture(shape) if shape.experts else None
        if self.mixture is None:
            self.gate = linear(width, inner) if shape.gated else None
            self.up, self.down = linear(width, inner), linear(inner, width)

    def matrices(self) -> list[tuple[str, nn.Parameter]]:
        """The hidden matrices, by their names."""
        names = ("query", "key", "value", "out", "gate", "up", "down")
        own = [(n, getattr(self, n).weight) for n in names if getattr(self, n, None) is not None]
        return own + (self.mixture.matrices() if self.mixture else [])

    def forward(
        self, x: Tensor, more: Tensor | None, turn: Turn, mask: Sight
    ) -> tuple[Tensor, Tensor]:
        """What came in, and what is to be added to it: that is done along with the next norm."""
        x, inner = added_and_normed(x, more)
        x, inner = added_and_normed(x, self.attention(inner, turn, mask))
        return x, self.feedforward(inner)

    def attention(self, x: Tensor, turn: Turn, mask: Sight) -> Tensor:
        query, key, value = looked_up(x, self.query, self.key, self.value, turn)
        return cast(Tensor, self.out(mixed(query, key, value, mask).reshape(x.shape)))

    def feedforward(self, x: Tensor) -> Tensor:
        if self.mixture is not None:
            return cast(Tensor, self.mixture(x))
        if self.gate is None:
            return cast(Tensor, self.down(F.relu(self.up(x)).square()))
        return cast(Tensor, self.down(gated(x, self.gate, self.up)))


def linear(wide: int, out: int) -> nn.Linear:
    return nn.Linear(wide, out, bias=False)


def rotations(length: int, head: int) -> Turn:
    """Cosines and sines, (length, 1, head / 2)."""
    speeds = ROTARY_BASE ** (-torch.arange(0, head, 2, dtype=torch.float64) / head)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), speeds)[:, None, :]
    return angles.cos().float(), angles.sin().float()
