"""Pictures of a validation: gains with their intervals, and the target's curve along training."""

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.scaling.pictures import BLUE, GREEN, INK, ORANGE, SOFT, drawn, log_axis

if TYPE_CHECKING:
    from assay.scaling.proxy.validate import Found

VERDICTS = {"better": GREEN, "worse": ORANGE, "no difference": SOFT, "not known": SOFT}
COLOURS = (BLUE, ORANGE, GREEN, "#8250df", "#cf222e", INK)


def drawn_of(document: Mapping[str, Any], found: "Found") -> Mapping[str, bytes]:
    sizes = list(dict.fromkeys(row["size"] for row in document["arms"]))
    rows = len(document["comparisons"])
    return {
        **drawn("gains", 2, lambda axes: gains(document, axes), height=1.6 + 0.32 * rows),
        **drawn("curves", len(sizes), lambda axes: curves(sizes, found, axes)),
    }


def gains(document: Mapping[str, Any], axes: Any) -> None:
    """One row a control: the gain, its t interval (line) and its bootstrap interval (band)."""
    rows = document["comparisons"]
    ax, other = axes
    for place, one in enumerate(rows):
        colour = VERDICTS[one["verdict"]]
        span(ax, place, one["gain"]["bootstrap"], colour, width=7, alpha=0.3)
        span(ax, place, one["gain"]["t"], colour, width=1.6, alpha=1.0)
        ax.plot(one["gain"]["mean"], place, "o", ms=5, color=colour)
        times = one["effective_data"]
        if times["value"] is not None:
            span(other, place, times["interval"], colour, width=1.6, alpha=1.0)
            other.plot(times["value"], place, "o", ms=5, color=colour)
    for axis, middle in ((ax, 0.0), (other, 1.0)):
        axis.axvline(middle, color=INK, lw=0.8)
        axis.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_yticks(range(len(rows)), [f"{one['size']}, {one['control']}" for one in rows])
    other.set_yticks(range(len(rows)), [""] * len(rows))
    other.set_xscale("log")
    ax.set_xlabel("bits per byte; right of 0: the subset is better")
    ax.set_title("gain over each control, 95 %")
    other.set_xlabel("times the tokens")
    other.set_title("what a token of the subset is worth")
    log_axis(other.xaxis)


def span(ax: Any, place: int, found: Any, colour: str, width: float, alpha: float) -> None:
    if found is not None:
        ends = [found["low"], found["high"]]
        ax.plot(ends, [place, place], color=colour, lw=width, alpha=alpha, solid_capstyle="butt")


def curves(sizes: list[str], found: "Found", axes: Any) -> None:
    """Every seed thin, the mean of each arm thick; before the learning rate decays."""
    arms = list(dict.fromkeys(arm for arm, _ in found))
    for ax, size in zip(axes, sizes, strict=True):
        for arm, colour in zip(arms, cycle(COLOURS), strict=False):
            records = found[arm, size]
            each = [[row["bits_per_byte"] for row in one.curve] for one in records]
            tokens = [row["tokens"] for row in records[0].curve]
            for values in each:
                ax.plot(tokens[: len(values)], values, color=colour, lw=0.6, alpha=0.5)
            ax.plot(tokens, np.mean(each, axis=0), color=colour, lw=1.6, label=arm)
        ax.set_xscale("log")
        log_axis(ax.xaxis)
        ax.set_xlabel("training tokens")
        ax.set_title(f"{size}: the target along training")
    axes[0].set_ylabel("bits per byte of the target")
    axes[-1].legend(fontsize=8)
