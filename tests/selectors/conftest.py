"""Corpora to read: real hostile files where they are at hand, small ones made on the spot."""

import copy
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.native import kernels
from assay.selectors.records import Batch


@pytest.fixture(scope="session")
def dirty():
    """The folder of files that a reader meets in practice."""
    beside = Path(__file__).parents[2].parent / "shared"
    folder = Path(os.environ.get("ASSAY_SHARED", beside)) / "data" / "dirty"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: set ASSAY_SHARED to the folder with the shared data")
    return folder


@pytest.fixture
def shelf(tmp_path):
    """Writes small Parquet files."""

    def put(name, columns, **how):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        pq.write_table(table, path, **how)
        return str(path)

    return put


class Memory:
    """Texts in memory: a batch of them, and the fold of a selection over them."""

    @staticmethod
    def batch(texts, first=0):
        ids = pa.array([str(first + n) for n in range(len(texts))], pa.string())
        rows = np.arange(len(texts))
        return Batch(pa.array(texts, pa.string()), ids, kernels.fingerprint(ids), rows, 0)

    @classmethod
    def fold(cls, raw=(), target=(), seed=0):
        return MemoryFold({"raw": cls.batch(raw), "target": cls.batch(target)}, seed)


@dataclass
class MemoryFold:
    streams: dict
    seed: int
    targets: tuple = ("target",)

    def __call__(self, stream, empty):
        total = copy.deepcopy(empty)
        total.add(self.streams[stream])
        return total


@pytest.fixture
def memory():
    return Memory
