"""Pictures of fits, plans and advice, as SVG and PNG.

    of_plan(found)     ->  {"isoflop.svg": b"...", "isoflop.png": b"..."}

matplotlib is imported here, when a picture is drawn, and nowhere else in the house: importing it
takes longer than any answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.scaling.documents import rounded
from assay.scaling.law import Law, log_values
from assay.scaling.laws.steplaw import StepSurface
from assay.scaling.opinions import Opinion, Request
from assay.scaling.plan import Plan, enough, path
from assay.scaling.recommend import Advice
from assay.scaling.slopes import Floats
from assay.scaling.tolerance import FACTORS, FARTHEST, excess

if TYPE_CHECKING:  # at run time a plan's picture need not wait for what fits need
    from assay.scaling.fitting import Study

INK, SOFT, FAINT = "#1b1f24", "#57606a", "#d8dee4"
BLUE, ORANGE, GREEN = "#0969da", "#bc4c00", "#1a7f37"
COLOURS = "viridis"
LEVELS = 6  # isoFLOP curves in a picture
CLOSE = 0.25  # runs within this factor (in logs) of a curve's compute are drawn with it

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "svg.hashsalt": "assay",  # the same picture is the same file
    "svg.fonttype": "path",
}


def of_fit(found: "Study") -> Mapping[str, bytes]:
    if isinstance(found.fit.law, StepSurface):
        return drawn("sweeps", 2, lambda axes: sweeps(found, axes))
    if {"params", "tokens"} <= set(found.fit.law.inputs) and found.fit.law.predicts == "loss":
        return {
            **drawn("isoflop", 1, lambda axes: isoflops(found, axes[0])),
            **drawn("fit", 2, lambda axes: residuals(found, axes)),
        }
    return drawn("fit", 2, lambda axes: residuals(found, axes))


def of_plan(found: Plan) -> Mapping[str, bytes]:
    def draw(axes: Any) -> None:
        budget_curve(found, axes[0])
        other_budgets(found, axes[1])

    return drawn("isoflop", 2, draw)


def of_laws(known: Sequence[Law]) -> Mapping[str, bytes]:
    """Where the runs behind each published set of coefficients lie."""
    return drawn("ranges", 3, lambda axes: ranges(known, axes), height=SPAN_HEIGHT)


def of_advice(request: Request, advice: Advice) -> Mapping[str, bytes]:
    return {
        **drawn("tolerance", 2, lambda axes: tolerance(advice, axes)),
        **drawn("opinions", 2, lambda axes: opinions(advice, axes)),
    }


# Drawing -------------------------------------------------------------------------------


def drawn(name: str, panels: int, draw: Any, height: float = 3.7) -> dict[str, bytes]:
    """The same drawing in both formats."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(4.6 * panels + 0.6, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, panels, squeeze=False)[0]
        draw(axes)
        return {
            f"{name}.svg": saved(figure, "svg", metadata={"Date": None}),
            f"{name}.png": saved(figure, "png", dpi=150),
        }


def saved(figure: Any, kind: str, **options: Any) -> bytes:
    out = BytesIO()
    figure.savefig(out, format=kind, **options)
    return out.getvalue()


