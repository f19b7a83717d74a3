"""Is a subset worth it? The story: arms, trainings, differences, a report.

    reply = validate(StudySpec(subset="kept", raw=("pool",), target=("new.parquet",)), means)

The protocol follows DataDecide (Magnusson et al. 2025, arXiv 2504.11393) where it can: equal
tokens, equal evaluation, several seeds, several sizes. Every finished training is one document in
OUT/trainings, so the same command goes on where it was stopped.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from assay.scaling.commands import Reply
from assay.scaling.costs import Rates
from assay.scaling.proxy import arms as arming
from assay.scaling.proxy import choices, documents, leaks, needs, vocabularies
from assay.scaling.proxy.arms import SUBSET, Texts
from assay.scaling.proxy.documents import Pool
from assay.scaling.proxy.errors import BadTraining, LeakingTarget, OtherStudy
from assay.scaling.proxy.ladder import TOKENS_PER_PARAMETER
from assay.scaling.proxy.tokens import Counts, Encoding, Packed, pack
from assay.selectors import storage
from assay.selectors.choice import mix
from assay.selectors.errors import BadRequest
from assay.selectors.manifest import Manifest, canonical
from assay.selectors.shards import Reading

if TYPE_CHECKING:  # torch is imported when a study begins, not before
    from assay.scaling.proxy.log import Record
    from assay.scaling.proxy.train import Trainer, TrainSpec

TARGET_BYTES = 200_000  # of target text that is evaluated on, unless asked otherwise
PASSAGE = 2_000  # bytes; of a long document, only the passages that leak are left out
TARGET_SAMPLE = 7  # the seed of the sample of target documents
CURVE_EVERY = 4  # along the way, every fourth passage is looked at
EVALUATIONS = 8
TUNING_SHARE = 3  # where rates are tuned, every third target document is for that
MOST_LEAKING = 0.5  # of the target's documents; beyond, there is no target left to speak of
STUDY = "study.json"
LEARNED = "tokenizer.json"
LEARNED_BYTES, LEARNED_SEED = 10_000_000, 11  # the sample that tokens are learned on
PIECE = 4  # sequences: longer documents are cut and their pieces trained on apart

OTHERWISE = (
    "subset",
    "beside",
    "raw",
    "target",
    "at_params",
    "at_tokens",
)  # what no training hangs on

TITLE = "Is the subset worth it?"  # of a report

Pieces = list[tuple[bytes, int]]  # passages of the target, each with its document's number


@dataclass(frozen=True)
class StudySpec:
    """What is asked. Where it is written and on what it runs is no part of what it is."""

    subset: str
    raw: tuple[str, ...]
    target: tuple[str, ...]
    sizes: tuple[str, ...] = ("1M", "4M")
    seeds: int = 3
    arms: tuple[str, ...] = arming.USUAL
    beside: tuple[tuple[str, str], ...] = ()  # other selections: an arm's name, a folder
    tokens: float = 0.0  # of each training; 0: TOKENS_PER_PARAMETER
    sequence: int = 512
    batch: int = 0
    learning_rate: float = 0.0  # 0: the trainer's own
    learning_rates: tuple[float, ...] = (1.0,)  # factors to try, best on the tuning documents
    feedforward: str = "swiglu"
    tied: bool = False
    experts: str = ""  # 8x2: two of eight for each token
    activation_sparsity: bool = False  # measure CETT-PPL-1%
    tokenizer: str = "bytes"
    target_bytes: int = TARGET_BYTES
    text_column: str = "text"
    group_by: str | None = None
    choices: str = ""  # a file of questions with several answers
    at_params: float = 0.0  # of the run that the subset is for; 0: not asked
    at_tokens: float = 0.0

    @property
    def words(self) -> str:
        """What is compared, as the head of a report says it."""
        return f"{self.subset} against {', '.join(self.arms)}; models of {', '.join(self.sizes)}"


@dataclass(frozen=True)
class Means:
    """With what a study is carried out."""

    out: Path
    device: str = "auto"
    threads: int = 0
    micro_batch: int = 0
    shard: bool = False  # processes of one training hold a part of the model each
    bf16: bool | None = None  # None: on a GPU
    compile: bool | None = None
    flex: bool = False  # flex attention
    save_seconds: float = 60.0
    rates: Rates = field(default_factory=Rates)
    mlflow: str = ""
    tell: Callable[[str], None] = lambda line: None
    point: Callable[[Mapping[str, Any]], None] = lambda seen: None  # of a curve, as it is found


@dataclass(frozen=True)
class Target:
    """What is evaluated on: whole at the end, in part along the way, and apart for tuning."""

    final: Packed  # passages
    owners: Counts  # of each passage, its document
    curve: Packed
    tuning: Packed | None
    pieces: int  # passages that were there
    leaking: int  # of them, left out


def validate(spec: StudySpec, means: Means) -> Reply | None:
    """Carry out a study, or go on with it, or find its trainings done. Of several processes the
    first has the answer."""
    needs.torch()
    from assay.scaling.proxy import results
    from assay.scaling.proxy.group import joined
    from assay.scaling.proxy.log import tracker

    check(spec)
    within(means, 0, "threads", "micro_batch")
    device = needs.device(means.device, means.threads)
    if means.flex:
        needs.check_flex(device, means.compile is not False)
    if ":/" in str(means.out):
        raise BadRequest(f"--out {means.out}: checkpoints need a local folder; copy it afterwards")
    storage.prepare(str(means.out))
    with joined(device.gpu) as group, ours(means.out, group.first):
        if means.shard and group.size == 1:
            raise BadTraining(
                "--shard: there is one process, which holds the whole model; start several with"
                " torchrun --nproc-per-node N -m assay.api validate ..."
            )
        reading = Reading(spec.text_column, None, spec.group_by)
        made, subset = documents.subset(spec.subset, reading)
        others = {name: documents.subset(uri, reading) for name, uri in spec.beside}
        raw = documents.pool(spec.raw, reading)
        beside = {name: other for name, (other, _) in others.items()}
        study = Study(spec, means, made, beside, device, group)
        study.claim(raw)
        if means.mlflow and group.first:
            study.tracker = tracker(means.mlflow)
        study.prepare(subset, raw, {name: pool for name, (_, pool) in others.items()})
        found = study.trainings()
        document = results.compared(study, found)
        return results.reply(study, found, document) if group.first else None


@contextmanager
def ours(out: Path, first: bool) -> Iterator[None]:
    """Nobody else trains here: the first process of a group holds the lock for all."""
    with storage.lock(str(out)) if first else nullcontext():
        yield


def check(spec: StudySpec) -> None:
    """Whatever can be refused before a text is read."""
    from assay.scaling.proxy.train import TrainSpec

    arming.checked(spec.arms, [name for name, _ in spec.beside])
    within(spec, 0, "tokens", "batch", "learning_rate", "at_params", "at_tokens")
    within(spec, 1, "sequence", "target_bytes")
    if spec.seeds < 1:
        raise BadTraining(f"--seeds {spec.seeds}: at least one, and three for an interval")
    if not spec.sizes:
        raise BadTraining("--sizes: name at least one, such as 1M,4M")
    if spec.at_tokens and not spec.at_params:
        raise BadTraining("--at-tokens is of a run whose size is asked about: give --at-params too")
    if spec.at_params and len(spec.sizes) < 2:
        raise BadTraining("--at-params: one size has no trend to follow: name more with --sizes")
    if not spec.raw or not spec.target:
        raise BadRequest(
            "a validation needs the corpus (--raw) and held-out target text (--target)"
        )
    if spec.activation_sparsity and spec.experts:
        raise BadTraining("--activation-sparsity is of dense models: leave --experts out")
    vocabulary = vocabularies.size(spec.tokenizer)
    for size in spec.sizes:
        plain = TrainSpec(size, 1, sequence=spec.sequence, feedforward=spec.feedforward)
        replace(plain, experts=spec.experts).shape(vocabulary)


def within(asked: Any, least: float, *names: str) -> None:
    for name in names:
        if not least <= getattr(asked, name) < math.inf:
            flag = name.replace("_", "-")
            raise BadTraining(f"--{flag} {getattr(asked, name)}: a number from {least:g} on")


class Study:
    """A study under way."""

    encoding: Encoding
    texts: Texts
    target: Target
    warnings: list[str]
    tracker: Any = None  # MLflow, where it is asked for

    def __init__(
        self, spec: StudySpec, means: Means, made: Manifest, beside: Mapping[str, Manifest],
        device: Any, group: Any,
    ):  # fmt: skip
        self.spec, self.means, self.manifest, self.beside = spec, means, made, beside
        self.device, self.group = device, group
        self.arms = arming.checked(spec.arms, tuple(beside))
        self.questions = choices.read(Path(spec.choices)) if spec.choices else ()
        self.folder = means.out / "trainings"
        self.warnings = []
        # Of the rates that are tried for the first seed, one is also its training.
        each = spec.seeds + len(spec.learning_rates) - 1
        self.progress = {"done": 0, "trainings": len(spec.sizes) * len(self.arms) * each}
        self._packed: dict[tuple[str, int], Packed] = {}
        self._peak: float | None = None
        self.trials: list[Record] = []  # trainings at rates that were not the best
        self.tried: dict[tuple[str, str], dict[float, float]] = {}  # (size, arm): factor, bits

    # Before the trainings ---------------------------------------------------------------

    def claim(self, raw: Pool) -> None:
        """Make the folder this study's, or make sure that it is."""
        asked = {
            **{k: v for k, v in asdict(self.spec).items() if k not in OTHERWISE},
            "subset": self.manifest.digest,
            "documents": len(raw),
            "bytes": int(raw.size.sum()),
            "target": [Path(uri).name for uri in self.spec.target],
            "tokenizer": vocabularies.identity(self.spec.tokenizer),
        }
        if self.beside:
            asked["beside"] = {name: one.digest for name, one in self.beside.items()}
        path = self.means.out / STUDY
        asked = json.loads(canonical(asked))
        if path.exists():
            was = json.loads(path.read_bytes())
            differing = [k for k in asked if asked[k] != was.get(k)]
            if differing:
                k = differing[0]
                raise OtherStudy(
                    f"{self.means.out}: holds another study ({k} was {was.get(k)!r}, now"
                    f" {asked[k]!r}): give another --out"
                )
        elif self.group.first:
            self.folder.mkdir(parents=True, exist_ok=True)
            storage.write_bytes(str(path), json.dumps(asked, indent=1).encode())
        self.group.wait()

    def prepare(self, subset: Pool, raw: Pool, beside: Mapping[str, Pool]) -> None:
        """The tokens, the texts of all arms, and a target that stands in none of them."""
        self.encoding = self._encoding(raw)
        most = max(self.tokens_of(size) for size in self.spec.sizes) * self.bytes_per_token(subset)
        if "cost" in self.arms:
            most *= 2
        seeds = range(self.spec.seeds)
        self.texts = arming.texts(self.arms, seeds, subset, raw, most, beside)
        self.target = self._target(Reading(self.spec.text_column), subset)
        self._warn_of_same_target()

    def _encoding(self, raw: Pool) -> Encoding:
        """Learned on a sample of the corpus, once for the study, where that is asked for."""
        wanted = vocabularies.to_learn(self.spec.tokenizer)
        if not wanted:
            return vocabularies.encoding(self.spec.tokenizer)
        path = self.means.out / LEARNED
        if self.group.first and not path.exists():
            self.means.tell(f"learning {wanted:,} tokens")
            sample = documents.uniform(raw, LEARNED_BYTES, LEARNED_SEED)
            vocabularies.learn(raw.texts(sample), wanted, path)
        self.group.wait()
        return vocabularies.encoding(str(path))

    def _target(self, reading: Reading, subset: Pool) -> Target:
        held = documents.pool(self.spec.target, reading)
        pieces, owners = cut(held, self.spec.target_bytes)
        together = dict.fromkeys(t for some in self.texts.of.values() for t in some)
        of_arms = pa.array(list(together), pa.large_binary())
        leaking = leaks.leaking(pieces, chain(subset.columns(), [of_arms]))
        kept = self._without(leaking, pieces, owners)
        tuning = None
        if len(self.spec.learning_rates) > 1:
            tuning, kept = apart(kept)
        if len({owner for _, owner in kept}) < 2:
            raise BadTraining(
                "fewer than two target documents are left to evaluate on: give more target text,"
                " or raise --target-bytes"
            )
        left = [text for text, _ in kept]
        return Target(
            final=pack(left, self.encoding),
            owners=np.array([owner for _, owner in kept]),
            curve=pack(left[::CURVE_EVERY], self.encoding),
            tuning=pack([text for text, _ in tuning], self.encoding) if tuning else None,
            pieces=len(pieces),
            leaking=int(leaking.sum()),
        )

    def _without(self, leaking: Any, pieces: list[bytes], owners: list[int]) -> Pieces:
        """The pieces that stand in no training text."""
        share, count = float(leaking.mean()), int(leaking.sum())
        said = (
            f"{count} of {len(pieces)} passages of the target share {leaks.WIDTH} words in a row"
            " with the subset or a control"
        )
        if share > MOST_LEAKING:
            raise LeakingTarget(
                f"{said}, so it would measure memory: give target text that is held out, or take"
                " it out of the corpus"
            )
        if count:
            self.warnings.append(f"{said}: they are left out of the evaluation")
        pairs = zip(pieces, owners, leaking, strict=True)
        return [(text, owner) for text, owner, bad in pairs if not bad]

    def _warn_of_same_target(self) -> None:
        """A target that the method has seen is no held-out target."""
        known = {
            shard["hash"]
            for one in (self.manifest, *self.beside.values())
            for target in one.request["inputs"]["target"].values()
            for shard in target
        }
        for stored in storage.listing(self.spec.target):
            if storage.fingerprint(stored.uri, stored.size) in known:
                self.warnings.append(
                    f"{stored.uri}: the selection was made for this very file, so it is not held"
                    " out: the gain may be larger than on new text of the kind"
                )

    def bytes_per_token(self, subset: Pool) -> float:
        """1 for bytes; of other tokens, measured on a few documents of the subset."""
        if self.encoding.name == "bytes":
            return 1.0
        some = subset.texts(documents.uniform(subset, 100_000, seed=0))
        packed = pack(some, self.encoding)
        return float(packed.bytes.sum() / max(1, len(packed.values)))

    # Trainings --------------------------------------------------------------------------

    def trainings(self) -> "Found":
        """Every training, made now or found: (arm, size) -> a record for each seed."""
        found: Found = {}
        for size in self.spec.sizes:
            for arm in self.arms:
                factor = self.best_factor(arm, size, found)
                found[arm, size] = [
                    self.training(arm, size, seed, factor, found) for seed in range(self.spec.seeds)
                ]
        return found

    def best_factor(self, arm: str, size: str, found: "Found") -> float:
        """The factor on the learning rate that is best on the tuning documents, for seed 0."""
        factors = self.spec.learning_rates
        if len(factors) == 1:
            return factors[0]
        tried = {f: self.training(arm, size, 0, f, found) for f in factors}
        lost = {f: float(one.content["tuning_bits_per_byte"]) for f, one in tried.items()}
        self.tried[size, arm] = lost
        best = min(factors, key=lambda f: lost[f])
        self.trials += [one for factor, one in tried.items() if factor != best]
        if best in (min(factors), max(factors)):
            self.warnings.append(
                f"{arm}, {size}: the best learning rate is at the end of those tried"
                f" ({best:g} times): widen --learning-rates"
            )
        return best

    def training(self, arm: str, size: str, seed: int, factor: float, found: "Found") -> "Record":
        from assay.scaling.proxy import log, train

        name = f"{arm}-{size}-s{seed}" + (f"-lr{factor:g}" if factor != 1 else "")
        if done := log.read(self.folder, name):
            return done
        self.progress["done"] = len(list(self.folder.glob("*-s*.json")))
        spec = self.train_spec(arm, size, seed, factor, found)
        if self.group.first:
            self.means.tell(f"training {name}: {spec.tokens:,} tokens")
        try:
            self._train(name, arm, spec)
        except RuntimeError as problem:
            raise train.explained(problem, spec, self.device) from problem
        self.group.wait()
        record = log.read(self.folder, name)
        assert record is not None
        if self.tracker is not None:
            log.track(self.tracker, record)
        return record

    def _train(self, name: str, arm: str, spec: "TrainSpec") -> None:
        from assay.scaling.proxy import log
        from assay.scaling.proxy.evaluate import surprise
        from assay.scaling.proxy.train import Place, Trainer

        checkpoint = self.folder / f"{name}.checkpoint"
        place = Place(
            self.device, checkpoint, self.means.save_seconds, self.group, self.means.shard
        )
        trainer = Trainer(spec, self.packed(arm, spec.seed), place)
        wanted = looks(trainer.steps)

        def watch(model: Any, step: int) -> Mapping[str, float] | None:
            if step not in wanted:
                return None
            seen = surprise(model, self.target.curve, trainer.where, spec.bf16)
            tokens = step * trainer.batch * spec.sequence
            point = {"tokens": tokens, "bits_per_byte": seen.bits_per_byte}
            if self.group.first:
                self.means.point({"training": name, "step": step, "steps": trainer.steps,
                                  "loss": trainer.latest, **point, **self.progress})  # fmt: skip
            return point

        kept = trainer.run(watch)
        about: dict[str, Any] = {"arm": arm, "size": spec.size, "seed": spec.seed}
        about["unique_tokens"] = min(len(trainer.stream.packed.values), spec.tokens)
        with trainer.held.together(trainer.model):
            seen = surprise(trainer.model, self.target.final, trainer.where, spec.bf16)
            about |= self._beside_the_loss(trainer)
        if self.group.first:
            if self._peak is None:
                self._peak = log.peak_flops(self.device)
            trained = log.Trained(spec, self.encoding.vocabulary, kept, seen)
            log.write(self.folder, name, trained, self.device, self._peak, about)
            checkpoint.unlink(missing_ok=True)

    def _beside_the_loss(self, trainer: "Trainer") -> dict[str, Any]:
        """What else is asked of a model that is trained."""
        from assay.scaling.proxy import sparsity
        from assay.scaling.proxy.evaluate import answered, surprise

        model, where, bf16 = trainer.model, trainer.where, trainer.spec.bf16
        found: dict[str, Any] = {}
        if self.target.tuning is not None:
            tuned = surprise(model, self.target.tuning, where, bf16)
            found["tuning_bits_per_byte"] = tuned.bits_per_byte
        if self.spec.activation_sparsity:
            found["activation"] = asdict(sparsity.measured(model, self.target.curve, where))
        if self.questions:
            found |= answered(model, self.questions, self.encoding, where, bf16)
        return found

    def train_spec(
        self, arm: str, size: str, seed: int, factor: float, found: "Found"
    ) -> "TrainSpec":
        from assay.scaling.proxy.train import LEARNING_RATE, TrainSpec

        asked, gpu = self.spec, self.device.gpu
        spec = TrainSpec(
            size=size,
            tokens=int(self.tokens_of(size)),
            seed=seed,
            sequence=asked.sequence,
            learning_rate=(asked.learning_rate or LEARNING_RATE) * factor,
            feedforward=asked.feedforward,
            tied=asked.tied,
            experts=asked.experts,
            bf16=gpu if self.means.bf16 is None else self.means.bf16,
            micro_batch=self.means.micro_batch,
            compile=gpu if self.means.compile is None else self.means.compile,
            flex=self.means.flex,
        )
        # The batch of every arm is that of the plain token budget.
        batch = asked.batch or spec.batch_of(spec.shape(self.encoding.vocabulary))
        spec = replace(spec, batch=batch)
        return (
            replace(spec, tokens=spec.tokens + self.extra(size, found)) if arm == "cost" else spec
        )

    def tokens_of(self, size: str) -> float:
        from assay.scaling.proxy.train import TrainSpec, parameters

        if self.spec.tokens:
            return self.spec.tokens
        plain = TrainSpec(size, 1, sequence=self.spec.sequence)
        return TOKENS_PER_PARAMETER * parameters(plain, self.encoding.vocabulary)

    def extra(self, size: str, found: "Found") -> int:
        """Tokens that the selection would have trained: in its time, at the subset trainings'
        speed, or with its FLOPs where it has counted them, whichever are more."""
        records = [one.content for one in found[SUBSET, size]]
        speed = float(np.median([one["tokens_per_second"] for one in records]))
        each = float(records[0]["flops"]) / float(records[0]["tokens"])
        return int(max(self.selection_seconds * speed, self.selection_flops / each))

    @property
    def selection_seconds(self) -> float:
        return float(self.manifest.run["seconds"])

    @property
    def selection_flops(self) -> float:
        """As its method has counted them; 0 where it has not."""
        return float(self.manifest.content.get("appraisal", {}).get("flops", 0.0))

    def packed(self, arm: str, seed: int) -> Packed:
        if (arm, seed) not in self._packed:
            self._packed.clear()  # one at a time: a text may be large
            self._packed[arm, seed] = pack(
                self.texts.of[arm, seed], self.encoding, PIECE * self.spec.sequence
            )
        return self._packed[arm, seed]


