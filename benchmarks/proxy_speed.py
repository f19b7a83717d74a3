"""How fast proxies train, beside a decoder as nanoGPT builds it: same shapes, batch and machine.

    python benchmarks/proxy_speed.py                      # on a CPU: 1M and 4M
    python benchmarks/proxy_speed.py --size 150M --sequence 1024 --micro-batch 32 --device cuda
    python benchmarks/proxy_speed.py --smoke

The baseline is written here after nanoGPT's design: LayerNorm, learned positions, GELU, one
matrix for queries, keys and values, causal attention over the whole sequence, a tied read-out,
fused AdamW. Ours trains as many parameters with rotary positions, norms of queries and keys,
SwiGLU, documents masked from one another, and Muon. Steps of the two take turns, so that a busy
machine slows both; the figures are ratios of medians, by the clock and by processors' time, which
others' work moves less, but in which threads that wait for one another count as busy.
"""

import argparse
import json
import statistics
import time

import numpy as np

from assay.api import settings

settings.for_threads()  # before torch is imported, as `assay` does it; for both

import torch
from torch import nn
from torch.nn import functional as F

from assay.scaling.architecture import count, palm
from assay.scaling.proxy import needs
from assay.scaling.proxy.log import peak_flops
from assay.scaling.proxy.tokens import pack
from assay.scaling.proxy.train import Place, Trainer, TrainSpec


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.mixing = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.mixing(self.first(x)).split(width, dim=2)
        q, k, v = (p.view(batch, length, self.heads, -1).transpose(1, 2) for p in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.second(x))))


class Baseline(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.places = nn.Embedding(shape.sequence, shape.width)
        self.layers = nn.ModuleList(Layer(shape.width, shape.heads) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width, bias=False)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, targets):
        x = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-1)


class Plain:
    """The baseline in training."""

    def __init__(self, trainer):
        self.trainer, self.where = trainer, trainer.where
        torch.manual_seed(0)
        self.model = Baseline(trainer.shape).to(self.where)
        self.net = torch.compile(self.model) if trainer.spec.compile else self.model
        decayed = [p for p in self.model.parameters() if p.ndim > 1]
        rest = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, 6e-4, (0.9, 0.95), fused=True)

    def advance(self, step):
        inputs, targets = self.trainer.stream.batch(
            step, self.trainer.batch, self.trainer.spec.sequence
        )
        micro, total = self.trainer.micro, 0.0
        for first in range(0, len(inputs), micro):
            some = [array[first : first + micro] for array in (inputs, targets)]
            tokens, wanted = (torch.from_numpy(a).long().to(self.where) for a in some)
            with torch.autocast(self.where.type, torch.bfloat16, enabled=self.trainer.spec.bf16):
                loss = self.net(tokens, wanted) * (len(tokens) / len(inputs))
            loss.backward()
            total += loss.detach()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return total


def timed(work, where):
    """Seconds by the clock, and of processors."""
    begun = time.perf_counter(), time.process_time()
    work()
    if where.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun[0], time.process_time() - begun[1]


def memory(where):
    if where.type != "cuda":
        return None
    used = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return used


def measured(size, asked):
    device = needs.device(asked.device, asked.threads)
    gpu = device.gpu
    compiled = gpu if asked.compile is None else asked.compile
    spec = TrainSpec(
        size,
        10**9,
        sequence=asked.sequence,
        batch=asked.batch,
        micro_batch=asked.micro_batch,
        bf16=gpu,
        compile=compiled,
    )
    chance = np.random.default_rng(0)
    lengths = chance.lognormal(7.0, 1.2, 4000).astype(int) + 1  # about the lengths of web text
    packed = pack([chance.integers(32, 127, n).astype(np.uint8).tobytes() for n in lengths])
    ours = Trainer(spec, packed, Place(device))
    plain = Plain(ours)
    works = {"assay": ours.advance, "baseline": lambda: plain.advance(ours.step)}
    seconds, used = {name: [] for name in works}, {}
    for step in range(asked.steps + asked.warm):
        for name, work in works.items():
            took = timed(work, ours.where)
            used[name] = memory(ours.where)
            if step >= asked.warm:
                seconds[name].append(took)
        ours.step += 1
    tokens, peak = ours.batch * spec.sequence, peak_flops(device)
    found = {"size": size, "batch": ours.batch, "sequence": spec.sequence, "device": device.name}
    found |= {"threads": device.threads, "compiled": compiled, "bf16": gpu}
    found["parameters"] = {
        "assay": count(ours.shape).total,
        "baseline": sum(p.numel() for p in plain.model.parameters()),
    }
    for name, times in seconds.items():
        clock, processors = (statistics.median(column) for column in zip(*times, strict=True))
        speed = tokens / clock
        found[name] = {
            "tokens_per_second": speed,
            "tokens_per_processor_second": tokens / processors,
            "share_of_peak": speed * palm(ours.shape) / peak if peak else None,
            "memory": used[name],
        }
    for what in ("tokens_per_second", "tokens_per_processor_second"):
        found[f"ratio_of_{what}"] = found["assay"][what] / found["baseline"][what]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", action="append", help="by default 1M and 4M")
    parser.add_argument("--batch", type=int, default=0, help="sequences; 0: as the ladder says")
    parser.add_argument("--micro-batch", type=int, default=8, help="sequences at once")
    parser.add_argument("--sequence", type=int, default=512)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--warm", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--smoke", action="store_true")
    asked = parser.parse_args()
    if asked.smoke:
        asked.size, asked.batch, asked.sequence, asked.steps = ["100K"], 2, 64, 3
    for size in asked.size or ["1M", "4M"]:
        print(json.dumps(measured(size, asked), indent=1), flush=True)


if __name__ == "__main__":
    main()
