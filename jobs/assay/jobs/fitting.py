"""A fit as a job: runs in, one JSON document out."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any

from assay.jobs.roots import Roots
from assay.selectors import storage
from assay.selectors.errors import BadRequest

LARGEST = 200_000_000  # bytes of a table of runs


def fitted(request: Mapping[str, Any], roots: Roots) -> dict[str, Any]:
    """The document of `assay fit`, for the request in a job's row."""
    from assay.scaling.fit_commands import fit_run
    from assay.scaling.fitting import StudySpec
    from assay.scaling.observations import Conventions
    from assay.scaling.registry import find

    law = find(request["law"])
    said = Conventions(params=request.get("counted", ""), loss=request.get("loss_unit", ""))
    runs = _runs(request, roots, said)
    names = {one.name for one in fields(StudySpec)}
    spec = StudySpec(**{name: value for name, value in request.items() if name in names})
    return plain(fit_run(law, runs, spec).document)


def _runs(request: Mapping[str, Any], roots: Roots, said: Any) -> Any:
    from assay.scaling.errors import BadRuns
    from assay.scaling.reading import from_table, read

    mapping, scale = request.get("map") or {}, request.get("scale") or {}
    if (rows := request.get("rows")) is not None:
        return from_table(_table(rows), mapping, said, "the request's rows", scale)
    uri = request["runs"]
    roots.check([uri])
    if storage.stat(uri).size > LARGEST:
        raise BadRequest(f"{uri}: a table of runs has at most {LARGEST} bytes")
    with tempfile.TemporaryDirectory(prefix="assay-") as folder:
        path = Path(folder) / PurePosixPath(uri).name
        path.write_bytes(storage.read_bytes(uri))
        try:
            return read(path, mapping, said, scale)
        except BadRuns as problem:
            raise BadRuns(str(problem).replace(str(path), uri)) from problem


def _table(rows: list[dict[str, Any]]) -> Any:
    import polars as pl

    from assay.scaling.errors import BadRuns
    from assay.scaling.reading import frame_of

    try:
        return frame_of(rows)
    except (ValueError, TypeError, pl.exceptions.PolarsError) as cause:
        raise BadRuns(f"the request's rows are no table of runs: {cause}") from cause


def plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has it: no infinity, no numpy."""
    found: dict[str, Any] = json.loads(json.dumps(document))
    return found