if TYPE_CHECKING:
    Found = dict[tuple[str, str], list[Record]]


def looks(steps: int) -> set[int]:
    """Steps after which the target is looked at: before the learning rate decays, where curves of
    different lengths can be compared."""
    from assay.scaling.proxy.optimise import DECAY

    last = max(1, int(steps * (1 - DECAY)))
    spread = np.geomspace(max(1, last // 10), last, EVALUATIONS)
    return {round(float(step)) for step in spread}


def cut(held: Pool, budget: int) -> tuple[list[bytes], list[int]]:
    """Passages of the target and their documents' numbers: of each document its beginning, as much
    as the budget leaves each; of more documents than the budget has room for, a sample."""
    each = max(PASSAGE, budget // len(held))
    order = np.argsort(mix(held.key, TARGET_SAMPLE), kind="stable")
    within = np.cumsum(np.minimum(held.size, each)[order]) <= budget
    within[:2] = True
    chosen = np.zeros(len(held), bool)
    chosen[order[within]] = True
    found = [
        (piece, number)
        for number, text in enumerate(held.texts(chosen))
        for piece in passages(whole(text, each))
    ]
    return [piece for piece, _ in found], [number for _, number in found]


def passages(text: bytes) -> Iterator[bytes]:
    """Pieces of at most PASSAGE bytes, which end at a space where there is one."""
    while len(text) > PASSAGE:
        space = text.rfind(b" ", PASSAGE // 2, PASSAGE)
        end = space if space > 0 else len(whole(text, PASSAGE))
        yield text[:end]
        text = text[end:]
    if text:
        yield text


def whole(text: bytes, most: int) -> bytes:
    """The beginning of a text, not cut within a character of UTF-8: half of one is no text, and
    would be another number of bytes to every tokenizer."""
    while 0 < most < len(text) and text[most] & 0xC0 == 0x80:
        most -= 1
    return text[:most]


def apart(kept: Pieces) -> tuple[Pieces, Pieces]:
    """Passages to tune on, and the others: no document is in both."""
    tuning = [pair for pair in kept if pair[1] % TUNING_SHARE == 0]
    return tuning, [pair for pair in kept if pair[1] % TUNING_SHARE]
