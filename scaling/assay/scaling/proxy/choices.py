"""Questions with several answers: how probable a model finds the right one.

CORRECT_PROB, character-normalised: exp(log probability of the right answer / its characters), the
mean over questions. Of small models it ranks data sets better than accuracy does (Magnusson et al.
2025, DataDecide, arXiv 2504.11393); accuracy by the same normalised score is kept beside it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.scaling.proxy.errors import BadTraining
from assay.scaling.proxy.tokens import IGNORED, Encoding, Tokens


@dataclass(frozen=True)
class Question:
    """A prompt, its answers, and which of them is right."""

    prompt: bytes
    answers: tuple[bytes, ...]
    right: int


def read(path: Path) -> tuple[Question, ...]:
    """JSON lines or Parquet with the columns prompt, choices (texts) and answer (from 0)."""
    rows = parquet(path) if path.suffix == ".parquet" else list(json_lines(path))
    if not rows:
        raise BadTraining(f"--choices {path}: it holds no question")
    return tuple(question(row, f"--choices {path}, row {n}") for n, row in enumerate(rows, 1))


def parquet(path: Path) -> list[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_table(path).to_pylist())
    except (OSError, pa.ArrowInvalid) as cause:
        raise BadTraining(f"--choices {path}: {cause}") from cause


def json_lines(path: Path) -> Iterator[Any]:
    try:
        for line in path.read_text("utf-8").splitlines():
            if line.strip():
                yield json.loads(line)
    except (OSError, ValueError) as cause:
        raise BadTraining(f"--choices {path}: {cause}") from cause


def question(row: Any, where: str) -> Question:
    try:
        answers = tuple(str(answer).encode() for answer in row["choices"])
        found = Question(str(row["prompt"]).encode(), answers, int(row["answer"]))
    except (KeyError, TypeError, ValueError) as cause:
        raise BadTraining(
            f"{where}: a question has a prompt, choices (a list of texts) and an answer (the place"
            " of the right one, from 0)"
        ) from cause
    if not 0 <= found.right < len(answers) or not all(answers):
        raise BadTraining(f"{where}: the answer {found.right} is none of {len(answers)} choices")
    return found


@dataclass(frozen=True)
class Row:
    """One answer behind its prompt, as a model is shown it."""

    inputs: Tokens
    targets: Tokens  # IGNORED but for the answer
    question: int
    answer: int
    characters: int


def rows(questions: tuple[Question, ...], how: Encoding, length: int) -> Iterator[Row]:
    """Each in a row of its own; of a long prompt the end is kept."""
    for number, one in enumerate(questions):
        prompt = how.encode(one.prompt)
        for place, answer in enumerate(one.answers):
            tail = how.encode(answer)[:length]
            run = np.concatenate([np.array([how.begin], np.int32), prompt, tail])[-length - 1 :]
            inputs = np.full(length, how.begin, np.int32)
            targets = np.full(length, IGNORED, np.int32)
            inputs[: len(run) - 1] = run[:-1]
            targets[len(run) - 1 - len(tail) : len(run) - 1] = tail
            yield Row(inputs, targets, number, place, len(answer.decode("utf-8", "replace")))


def scores(questions: tuple[Question, ...], asked: list[Row], nats: Any) -> dict[str, float]:
    """`nats` of each row's answer -> correct_prob and accuracy."""
    normalised = [-lost / row.characters for lost, row in zip(nats, asked, strict=True)]
    best: dict[int, tuple[float, int]] = {}
    right = np.zeros(len(questions))
    for value, row in zip(normalised, asked, strict=True):
        best[row.question] = max(best.get(row.question, (-np.inf, -1)), (value, row.answer))
        if row.answer == questions[row.question].right:
            right[row.question] = np.exp(value)
    hits = [best[number][1] == one.right for number, one in enumerate(questions)]
    return {"correct_prob": float(right.mean()), "accuracy": float(np.mean(hits))}
