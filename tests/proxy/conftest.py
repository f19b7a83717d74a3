"""Trainings on one thread: a machine that is shared makes more of them slower, not faster."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # reference.py


@pytest.fixture(autouse=True)
def _one_thread():
    torch = pytest.importorskip("torch", reason="trainings need the extra 'proxy'")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
