"""Eleven scores of a text that need no network and no weights: "surface-11".

They are statistics of the surface: of lines, repetition, words, compression and small n-gram models
of the corpus itself. They do not measure whether a text is true or teaches anything. Thresholds are
those of Gopher (Rae et al. 2021, arXiv:2112.11446, tables A1 and A2) and of FineWeb (Penedo et al.
2024, arXiv:2406.17557, section 3.6); readability is that of native/src/surface.hpp.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assay.native import kernels
from assay.selectors.choice import mix
from assay.selectors.compression import ZSTD_VERSION, sizes_with
from assay.selectors.methods.lm import FLAT, Models
from assay.selectors.methods.quality import DUPLICATE_NGRAMS, TOP_NGRAMS
from assay.selectors.records import Counts, Floats, Ids, Mask
from assay.selectors.sampling import Sample
from assay.selectors.scoring import sizes
from assay.selectors.stats import Features
from assay.selectors.texts import views

VERSION = "surface-11-1"
FEATURES = Features("fast", 2, 1 << 18)
PRIOR = 1000.0  # tokens after a history that count as much as the shorter history
ALONE = 1e30  # the same, where the history shall count nothing
HALVES = 11  # seed of the hash that puts a document in one half of the corpus
LEVEL = 1  # of zstd
TARGET = "target"


@dataclass(frozen=True)
class Column:
    """A score column: which way is better (0: neither), and the group that it belongs to."""

    name: str
    polarity: int
    group: str


COLUMNS = (
    Column("terminal", +1, "language"),  # lines that end as sentences do
    Column("repetition", -1, "language"),  # the worst of Gopher's limits on repeated n-grams, lines
    Column("words", +1, "language"),  # distance from Gopher's limits on symbols, bullets, words
    Column("layout", +1, "language"),  # distance from FineWeb's limits on short and doubled lines
    Column("compression", -1, "language"),  # how far it compresses unlike the corpus: both ways bad
    Column("surprisal", +1, "knowledge"),  # nats of a word under the corpus's unigrams
    Column("facts", +1, "knowledge"),  # numbers, names within sentences, parentheses
    Column("diversity", +1, "knowledge"),  # mean share of distinct words in runs of 50
    Column(TARGET, +1, "knowledge"),  # log likelihood ratio of target and corpus; if there is one
    Column("difficulty", 0, "difficulty"),  # ARI, Coleman-Liau and LIX, each against the corpus
    Column("bits_per_byte", 0, "difficulty"),  # under bigrams of the other half of the corpus
)

REPETITION: Mapping[str, float] = {
    "duplicate_lines": 0.30,
    "duplicate_line_characters": 0.20,
    **{f"top_{n}gram_characters": most for n, most in TOP_NGRAMS.items()},
    **{f"duplicate_{n}gram_characters": most for n, most in DUPLICATE_NGRAMS.items()},
}
INDICES = ("ari", "coleman_liau", "lix")


@dataclass(frozen=True)
class Surface:
    """The eleven scores, or ten where there is no target, with what was learned of the corpus."""

    halves: tuple["Bigrams", "Bigrams"]  # each learned from one half, and applied to the other
    target: Models | None
    ratio: float  # median logarithm of bytes over compressed bytes
    indices: Floats  # (2, 3): medians and spreads of the readability indices

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(c for c in COLUMNS if self.target or c.name != TARGET)

    @property
    def versions(self) -> dict[str, str]:
        return {"surface": VERSION, **ZSTD_VERSION}

    def __call__(self, text: pa.Array, key: Ids, known: "Known | None" = None) -> Floats:
        """Shape (documents, columns); `known` is what is known of the texts already."""
        found = known.statistics if known else kernels.surface(text)
        stat = {name: found[:, place] for place, name in enumerate(kernels.STATISTICS)}
        size = sizes(text)
        ratio = known.ratio if known else log_ratio(text, size)
        surprisal, bits = self._likelihood(text, key, size)
        scores = {
            "terminal": stat["terminal_lines"],
            "repetition": np.max([stat[n] / most for n, most in REPETITION.items()], axis=0),
            "words": words(stat),
            "layout": layout(stat),
            "compression": np.abs(ratio - self.ratio),
            "surprisal": surprisal,
            "facts": stat["digit_characters"] + stat["capitalised_words"] + stat["parentheses"],
            "diversity": stat["mattr_50"],
            "difficulty": difficulty(stat, self.indices),
            "bits_per_byte": bits,
        }
        if self.target:
            logs, tokens = self.target.logs(text)
            scores[TARGET] = (logs[:, 0] - logs[:, 1]) / np.maximum(tokens, 1)
        return np.column_stack([scores[column.name] for column in self.columns])

    def _likelihood(self, text: pa.Array, key: Ids, size: Counts) -> tuple[Floats, Floats]:
        """Nats of a word under unigrams, and bits of a byte under bigrams, of the other half."""
        first = half(key)
        surprisal, bits = np.zeros(len(text)), np.zeros(len(text))
        for mine, model in ((first, self.halves[1]), (~first, self.halves[0])):
            rows = np.flatnonzero(mine)
            if len(rows):
                logs, tokens = model.logs(text.take(pa.array(rows)))
                surprisal[rows] = -logs[:, 0] / np.maximum(tokens, 1)
                bits[rows] = -logs[:, 1] / (np.log(2) * np.maximum(size[rows], 1))
        return surprisal, bits


@dataclass(frozen=True)
class Bigrams:
    """Unigrams and bigrams of some texts, over hashed words."""

    counts: npt.NDArray[np.float32]  # (slots, 2): the same twice, since the kernel reads two models
    tokens: float

    @classmethod
    def of(cls, texts: pa.Array) -> "Bigrams":
        counts = counted(texts)
        tokens = float(counts[: FEATURES.buckets].sum(dtype=np.float64))
        return cls(np.stack([counts, counts], axis=1), max(tokens, 1.0))

    def logs(self, texts: pa.Array) -> tuple[Floats, Counts]:
        """Of each text the log probability under unigrams and under bigrams, and its tokens."""
        f = FEATURES
        return kernels.score_ngrams(
            texts, self.counts, (self.tokens, self.tokens), (ALONE, PRIOR), FLAT, 0.25,
            f.definition, f.orders, f.buckets,
        )  # fmt: skip


@dataclass(frozen=True)
class Known:
    """What takes long to find of some texts."""

    statistics: Floats
    ratio: Floats  # logarithm of bytes over compressed bytes


def learn(sample: Sample, target: Sample | None) -> tuple[Surface, Floats]:
    """What the scores need to know of the corpus, from a sample of it, and of the target; and the
    scores of the sample."""
    texts, first = sample.texts(), half(sample.key)
    halves = [texts.take(pa.array(np.flatnonzero(mine))) for mine in (first, ~first)]
    found = kernels.surface(texts)
    known = Known(found, log_ratio(texts, sizes(texts)))
    read = found[:, [kernels.STATISTICS.index(name) for name in INDICES]]
    low, middle, high = np.quantile(read, [0.25, 0.5, 0.75], axis=0)
    spread = np.where(high > low, high - low, 1.0)
    learned = Surface(
        (Bigrams.of(halves[0]), Bigrams.of(halves[1])),
        _towards(target, texts) if target else None,
        float(np.median(known.ratio)),
        np.stack([middle, spread]),
    )
    return learned, learned(texts, sample.key, known)


def half(key: Ids) -> Mask:
    """Whether a document is in the first half of the corpus."""
    return (mix(key, HALVES) & np.uint64(1)).astype(bool)


def counted(texts: pa.Array) -> npt.NDArray[np.float32]:
    """How often each n-gram occurs; of a sample below 2^24 tokens float32 holds them all."""
    counts = np.zeros(FEATURES.slots, np.int64)
    f = FEATURES
    kernels.add_ngrams(texts, counts, f.definition, f.orders, f.buckets)
    return counts.astype(np.float32)


def _towards(target: Sample, raw: pa.Array) -> Models:
    """The language models of `lm`, with its defaults."""
    counts = np.stack([counted(target.texts()), counted(raw)], axis=1)
    tokens = counts[: FEATURES.buckets].sum(axis=0, dtype=np.float64)
    wanted, there = max(float(tokens[0]), 1.0), max(float(tokens[1]), 1.0)
    prior = (10_000.0, 10_000.0 * there / wanted)
    return Models(FEATURES, counts, (wanted, there), prior, 0.25, 1.0)


# The scores ----------------------------------------------------------------------------------


def words(stat: Mapping[str, Floats]) -> Floats:
    """How far inside Gopher's limits a text's words and symbols are: 1 at most, below 0 outside."""
    room = [
        1 - stat["hash_ratio"] / 0.1,
        1 - stat["ellipsis_ratio"] / 0.1,
        1 - stat["bullet_lines"] / 0.9,
        1 - stat["ellipsis_lines"] / 0.3,
        (stat["alphabetic_words"] - 0.8) / 0.2,
        np.minimum(stat["stop_words"], 4) / 2 - 1,
    ]
    return np.asarray(np.mean([np.clip(one, -1, 1) for one in room], axis=0))


def layout(stat: Mapping[str, Floats]) -> Floats:
    """The same of FineWeb's limits on lines."""
    room = [
        1 - stat["short_lines"] / 0.67,
        1 - stat["duplicate_line_text"] / 0.01,
        1 - stat["newline_ratio"] / 0.3,
    ]
    return np.asarray(np.mean([np.clip(one, -1, 1) for one in room], axis=0))


def difficulty(stat: Mapping[str, Floats], indices: Floats) -> Floats:
    """The mean of three readability indices, each as spreads from its median."""
    found = [
        np.clip((stat[name] - indices[0, place]) / indices[1, place], -8, 8)
        for place, name in enumerate(INDICES)
    ]
    return np.asarray(np.mean(found, axis=0))


def log_ratio(texts: pa.Array, size: Counts) -> Floats:
    """Logarithm of bytes over compressed bytes; 0 for an empty text."""
    taken = sizes_with(b"", LEVEL, list(views(texts)))
    return np.log(np.maximum(size, 1)) - np.log(np.where(size > 0, taken, 1))
