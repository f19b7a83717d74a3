"""The house: arrows point one way, and the standard library stays itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ["native", "selectors", "scaling", "jobs", "api"]
# clients.py: AWS_* and their like, as every client of a cloud reads them.
READERS = ("settings.py", "clients.py")
SIDE = {"migrations": {"migrations"}}  # used by jobs and api, uses nothing


def portions() -> list[str]:
    return [name for name in [*FLOORS, *SIDE] if (ROOT / name / "assay" / name).is_dir()]


def sources(portion: str) -> list[Path]:
    return sorted((ROOT / portion / "assay").rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The portions of assay that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a name lives"
            names = [node.module or ""]
            if node.module == "assay":
                names = [f"assay.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("assay.")}
    return found


@pytest.mark.parametrize("portion", portions())
def test_imports_point_down(portion):
    below = set(FLOORS[: FLOORS.index(portion) + 1]) if portion in FLOORS else SIDE[portion]
    if portion in ("jobs", "api"):
        below |= set(SIDE)
    for path in sources(portion):
        assert imported(path) <= below, f"{path} imports from above"


def test_no_top_folder_hides_the_standard_library():
    done = subprocess.run(
        [sys.executable, "-c", "import asyncio, subprocess, selectors; print(selectors.__file__)"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(ROOT) not in done.stdout
    for portion in portions():
        assert not (ROOT / portion / "__init__.py").exists()
        assert not (ROOT / portion / "assay" / "__init__.py").exists()
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("portion", portions())
def test_no_file_is_named_like_a_standard_module(portion):
    stems = {path.stem for path in sources(portion)} - {"__init__", "__main__"}
    assert not stems & sys.stdlib_module_names


def test_only_the_faces_read_the_environment():
    for portion in portions():
        for path in sources(portion):
            if path.name in READERS:
                continue
            text = path.read_text()
            assert "os.environ" not in text and "getenv" not in text, path