def log_axis(axis: Any) -> None:
    """A log axis whose labels are 300M and 2.5B, not powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    decades = np.log10(max(high, 1e-300) / max(low, 1e-300))
    subs = (1.0,) if decades > 2.2 else (1.0, 3.0) if decades > 1.6 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: rounded(value, 2)))
    axis.set_minor_formatter(NullFormatter())


# Laws ----------------------------------------------------------------------------------

SPAN_HEIGHT = 8.5  # inches, for some forty rows
MARKED = {"verified": GREEN, "second-hand": BLUE, "unverified": ORANGE}


def ranges(known: Sequence[Law], axes: Any) -> None:
    """One row a set of coefficients, one panel a quantity, coloured by how far it was checked."""
    rows = [(law, p) for law in known for p in law.published if {*SPANS} & {*p.range}]
    for axis, (name, title) in zip(axes, SPANS.items(), strict=True):
        for row, (_, published) in enumerate(rows):
            if name in published.range:
                low, high = published.range[name]
                colour = MARKED[published.mark]
                axis.plot([low, high], [row, row], color=colour, lw=4, solid_capstyle="butt")
        axis.set_xscale("log")
        axis.set_title(title)
        axis.tick_params(axis="x", labelsize=7)
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.set_yticks(range(len(rows)), [""] * len(rows))
        log_axis(axis.xaxis)
    labels = [law.name if p.name in law.name else f"{law.name}, {p.name}" for law, p in rows]
    axes[0].set_yticks(range(len(rows)), labels, fontsize=7)
    for mark, colour in MARKED.items():
        axes[-1].plot([], [], color=colour, lw=4, label=mark)
    axes[-1].legend(loc="lower right")


SPANS = {
    "params": "parameters of the runs",
    "tokens": "training tokens of the runs",
    "compute": "training compute of the runs, FLOPs",
}

# A fit of the loss ---------------------------------------------------------------------


def isoflops(found: "Study", ax: Any) -> None:
    """Loss against size at several amounts of compute: runs, fit, band and optima."""
    runs = found.fit.runs
    compute = 6 * runs["params"] * runs["tokens"]
    levels = np.exp(np.quantile(np.log(compute), np.linspace(0.04, 0.96, LEVELS)))
    for level, colour in zip(levels, colours(LEVELS), strict=True):
        close = np.abs(np.log(compute / level)) < CLOSE
        sizes = span(runs["params"][close])
        x = at_compute(found, sizes, level)
        loss = np.exp(log_values(found.fit.law, found.fit.theta, x))
        low, high = np.quantile(found.replicates.predict(x), [0.025, 0.975], axis=0)
        ax.fill_between(sizes, low, high, color=colour, alpha=0.18, lw=0)
        ax.plot(sizes, loss, color=colour, lw=1.4, label=f"{level:.0e}".replace("e+", "e"))
        ax.scatter(runs["params"][close], runs["loss"][close], s=9, color=colour, alpha=0.75, lw=0)
        best = int(np.argmin(loss))
        if 0 < best < len(sizes) - 1:
            ax.plot(sizes[best], loss[best], "o", ms=6, mfc="white", mec=colour, mew=1.5)
    ax.set_xscale("log")
    log_axis(ax.xaxis)
    ax.set_xlabel("parameters")
    ax.set_ylabel("loss")
    ax.set_title(f"{found.fit.law.name}: runs, fit, 95 % band and best size")
    ax.legend(title="FLOPs", fontsize=8, title_fontsize=8, loc="upper right", ncols=2)


def span(sizes: Floats) -> Floats:
    """A little beyond what was trained."""
    return np.exp(np.linspace(np.log(sizes.min() / 1.5), np.log(sizes.max() * 1.5), 80))


def at_compute(found: "Study", sizes: Floats, level: float) -> dict[str, Floats]:
    """All other inputs at their middle."""
    tokens = level / (6 * sizes)
    middle = {
        name: np.full(len(sizes), float(np.median(found.fit.runs[name])))
        for name in found.fit.law.inputs
    }
    return {**middle, "params": sizes, "tokens": tokens, "compute": np.full(len(sizes), level)}


def line_and_band(found: "Study", ax: Any) -> None:
    """A law of one input: runs, fit and band, half a decade beyond the runs."""
    fit = found.fit
    name = fit.law.inputs[0]
    seen = fit.runs[name]
    x = np.geomspace(seen.min() / 3, seen.max() * 3, 120)
    low, high = np.quantile(found.replicates.predict({name: x}), [0.025, 0.975], axis=0)
    ax.fill_between(x, low, high, color=BLUE, alpha=0.18, lw=0)
    ax.plot(x, fit.predict({name: x}), color=BLUE, lw=1.6)
    ax.scatter(seen, fit.runs[fit.law.predicts], s=dot(len(seen)), color=INK, zorder=3, lw=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    log_axis(ax.xaxis)
    log_axis(ax.yaxis)
    ax.set_xlabel(name.replace("_", " "))
    ax.set_ylabel(fit.law.predicts.replace("_", " "))
    ax.set_title(f"{fit.law.name}: {len(seen)} runs, fit and 95 % band")


def dot(runs: int) -> float:
    """Few runs get large dots."""
    return float(np.clip(1500 / runs, 10, 34))


def residuals(found: "Study", axes: Any) -> None:
    """Prediction against observation, and what is left over against the first input."""
    left, right = axes
    if len(found.fit.law.inputs) == 1:
        line_and_band(found, left)
    else:
        against_observed(found, left)
    left_over(found, right)


def against_observed(found: "Study", left: Any) -> None:
    fit = found.fit
    observed = fit.runs[fit.law.predicts]
    predicted = fit.predict(fit.runs.columns)
    ends = [min(observed.min(), predicted.min()), max(observed.max(), predicted.max())]
    left.plot(ends, ends, color=SOFT, lw=1)
    left.scatter(predicted, observed, s=dot(len(observed)), color=BLUE, alpha=0.6, lw=0)
    left.set_xlabel(f"predicted {fit.law.predicts}")
    left.set_ylabel("observed")
    left.set_title(f"{fit.law.name}: {len(fit.runs)} runs")


def left_over(found: "Study", right: Any) -> None:
    fit = found.fit
    first = fit.law.inputs[0]
    right.axhline(0, color=SOFT, lw=1)
    above = 100 * np.expm1(-fit.residuals)
    right.scatter(fit.runs[first], above, s=dot(len(above)), color=BLUE, alpha=0.6, lw=0)
    for sign in (-1, 1):
        right.axhline(100 * sign * fit.residual_sd, color=SOFT, lw=0.8, ls=":")
    if fit.runs[first].min() > 0 and np.ptp(np.log(fit.runs[first])) > 1:
        right.set_xscale("log")
        log_axis(right.xaxis)
    right.set_xlabel(first.replace("_", " "))
    right.set_ylabel("observed above predicted, %")
    right.set_title("what is left over")


# Sweeps --------------------------------------------------------------------------------


def sweeps(found: "Study", axes: Any) -> None:
    """All sweeps around their own predicted optimum: along each axis, and from above."""
    law, fit = found.fit.law, found.fit
    assert isinstance(law, StepSurface)
    best_lr, best_batch = law.optimum(list(fit.theta), fit.runs.columns)
    u = np.log(fit.runs["learning_rate"]) - best_lr
    v = np.log(fit.runs["batch_tokens"]) - best_batch
    above = 100 * (fit.runs["excess"] - 1)
    along(law, fit.theta, (u, v, above), axes[0])
    from_above(law, fit.theta, (u, v, above), axes[1])


def along(law: StepSurface, theta: Floats, runs: tuple[Floats, Floats, Floats], ax: Any) -> None:
    u, v, above = runs
    line = np.linspace(-1.8, 1.8, 121)
    for own, other, colour, word in ((u, v, BLUE, "learning rate"), (v, u, ORANGE, "batch")):
        close = np.abs(other) < 0.2
        pair = (line, 0 * line) if own is u else (0 * line, line)
        cost = 100 * np.expm1(law.excess(list(theta), *pair))
        ax.scatter(np.exp(own[close]), above[close], s=9, color=colour, alpha=0.4, lw=0)
        ax.plot(np.exp(line), cost, color=colour, lw=1.6, label=word)
    factor_axis(ax.set_xscale, ax.xaxis)
    ax.set_xlim(np.exp(-1.8), np.exp(1.8))
    ax.set_ylim(-0.4, 3.2)
    ax.set_xlabel("multiple of the best")
    ax.set_ylabel("loss above the best of its sweep, %")
    ax.set_title("what missing the optimum costs")
    ax.legend(loc="upper center")


def from_above(
    law: StepSurface, theta: Floats, runs: tuple[Floats, Floats, Floats], ax: Any
) -> None:
    u, v, above = runs
    line = np.linspace(-1.8, 1.8, 121)
    across, up = np.meshgrid(line, line)
    cost = 100 * np.expm1(law.excess(list(theta), across, up))
    steps = [0.1, 0.25, 0.5, 1, 2, 3]
    lines = ax.contour(np.exp(across), np.exp(up), cost, steps, cmap=COLOURS, linewidths=1.2)
    ax.clabel(lines, fmt="%g %%", fontsize=7)
    ax.scatter(np.exp(u), np.exp(v), c=above, s=7, cmap=COLOURS, vmin=0, vmax=3, alpha=0.45, lw=0)
    factor_axis(ax.set_xscale, ax.xaxis)
    factor_axis(ax.set_yscale, ax.yaxis)
    ax.set_xlim(np.exp(-1.8), np.exp(1.8))
    ax.set_ylim(np.exp(-1.8), np.exp(1.8))
    ax.set_xlabel("learning rate over best")
    ax.set_ylabel("batch over best")
    ax.set_title("all sweeps, each around its optimum")


def factor_axis(set_scale: Any, axis: Any) -> None:
    """Powers of two as 1/4, 1/2, 1, 2, 4."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    set_scale("log", base=2)
    axis.set_major_locator(FixedLocator([0.25, 0.5, 1, 2, 4]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"×{value:g}" if value >= 1 else f"×1/{1 / value:g}")
    )


