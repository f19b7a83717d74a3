"""What is kept of a training: one JSON document, written last, and its curves as Parquet.

NAME.curve.parquet       step, loss (nats per token), share of the peak learning rate
NAME.documents.parquet   nats and bytes of every target document, under the finished model
NAME.json                all else; where it stands, the training is finished
"""

import json
import platform
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assay.scaling.hardware import TABLE
from assay.scaling.proxy import needs
from assay.scaling.proxy.errors import BadTraining
from assay.scaling.proxy.evaluate import Surprise
from assay.scaling.proxy.needs import Device
from assay.scaling.proxy.train import Log, TrainSpec, flops, parameters
from assay.selectors import storage

PACKAGES = ("assay", "numpy", "torch")


@dataclass(frozen=True)
class Trained:
    """What a training came to."""

    spec: TrainSpec
    vocabulary: int
    log: Log
    surprise: Surprise


@dataclass(frozen=True)
class Record:
    """A finished training."""

    content: Mapping[str, Any]
    surprise: Surprise

    @property
    def bits_per_byte(self) -> float:
        return self.surprise.bits_per_byte

    @property
    def curve(self) -> list[dict[str, float]]:
        """Evaluations along the way: tokens, bits_per_byte, share of the peak learning rate."""
        found: list[dict[str, float]] = self.content["evaluations"]
        return found


def write(
    folder: Path,
    name: str,
    trained: Trained,
    device: Device,
    peak: float,
    about: Mapping[str, Any],
) -> Record:
    """Everything about a training; the JSON document last."""
    spec, log, found, vocabulary = trained.spec, trained.log, trained.surprise, trained.vocabulary
    curve = pl.DataFrame(log.steps)
    documents = pl.DataFrame({"nats": found.nats, "bytes": found.bytes})
    for kind, frame in (("curve", curve), ("documents", documents)):
        content = BytesIO()
        frame.write_parquet(content)
        storage.write_bytes(str(folder / f"{name}.{kind}.parquet"), content.getvalue())
    shape = spec.shape(vocabulary)
    tokens = spec.steps(shape) * spec.batch_of(shape) * spec.sequence
    work = flops(spec, vocabulary)
    record = {
        "name": name,
        **about,
        "spec": asdict(spec),
        "shape": asdict(shape),
        "parameters": parameters(spec, vocabulary),
        "steps": spec.steps(shape),
        "batch": spec.batch_of(shape),
        "tokens": tokens,
        "flops": work,
        "seconds": log.seconds,
        "tokens_per_second": tokens / max(log.seconds, 1e-9),
        "flops_utilisation": work / max(log.seconds, 1e-9) / peak if peak else None,
        "peak_flops": peak or None,
        "peak_memory": peak_memory(device),
        "final_training_loss": float(np.mean([row["loss"] for row in log.steps[-10:]])),
        "bits_per_byte": found.bits_per_byte,
        "evaluations": log.evaluations,
        "device": asdict(device),
        "versions": {p: version(p) for p in PACKAGES} | {"python": platform.python_version()},
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    text = json.dumps(record, indent=1, allow_nan=False)
    storage.write_bytes(str(folder / f"{name}.json"), text.encode())
    return Record(record, found)


def read(folder: Path, name: str) -> Record | None:
    """A finished training; None where it is not finished."""
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    documents = pl.read_parquet(folder / f"{name}.documents.parquet")
    found = Surprise(documents["nats"].to_numpy(), documents["bytes"].to_numpy())
    return Record(json.loads(path.read_bytes()), found)


def peak_memory(device: Device) -> float:
    """Bytes, at most: of the GPU, or of this process."""
    if device.gpu:
        return float(needs.torch().cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def peak_flops(device: Device) -> float:
    """FLOP/s at best: of a known GPU by its maker; of a CPU, its own product of two matrices."""
    if device.gpu:
        known = [h for name, h in TABLE.items() if name.split("-")[0] in device.name]
        return known[0].peak if known else 0.0
    torch = needs.torch()
    side = 1024
    a, fastest = torch.ones(side, side), 0.0
    for _ in range(5):
        begun = time.perf_counter()
        a @ a
        fastest = max(fastest, 2 * side**3 / (time.perf_counter() - begun))
    return float(fastest)


def tracker(uri: str) -> Any:
    """MLflow, at a server or store that answers; asked before hours are spent."""
    try:
        import mlflow  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as cause:
        raise BadTraining(
            "--mlflow needs the package mlflow: pip install 'assay[mlflow]'"
        ) from cause
    try:
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment("assay-validate")
    except mlflow.exceptions.MlflowException as cause:
        raise BadTraining(f"--mlflow {uri}: {cause}") from cause
    return mlflow


def track(library: Any, record: Record) -> None:
    """One training as a run of MLflow's."""
    content = record.content
    with library.start_run(run_name=content["name"]):
        library.log_params({"arm": content["arm"], **content["spec"]})
        for row in content["evaluations"]:
            library.log_metric("bits_per_byte", row["bits_per_byte"], step=int(row["step"]))
        last = int(content["steps"])
        library.log_metric("bits_per_byte", record.bits_per_byte, step=last)
        for key in ("tokens_per_second", "flops", "seconds", "peak_memory"):
            library.log_metric(key, content[key])
