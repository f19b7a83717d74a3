"""What a run costs: hours, energy and money, from FLOPs and a stated utilisation.

    bill = price_of(flops, Rates(find("H100"), accelerators=1024, dollars_per_hour=2.5))

Nothing is guessed silently: the share of the peak that is reached (MFU), the data centre's
overhead (PUE) and the price of an hour are arguments; the first two have sourced defaults
(hardware.py), the price has none, because no price stays true for a year.
"""

from dataclasses import dataclass, field

from assay.scaling.errors import OutOfReach
from assay.scaling.hardware import USUAL_MFU, USUAL_PUE, Hardware, find

HOUR = 3600.0


@dataclass(frozen=True)
class Rates:
    """The machine and the terms on which it is had."""

    hardware: Hardware = field(default_factory=lambda: find("H100"))
    accelerators: int = 8
    mfu: float = USUAL_MFU
    pue: float = USUAL_PUE
    dollars_per_hour: float | None = None  # of one accelerator

    def __post_init__(self) -> None:
        if self.accelerators < 1:
            raise OutOfReach(f"{self.accelerators} accelerators: at least one is needed")
        if not 0 < self.mfu <= 1:
            raise OutOfReach(f"an MFU of {self.mfu:g}: it is a share of the peak, above 0, up to 1")
        if not self.pue >= 1:
            raise OutOfReach(f"a PUE of {self.pue:g}: it is at least 1, the machines themselves")
        if self.dollars_per_hour is not None and not self.dollars_per_hour > 0:
            raise OutOfReach(f"{self.dollars_per_hour:g} dollars an hour: a price is positive")

    @property
    def speed(self) -> float:
        """FLOPs that one accelerator does in an hour."""
        return self.hardware.peak * self.mfu * HOUR


@dataclass(frozen=True)
class Bill:
    """Of one run."""

    flops: float
    accelerator_hours: float
    hours: float
    kilowatt_hours: float
    dollars: float | None


def price_of(flops: float, rates: Rates) -> Bill:
    """Hours, energy and money of so many FLOPs; energy at the node's full draw times PUE."""
    accelerator_hours = flops / rates.speed
    watts = rates.hardware.system_watts * rates.pue
    dollars = rates.dollars_per_hour
    return Bill(
        flops=flops,
        accelerator_hours=accelerator_hours,
        hours=accelerator_hours / rates.accelerators,
        kilowatt_hours=accelerator_hours * watts / 1e3,
        dollars=None if dollars is None else accelerator_hours * dollars,
    )


def flops_for_hours(accelerator_hours: float, rates: Rates) -> float:
    return accelerator_hours * rates.speed


def flops_for_money(dollars: float, rates: Rates) -> float:
    if rates.dollars_per_hour is None:
        raise OutOfReach(
            "a budget in money needs the price of an accelerator's hour: --dollars-per-hour 2.5"
        )
    return flops_for_hours(dollars / rates.dollars_per_hour, rates)
