"""What a decoder does between its matrix products, on a CPU; see the docstrings.

Matrices are float32 and of any library that speaks DLPack, torch's tensors among them.
"""

from typing import Any

def norm(
    x: Any, head: int, cosine: Any, sine: Any, y: Any, scale: Any, threads: int = 1
) -> None: ...
def add_norm(x: Any, more: Any, total: Any, y: Any, scale: Any, threads: int = 1) -> None: ...
def norm_back(
    dy: Any,
    y: Any,
    scale: Any,
    head: int,
    cosine: Any,
    sine: Any,
    more: Any,
    dx: Any,
    threads: int = 1,
) -> None: ...
def gate(gate: Any, up: Any, out: Any, threads: int = 1) -> None: ...
def gate_back(gate: Any, up: Any, dout: Any, dgate: Any, dup: Any, threads: int = 1) -> None: ...
def attend(q: Any, k: Any, v: Any, starts: Any, out: Any, logs: Any, threads: int = 1) -> None: ...
def attend_back(
    dout: Any,
    q: Any,
    k: Any,
    v: Any,
    out: Any,
    logs: Any,
    starts: Any,
    dq: Any,
    dk: Any,
    dv: Any,
    threads: int = 1,
) -> None: ...
def _force_simd(name: str) -> str: ...
