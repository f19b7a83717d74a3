"""An endpoint to be rated by."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from stub_endpoint import Stub


@pytest.fixture
def stub():
    made = Stub()
    yield made
    made.close()
