"""What every finding is made of: sides, sizes, and numbers that do not depend on the processor."""

from assay.selectors.records import Counts

SIDES = ("dropped", "kept")
SIZES = ("documents", "bytes", "tokens")
NAMED = 10  # documents named by a finding


def sized(row: Counts) -> dict[str, int]:
    return dict(zip(SIZES, (int(value) for value in row), strict=True))


def rounded(value: float) -> float:
    """Six significant digits: what differs between processors comes after them."""
    return float(f"{value:.6g}")
