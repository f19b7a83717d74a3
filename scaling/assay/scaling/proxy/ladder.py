"""The sizes of proxies, by name: 1M, 4M, 20M, 60M, 150M, 300M.

Names count parameters without embeddings, of which bytes need few. Depth grows little and heads
are 64 wide at every size, so that width is what muP has to scale. 100K is for trying things out.
"""

from math import ceil

from assay.scaling.architecture import HEAD as _WIDE_HEAD
from assay.scaling.architecture import Experts, Shape, count
from assay.scaling.proxy.errors import BadTraining

HEAD = _WIDE_HEAD // 2  # the widest head that gives the 1M model two of them
BASE_WIDTH = 128  # of the 1M model: learning rates are meant for it
BATCH_PARAMS, BATCH_SEQUENCES, BATCH_SEQUENCE = 108e6, 160, 2048
TOKENS_PER_PARAMETER = 20.0  # Hoffmann et al. 2022, arXiv 2203.15556
LEAST_STEPS = 150  # fewer leave nothing between warm-up and decay
LARGE_VOCABULARY = 8192  # from here on, the logits of a batch are not kept whole
LOGITS = 2**23  # of a large vocabulary at once: 32 MB
PADDED = 64  # a vocabulary is padded to a multiple: matrix units want it

# name -> width, layers
LADDER = {
    "100K": (64, 2),
    "1M": (128, 5),
    "4M": (256, 5),
    "20M": (512, 6),
    "60M": (768, 8),
    "150M": (1024, 12),
    "300M": (1280, 15),
}


def shape(
    size: str,
    sequence: int,
    vocabulary: int,
    feedforward: str = "swiglu",
    tied: bool = False,
    experts: str = "",
) -> Shape:
    """The decoder of this size; `vocabulary` is padded. With `experts` the size is that of what
    a token passes."""
    name = size.upper()
    if name not in LADDER:
        raise BadTraining(f"no proxy of size {size!r}; the ladder is {', '.join(LADDER)}")
    width, layers = LADDER[name]
    gated = feedforward == "swiglu"
    inner = round(width * 8 / 3 / 32) * 32 if gated else 4 * width
    heads = max(1, width // HEAD)
    padded = ceil(vocabulary / PADDED) * PADDED
    if experts and not gated:
        raise BadTraining("--experts: experts are SwiGLU; leave --feedforward relu2 out")
    return Shape(
        layers, width, inner, heads, heads, padded, sequence, gated=gated, tied=tied,
        experts=mixture(experts, inner),
    )  # fmt: skip


def mixture(said: str, width: int) -> Experts | None:
    """8x2: eight experts, of which a token passes two, together as wide as the plain layer."""
    if not said:
        return None
    count, _, active = said.partition("x")
    if not (count.isdecimal() and active.isdecimal() and 1 <= int(active) < int(count) <= 1024):
        raise BadTraining(
            f"--experts {said!r}: how many and how many of them for a token, such as 8x2"
        )
    each = max(16, round(width / int(active) / 16) * 16)
    return Experts(int(count), int(active), each, shared=0)


def batch_of(shape: Shape, tokens: float) -> int:
    """Sequences in a batch: what the ladder of DataDecide (Magnusson et al. 2025, arXiv
    2504.11393) comes to, 160 (N / 108M)^(2/3) sequences of 2,048, but at least 150 steps."""
    share = count(shape).non_embedding / BATCH_PARAMS
    usual = BATCH_SEQUENCES * float(share ** (2 / 3))
    wanted = min(usual * BATCH_SEQUENCE, tokens / LEAST_STEPS)
    return max(1, round(wanted / shape.sequence))
