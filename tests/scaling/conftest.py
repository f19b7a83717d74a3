"""Where the tables of the papers lie: not all of them may be handed on, so not all are here."""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # contract.py: what the suites share

ROOT = HERE.parents[1]


@pytest.fixture(scope="session")
def shared():
    """A path inside the shared folder of law tables; skips where there is none."""
    folder = Path(os.environ.get("ASSAY_SHARED", ROOT.parent / "shared")) / "data" / "laws"

    def find(*parts):
        path = folder.joinpath(*parts)
        if not path.exists():
            pytest.skip(
                f"{'/'.join(parts)} is not in this checkout; set ASSAY_SHARED to its folder"
            )
        return path

    return find
