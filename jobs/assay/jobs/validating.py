"""A validation as a job: small trainings in a process of their own, whose curves are events.

What is finished and every checkpoint lie in the output folder, so whoever goes on, also after a
kill, trains only what is left.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from assay.jobs.errors import Outside
from assay.jobs.fitting import plain
from assay.jobs.roots import Roots
from assay.selectors import storage
from assay.selectors.stores.places import place_of

SAVED = 20.0  # seconds between checkpoints: what a kill costs at most
WAYS = ("threads", "micro_batch")  # with what it is carried out; the rest is what is asked

Told = Mapping[str, Any]


def validated(
    request: Mapping[str, Any], roots: Roots, tell: Callable[[Told], None]
) -> dict[str, Any]:
    """The document of `assay validate`, for the request in a job's row; its files in `out`."""
    from assay.scaling.proxy.validate import TITLE, Means, StudySpec, validate
    from assay.scaling.reporting import written

    check(request, roots)
    for uris in ([request["subset"]], request["raw"], request["target"]):
        roots.check_found(uris)
    names = {one.name for one in fields(StudySpec)}
    asked: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in request.items() if k in names
    }
    folder = Path(place_of(request["out"]).key)
    ways = {name: request[name] for name in WAYS if name in request}
    means = Means(out=folder, save_seconds=SAVED, point=tell, **ways)
    spec = StudySpec(**asked)
    reply = validate(spec, means)
    assert reply is not None  # there is one process
    for name, content in written(reply, TITLE, spec.words).items():
        storage.write_bytes(storage.join(str(folder), name), content)
    return plain(reply.document)


def check(request: Mapping[str, Any], roots: Roots) -> None:
    """Nothing but the storage roots is touched; checkpoints and tables want local files."""
    roots.check([request["subset"], *request["raw"], *request["target"]])
    roots.check_output(request["out"])
    _local(request["out"], "out: checkpoints need a folder")
    if file := request.get("choices"):
        roots.check([file])
        _local(file, "choices: a file of questions has to lie")
    if (name := request.get("tokenizer", "bytes")) and "/" in name:
        roots.check([name])
        _local(name, "tokenizer: its file has to lie")


def _local(uri: str, what: str) -> None:
    if not place_of(uri).local:
        raise Outside(f"{what} on this server's own disk, not at {uri[:200]}")
