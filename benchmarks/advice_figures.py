"""The figures that plans and recommendations must hold, printed one a line.

    ASSAY_SHARED=... PYTHONPATH=scaling:selectors python benchmarks/advice_figures.py

Tables that may not be handed on are looked for in ASSAY_SHARED, or in ../shared beside the
checkout; lines that need one say so where it is missing.
"""

import os
import statistics
import time
from pathlib import Path

import numpy as np

from assay.scaling import sweeps
from assay.scaling.bootstrap import bootstrap
from assay.scaling.fit import fit
from assay.scaling.law import coefficients, predict
from assay.scaling.laws.chinchilla import Chinchilla
from assay.scaling.laws.leverage import EfficiencyLeverage, best_granularity
from assay.scaling.opinions import Request
from assay.scaling.plan import PlanSpec, learned, plan
from assay.scaling.reading import read
from assay.scaling.recommend import recommend

ROOT = Path(__file__).parents[1]
LAWS = Path(os.environ.get("ASSAY_SHARED", ROOT.parent / "shared")) / "data" / "laws"
SWEEPS = LAWS / "steplaw" / "dense_lr_bs_loss.csv"
EPOCH = LAWS / "epoch_chinchilla" / "svg_extracted_data.csv"
NAMES = {
    "params": "N",
    "tokens": "D",
    "learning_rate": "lr",
    "batch_tokens": "bs",
    "loss": "smooth loss",
}


def main():
    advice()
    leverage()
    planned() if EPOCH.exists() else print("no Epoch table: plan not shown")
    step_law() if SWEEPS.exists() else print("no Step Law table: gaps not shown")


def advice():
    found = recommend(Request(params=1e9, tokens=1e11))
    expected = 1.79 * 1e9**-0.713 * 1e11**0.307, 0.58 * 1e11**0.571
    line("recommend, learning rate over Step Law's", found.learning_rate.value / expected[0], "1")
    line("recommend, batch over Step Law's", found.batch_tokens.value / expected[1], "1")
    line("recommend, ms (median of 200)", statistics.median(timed(200)), "below 5")


def timed(repeats):
    took = []
    for n in range(repeats):
        begin = time.perf_counter()
        recommend(Request(params=1e9 + n, tokens=1e11))
        took.append(1e3 * (time.perf_counter() - begin))
    return took


def leverage():
    best = best_granularity(1.67e-2, -1.17e-1)
    line("leverage at 3.1 %, 12, 1e22", leveraged(0.031, 12), "7.24")
    line("best granularity", best, "11.3")
    line("leverage of Ling-mini-beta", leveraged(0.034, best), "6.96")


def leveraged(activation, granularity):
    x = {"activation": activation, "granularity": granularity, "compute": 1e22}
    law = EfficiencyLeverage()
    return predict(law, coefficients(law), {k: np.array([v]) for k, v in x.items()})[0]


def planned():
    runs = read(EPOCH, {"params": "Model Size", "compute": "Training FLOP"})
    found = fit(Chinchilla(), runs.take(np.argsort(runs["loss"])[:240]))
    dense = plan(learned(bootstrap(found, 4000)), PlanSpec(5.76e23)).dense
    line("plan at 5.76e23, billions of parameters", dense.params.value / 1e9, "73.2 within 2 %")
    line("plan at 5.76e23, tokens per parameter", dense.tokens_per_param.value, "17.9")


def step_law():
    runs = read(SWEEPS, NAMES)
    runs = runs.having(batch_tokens=runs["batch_tokens"] * 2048)
    gaps = sweeps.leave_one_out(runs)
    smooth, nearest = [g.smooth for g in gaps], [g.nearest for g in gaps]
    line("steplaw, sweep left out, smooth, mean %", np.mean(smooth), "at most .045, aim .040")
    line("steplaw, sweep left out, smooth, max %", np.max(smooth), "at most .15")
    line("steplaw, sweep left out, nearest, mean %", np.mean(nearest), "at most .10")


def line(what, value, wanted):
    print(f"{what:45} {value:10.4f}   (wanted: {wanted})")


if __name__ == "__main__":
    main()