# A plan --------------------------------------------------------------------------------


def budget_curve(found: Plan, ax: Any) -> None:
    """Loss against size for the budget, with its band, the best size and its interval."""
    curve, dense = found.curve, found.dense
    if curve.low is not None and curve.high is not None:
        ax.fill_between(curve.params, curve.low, curve.high, color=BLUE, alpha=0.15, lw=0)
    ax.plot(curve.params, curve.loss, color=BLUE, lw=1.8)
    bottom = ax.get_ylim()[0]
    ax.plot(dense.params.value, dense.loss.value, "o", ms=7, mfc="white", mec=BLUE, mew=1.8)
    mark_interval(dense, bottom, ax)
    low, high = found.nearly
    ax.axvspan(low, high, color=GREEN, alpha=0.07, lw=0)
    if found.mixture is not None:
        mark_mixture(found, ax)
    ax.set_xscale("log")
    log_axis(ax.xaxis)
    ax.set_xlabel("parameters (of a mixture: active)")
    ax.set_ylabel("loss")
    ax.set_title(f"{found.spec.compute:.3g} FLOPs: green is within 0.1 % of the best loss")


def other_budgets(found: Plan, ax: Any) -> None:
    """Best size and tokens by budget; grey is where the law's runs lie."""
    seen = found.law.range.get("compute")
    here = found.spec.compute
    low, high = (min(seen[0], here), max(seen[1], here)) if seen else (here / 100, here)
    computes = np.geomspace(max(low / 2, enough(found.spec)), high * 3, 13)
    splits = path(found, computes)
    for name, colour in (("params", BLUE), ("tokens", ORANGE)):
        bands = [getattr(s, name) for s in splits]
        if bands[0].low is not None:
            edges = [b.low for b in bands], [b.high for b in bands]
            ax.fill_between(computes, *edges, color=colour, alpha=0.18, lw=0)
        ax.plot(computes, [b.value for b in bands], color=colour, lw=1.6, label=name)
        best = getattr(found.dense, name).value
        ax.plot(here, best, "o", ms=6, mfc="white", mec=colour, mew=1.6)
    if seen:
        ax.axvspan(*seen, color=SOFT, alpha=0.09, lw=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    log_axis(ax.xaxis)
    log_axis(ax.yaxis)
    ax.set_xlabel("FLOPs")
    ax.set_title("best split by budget: grey is where the runs lie")
    ax.legend(loc="upper left")


def mark_interval(dense: Any, bottom: float, ax: Any) -> None:
    p = dense.params
    if p.low is not None:
        ax.plot([p.low, p.high], [bottom, bottom], color=INK, lw=1.2, solid_capstyle="butt")
        ax.plot([p.low80, p.high80], [bottom, bottom], color=INK, lw=4, solid_capstyle="butt")
        ax.annotate(
            "best size, 80 % and 95 %",
            (p.high, bottom),
            xytext=(6, -3),
            textcoords="offset points",
            color=SOFT,
            fontsize=8,
        )
    said = f"{rounded(p.value, 3)} on {rounded(dense.tokens.value, 3)} tokens"
    ax.annotate(
        said,
        (p.value, dense.loss.value),
        xytext=(0, 14),
        textcoords="offset points",
        ha="center",
        color=INK,
    )


def mark_mixture(found: Plan, ax: Any) -> None:
    mixed = found.mixture
    assert mixed is not None
    ax.plot(mixed.active_params, mixed.loss.value, "D", ms=6, mfc="white", mec=ORANGE, mew=1.8)
    ax.annotate(
        f"mixture, {rounded(mixed.total_params, 3)} in all",
        (mixed.active_params, mixed.loss.value),
        xytext=(8, -3),
        textcoords="offset points",
        color=ORANGE,
    )


# Advice --------------------------------------------------------------------------------


def tolerance(advice: Advice, axes: Any) -> None:
    """What being off costs, on the axis of the hyperparameter itself."""
    factors = np.exp(np.linspace(-FARTHEST, FARTHEST, 121))
    panels = ((advice.learning_rate, BLUE, "learning rate"), (advice.batch_tokens, ORANGE, "batch"))
    for ax, (answer, colour, word) in zip(axes, panels, strict=True):
        pairs = [(np.log(f), 0.0) if word == "learning rate" else (0.0, np.log(f)) for f in factors]
        ax.axvspan(answer.low, answer.high, color=colour, alpha=0.14, lw=0)
        ax.plot(answer.value * factors, [excess(*p) for p in pairs], color=colour, lw=1.8)
        for factor in (f for f in FACTORS if f in (0.5, 2.0)):
            at = (np.log(factor), 0.0) if word == "learning rate" else (0.0, np.log(factor))
            ax.plot(answer.value * factor, excess(*at), "o", ms=5, color=colour)
            ax.annotate(
                f"{excess(*at):.2f} %",
                (answer.value * factor, excess(*at)),
                xytext=(0, 7),
                textcoords="offset points",
                ha="right" if factor > 1 else "left",
                color=INK,
            )
        ax.set_xscale("log")
        ax.set_ylim(-0.03, 1.6)
        ax.set_xlim(answer.value * factors[0], answer.value * factors[-1])
        log_axis(ax.xaxis)
        ax.set_xlabel(word if word != "batch" else "batch, tokens")
        ax.set_ylabel("loss above the best, %")
        ax.set_title(f"{word}: {rounded(answer.value, 3)} by {answer.law}")


def opinions(advice: Advice, axes: Any) -> None:
    """Every law's answer on one axis; hollow where it is asked beyond its runs."""
    panels = ((advice.learning_rate, "learning_rate"), (advice.batch_tokens, "batch_tokens"))
    for ax, (answer, quantity) in zip(axes, panels, strict=True):
        said = [o for o in advice.laws if o.quantity == quantity][::-1]
        ax.axvline(answer.value, color=SOFT, lw=1)
        for row, opinion in enumerate(said):
            one_opinion(opinion, row, opinion.law == answer.law, ax)
        ax.set_yticks(range(len(said)), [o.law for o in said])
        ax.set_ylim(-0.7, len(said) - 0.3)
        ax.set_xscale("log")
        values = [o.value for o in said]
        ax.set_xlim(min(values) / 1.6, max(values) * 1.6)
        log_axis(ax.xaxis)
        ax.grid(axis="y", visible=False)
        ax.set_title(quantity.replace("_", " ") + "  (hollow: outside its runs)")


def one_opinion(said: Opinion, row: int, first: bool, ax: Any) -> None:
    colour = {"verified": BLUE, "second-hand": ORANGE, "unverified": SOFT}[said.mark]
    if said.low is not None:
        ax.plot([said.low, said.high], [row, row], color=colour, lw=2.2, alpha=0.5)
    fill = "white" if said.outside else colour
    ax.plot(said.value, row, "D" if first else "o", ms=7, mfc=fill, mec=colour, mew=1.5)


def colours(count: int) -> Iterator[Any]:
    from matplotlib import colormaps

    return iter(colormaps[COLOURS](np.linspace(0.05, 0.85, count)))
