"""What a training needs of the machine: torch, a device, memory. Nothing here imports torch by
being imported."""

import os
import platform
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from assay.scaling.architecture import Shape, count
from assay.scaling.proxy.errors import BadTraining, MissingTorch, NoAccelerator, TooLittleMemory
from assay.scaling.proxy.ladder import LARGE_VOCABULARY, LOGITS

FLOAT = 4  # bytes
STATES = 4 * FLOAT  # weight, gradient, and at most two moments
SPARE = 0.4e9  # bytes: torch itself and its buffers, measured here on a CPU


def there() -> None:
    """Nothing where torch is installed, else a word on how to get it; imports nothing."""
    if find_spec("torch") is None:
        raise MissingTorch("trainings need torch, which is an extra: pip install 'assay[proxy]'")


def torch() -> Any:
    """The library, or a word on how to get it."""
    there()
    import torch as found

    return found


@dataclass(frozen=True)
class Device:
    """Where a training runs. `kind` is "cpu" or "cuda"."""

    kind: str
    name: str
    memory: float  # bytes that are free
    threads: int

    @property
    def gpu(self) -> bool:
        return self.kind == "cuda"


def device(wanted: str = "auto", threads: int = 0) -> Device:
    """The device asked for: "auto", "cpu" or "cuda"."""
    library = torch()
    there = library.cuda.is_available()
    if wanted not in ("auto", "cpu", "cuda"):
        raise NoAccelerator(f"--device {wanted}: it is one of auto, cpu, cuda")
    if wanted == "cuda" and not there:
        raise NoAccelerator(
            "--device cuda: torch sees no GPU here"
            f" (torch {library.__version__}): ask for --device cpu, or install a CUDA build"
        )
    if threads:
        library.set_num_threads(threads)
    used = int(library.get_num_threads())
    if there and wanted != "cpu":
        free, _ = library.cuda.mem_get_info()
        return Device("cuda", library.cuda.get_device_name(), float(free), used)
    return Device("cpu", processor(), free_memory(), used)


def processor() -> str:
    """The processor's own name where the system tells it."""
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def free_memory() -> float:
    """Bytes that a process may still take: what the system, and its control group, leave."""
    found = [float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))]
    try:
        with open("/proc/meminfo") as lines:
            named = dict(line.split(":", 1) for line in lines)
        found = [float(named["MemAvailable"].split()[0]) * 1024]
    except (OSError, KeyError, ValueError):
        pass
    try:
        with (
            open("/sys/fs/cgroup/memory.max") as limit,
            open("/sys/fs/cgroup/memory.current") as used,
        ):
            found.append(float(limit.read()) - float(used.read()))  # "max" is no number
    except (OSError, ValueError):
        pass
    return min(found)


def memory_of(shape: Shape, sequences: int, parts: int = 1) -> float:
    """Bytes of a training with so many sequences at once, in single precision; half as much of
    them in bf16. So many processes share weights, gradients and moments. Kept per token and layer:
    about 16 widths and 5 feed-forwards, counted from the graph; the logits twice, or of a large
    vocabulary a part at a time."""
    tokens = sequences * shape.sequence
    layer = 16 * shape.width + 5 * shape.feedforward
    logits = 3 * tokens * shape.vocabulary
    if shape.vocabulary >= LARGE_VOCABULARY:
        logits = 3 * min(LOGITS, tokens * shape.vocabulary)
    activations = FLOAT * (tokens * shape.layers * layer + logits)
    mask = FLOAT * sequences * shape.sequence**2
    return STATES * count(shape).total / parts + activations + mask


def check_flex(where: Device, compiled: bool) -> None:
    if not where.gpu:
        raise NoAccelerator(f"--flex: flex attention is for a GPU; leave it out on {where.name}")
    if not compiled:
        raise BadTraining("--flex: flex attention has to be compiled; leave --no-compile out")


def check_memory(shape: Shape, sequences: int, where: Device, size: str, parts: int = 1) -> None:
    """Before hours are spent."""
    need = memory_of(shape, sequences, parts) + (0 if where.gpu else SPARE)
    if need > where.memory:
        raise TooLittleMemory(
            f"the {size} model with {sequences} sequences of {shape.sequence} at once needs about"
            f" {need / 1e9:.1f} GB; {where.name} has {where.memory / 1e9:.1f} GB free: take a"
            " smaller --size, or fewer at once with --micro-batch"
        )
