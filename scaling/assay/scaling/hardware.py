"""Accelerators: what they can do at most, what they hold and what they draw, as their makers say.

Peak rates are dense bf16 with 32-bit accumulation; brochures print twice that, for 2:4 sparsity.
`system_watts` is the node's maximum over its accelerators: host, network cards and fans included.
"""

from dataclasses import dataclass

from assay.scaling.errors import OutOfReach


@dataclass(frozen=True)
class Hardware:
    """One accelerator, as part of its node."""

    name: str
    peak: float  # FLOP/s, bf16 dense
    memory: float  # bytes
    watts: float  # of the board
    system_watts: float  # of the node, per accelerator; the board's where no node is published
    node: int  # accelerators that share the fast links
    source: str


GB = 1e9
TABLE = {
    h.name: h
    for h in (
        Hardware(
            "A100-80GB",
            312e12,
            80 * GB,
            400,
            6500 / 8,
            8,
            "NVIDIA A100 SXM datasheet; DGX A100 datasheet, 6.5 kW",
        ),
        Hardware(
            "H100",
            989.4e12,
            80 * GB,
            700,
            10200 / 8,
            8,
            "NVIDIA H100 SXM5 white paper; DGX H100 datasheet, 10.2 kW",
        ),
        Hardware(
            "H200",
            989.4e12,
            141 * GB,
            700,
            10200 / 8,
            8,
            "NVIDIA H200 SXM datasheet; DGX H200 datasheet, 10.2 kW",
        ),
        Hardware(
            "B200",
            2250e12,
            180 * GB,
            1000,
            14300 / 8,
            8,
            "NVIDIA HGX B200, 1,000 W; DGX B200 datasheet, 14.3 kW, 1,440 GB for 8",
        ),
        Hardware("MI300X", 1307.4e12, 192 * GB, 750, 750, 8, "AMD Instinct MI300X datasheet"),
        Hardware("L40S", 362e12, 48 * GB, 350, 350, 1, "NVIDIA L40S datasheet"),
    )
}

# Model FLOPs utilisation. Chowdhery et al. 2022 (PaLM, arXiv 2204.02311) reached 46.2 %, Llama 3
# (arXiv 2407.21783, table 4) 38 to 43 % on 8 to 16 thousand H100.
USUAL_MFU = 0.40
# Uptime Institute, Global Data Center Survey 2023: industry average.
USUAL_PUE = 1.58


def find(name: str) -> Hardware:
    """By name, capital letters or not."""
    for known, hardware in TABLE.items():
        if known.lower() == name.lower():
            return hardware
    raise OutOfReach(f"no accelerator {name!r} in the table; it has {', '.join(TABLE)}")
