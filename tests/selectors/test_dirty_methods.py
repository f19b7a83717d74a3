"""Every method over every file of the dirty set: it selects, or says in words why it cannot."""

import os

import psutil
import pytest

from assay.selectors import catalog, manifest, selection
from assay.selectors.errors import AssayError, BadBudget, NothingToRead
from assay.selectors.spec import Spec

pytestmark = pytest.mark.slow

OF_METHODS = (BadBudget, NothingToRead)  # a method may rule out all that it can read
MOST = 1_500_000_000  # bytes; one document of the set has 50 MB


def tried(method, path, target, out):
    """The manifest, or the error that tells why there is none."""
    asked = Spec(
        method=method,
        raw=(str(path),),
        target={"sums": (str(target),)},
        budget="50%",
        out=str(out),
    )
    try:
        return selection.select(asked)
    except AssayError as told:
        return told


@pytest.fixture(scope="module")
def by_uniform(dirty, target, tmp_path_factory):
    """What the simplest method does with each file."""
    out = tmp_path_factory.mktemp("uniform")
    paths = [path for path in sorted(dirty.iterdir()) if path.name != "README.md"]
    return {path: tried("uniform", path, target, out / path.name) for path in paths}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("method", [name for name in catalog.names() if name != "uniform"])
def test_what_can_be_read_is_read_by_every_method(by_uniform, target, tmp_path, method):
    before = psutil.Process(os.getpid()).memory_info().rss
    for number, (path, plain) in enumerate(by_uniform.items()):
        found = tried(method, path, target, tmp_path / str(number))
        if isinstance(plain, AssayError):
            assert type(found) is type(plain), f"{path.name}: {found}"
        elif isinstance(found, AssayError):
            assert isinstance(found, OF_METHODS), f"{path.name}: {found}"
        else:
            assert manifest.verify(found) == [], path.name
            assert found.content["corpus"] == plain.content["corpus"], path.name
    assert psutil.Process(os.getpid()).memory_info().rss - before < MOST
