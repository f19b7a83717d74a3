"""A plain decoder, optimiser and loop: no fused kernel, no packing trick, no muP helper; written to
be read beside docs/validate.md."""

import math

import torch

NAMES = ("query", "key", "value", "out", "gate", "up", "down")


def norm(x):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6)


def turned(x):
    """Rotary positions as complex numbers: x is (length, heads, head)."""
    length, _, head = x.shape
    half = head // 2
    pairs = torch.complex(x[..., 0::2].double(), x[..., 1::2].double())
    speeds = 10_000.0 ** (-torch.arange(half).double() * 2 / head)
    angles = torch.arange(length).double()[:, None] * speeds[None]
    found = pairs * torch.polar(torch.ones_like(angles), angles)[:, None, :]
    return torch.stack([found.real, found.imag], -1).reshape(x.shape).float()


def attention(x, w, heads, tokens, begin):
    length, width = x.shape
    head = width // heads
    q, k, v = (x @ w[name].T for name in ("query", "key", "value"))
    q, k, v = (t.reshape(length, heads, head) for t in (q, k, v))
    q, k = turned(norm(q)), turned(norm(k))
    document = torch.cumsum(tokens == begin, 0)
    columns = []
    for h in range(heads):
        score = q[:, h] @ k[:, h].T / math.sqrt(head)
        hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
        hidden |= document[:, None] != document[None, :]
        columns.append(torch.softmax(score.masked_fill(hidden, -math.inf), -1) @ v[:, h])
    out = torch.stack(columns, 1)
    return out.reshape(length, width) @ w["out"].T


def logits(weights, shape, tokens, begin):
    x = norm(weights["embedding.weight"][tokens])
    for layer in range(shape.layers):
        prefix = f"blocks.{layer}."
        w = {name: weights[f"{prefix}{name}.weight"] for name in NAMES}
        x = x + attention(norm(x), w, shape.heads, tokens, begin)
        inner = norm(x)
        gate = inner @ w["gate"].T
        x = x + (gate * torch.sigmoid(gate) * (inner @ w["up"].T)) @ w["down"].T
    x = norm(x)
    return x @ weights["readout.weight"].T * (128 / shape.width)


def loss(weights, shape, inputs, targets, begin):
    """Mean over the targets that are predicted; row by row."""
    total, counted = 0.0, 0
    for tokens, wanted in zip(inputs, targets, strict=True):
        score = torch.log_softmax(logits(weights, shape, tokens, begin), -1)
        places = torch.nonzero(wanted >= 0)[:, 0]
        total = total - score[places, wanted[places]].sum()
        counted += len(places)
    return total / counted


def newton_schulz(g):
    x = g if g.shape[0] <= g.shape[1] else g.T
    x = x / x.norm().clamp(min=1e-7)  # the first gradients are all zero
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x if g.shape[0] <= g.shape[1] else x.T


def train(weights, shape, batches, steps, begin, rate, adam_share, share):
    """Muon for the blocks' matrices, Adam for the rest; the losses."""
    state = {name: (torch.zeros_like(w), torch.zeros_like(w)) for name, w in weights.items()}
    found = []
    for step in range(steps):
        inputs, targets = (torch.from_numpy(a).long() for a in batches(step))
        for w in weights.values():
            w.requires_grad_(True)
            w.grad = None
        now = loss(weights, shape, inputs, targets, begin)
        now.backward()
        found.append(now.item())
        with torch.no_grad():
            for name, w in weights.items():
                first, second = state[name]
                g = w.grad
                if name.startswith("blocks.") and w.ndim == 2:
                    first.copy_(0.95 * first + 0.05 * g)
                    update = newton_schulz(0.05 * g + 0.95 * first)
                    w -= rate * share(step) * max(1, w.shape[0] / w.shape[1]) ** 0.5 * update
                else:
                    first.copy_(0.9 * first + 0.1 * g)
                    second.copy_(0.95 * second + 0.05 * g * g)
                    up, down = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.95 ** (step + 1))
                    w -= rate * adam_share * share(step) * up / (down.sqrt() + 1e-10)
    return found
