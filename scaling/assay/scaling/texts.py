"""Documents as text for people: the answer first, then why, then what to beware of."""

from collections.abc import Mapping
from typing import Any

from assay.scaling.documents import rounded, table

Document = Mapping[str, Any]


def laws(document: Document) -> str:
    rows = [["law", "predicts", "from", "published"]]
    for law in document["laws"]:
        sets = ", ".join(f"{p['name']} ({p['mark']})" for p in law["published"]) or "fit only"
        rows.append([law["name"], law["predicts"], " ".join(law["inputs"]), sets])
    return table(rows, indent="")


def fit(document: Document) -> str:
    rows = [["", "value", "se", "95 %", ""]]
    for name, e in document["parameters"].items():
        rows.append(
            [name, number(e["value"]), number(e["se"]), number(e["low"]), number(e["high"])]
        )
    return "\n".join(
        [
            f"{document['law']}, fitted to {document['runs']} runs of {document['source']}",
            f"objective {document['objective']:.10g}, residual sd {document['residual_sd']:.3g},"
            f" {document['starts_at_optimum']:.0%} of starts at the optimum",
            "",
            table(rows),
            "",
            *(f"best {name} = {formula}" for name, formula in document["formulas"].items()),
            held_out(document["holdout"]),
            *(f"profile: {p['said']}" for p in document["profiles"]),
            *sensitivity(document),
            *(f"note: {note}" for note in document["notes"]),
            *forms(document["forms"]),
            *cautions(document["warnings"]),
        ]
    )


def held_out(holdout: Document) -> str:
    if "problem" in holdout:
        return f"no hold-out: {holdout['problem']}"
    if holdout["by"] == "sweep":
        return (
            f"leave one sweep out: {holdout['smooth_mean']:.3f} % above the best on the smoothed"
            f" surface (at most {holdout['smooth_max']:.3f}), {holdout['nearest_mean']:.3f} % at"
            f" the nearest trained pair (at most {holdout['nearest_max']:.3f})"
        )
    return (
        f"hold-out of the {holdout['runs']} runs with {holdout['by']} from"
        f" {holdout['above']:.3g}: mean error {holdout['mean_error']:.2%}, worst"
        f" {holdout['worst_error']:.2%}, bias {holdout['bias']:+.2%},"
        f" {holdout['decades']:.2f} decades beyond the others"
    )


def sensitivity(document: Document) -> list[str]:
    """What moves by more than its interval when a few odd runs count more, or less."""
    tried = document["sensitivity"]
    if not tried:
        return []
    moved = [
        f"{name} is {number(other['parameters'][name])} with {delta_words(other['delta'])}"
        for other in tried
        for name, e in document["parameters"].items()
        if e["low"] is not None and not e["low"] <= other["parameters"][name] <= e["high"]
    ]
    deltas = ", ".join(delta_words(other["delta"]) for other in tried)
    if moved:
        return [f"sensitivity: outside its interval {'; '.join(moved)}: it hangs on a few runs"]
    return [f"sensitivity: every parameter stays in its interval with {deltas}"]


def delta_words(delta: float | str | None) -> str:
    wide = not isinstance(delta, (int, float)) or delta > 1e3
    return "least squares" if wide else f"delta {delta:g}"


def forms(rows: list[Document]) -> list[str]:
    if not rows:
        return []
    shown = [["form", "free", "AICc - best", "weight", "hold-out error"]]
    for row in rows:
        error = "-" if row["error"] is None else f"{row['error']:.2%}"
        over = f"{row['aicc'] - rows[0]['aicc']:.2f}"
        shown.append([row["name"], str(row["free"]), over, f"{row['weight']:.3f}", error])
    return ["", "which form the runs support (AICc: lower is better)", table(shown), ""]


def advice(document: Document) -> str:
    rows = [["", "use", "from", "to", "by", ""]]
    named = (
        "learning_rate",
        "batch_tokens",
        "batch_sequences",
        "weight_decay",
        "warmup_steps",
        "steps",
    )
    for name in named:
        a = document[name]
        rows.append(
            [
                name.replace("_", " "),
                rounded(a["value"], 3),
                rounded(a["low"], 3),
                rounded(a["high"], 3),
                a["law"],
                a["reason"],
            ]
        )
    plan = document["schedule"]
    return "\n".join(
        [
            table(rows, indent=""),
            f"schedule: {plan['kind']} to {plan['final_learning_rate']:g}; {plan['reason']}."
            f" Or: {plan['alternative']}",
            "",
            opinions(document["laws"]),
            "",
            off(document["tolerance"]),
            *cautions(document["warnings"]),
        ]
    )


def opinions(said: list[Document]) -> str:
    rows = [["all laws", "", "says", "costs", "source", "outside its runs by"]]
    for o in said:
        far = ", ".join(f"{name} {d:.1f} decades" for name, d in o["outside"].items()) or "-"
        cost = "-" if o["cost"] is None else f"{o['cost']:.2f} %"
        value = rounded(o["value"], 3)
        rows.append([o["quantity"].replace("_", " "), o["law"], value, cost, o["mark"], far])
    return table(rows, indent="")


def off(tolerance: list[Document]) -> str:
    rows = [["off by a factor of", *(f"{t['factor']:.3g}" for t in tolerance)]]
    for name, word in (("learning_rate", "learning rate"), ("batch", "batch"), ("both", "both")):
        rows.append([f"  {word}, % of the loss", *(f"{t[name]:.2f}" for t in tolerance)])
    return table(rows, indent="")


def plan(document: Document) -> str:
    parts = [
        f"by {document['law']}",
        "",
        table(split_rows(document["dense"]), indent=""),
        "",
        *ending("dense", document["dense"]),
    ]
    if document["mixture"]:
        parts += ["", *mixture(document["mixture"])]
    return "\n".join([*parts, *cautions(document["warnings"])])


def split_rows(dense: Document) -> list[list[str]]:
    rows = [["", "best", "80 %", "", "95 %", "", "outside the runs by"]]
    for name in ("params", "tokens", "tokens_per_param", "loss"):
        b = dense[name]
        far = dense["decades_outside"].get(name)
        cells = [rounded(b[k], 4) for k in ("value", "low80", "high80", "low", "high")]
        rows.append([name.replace("_", " "), *cells, "-" if far is None else f"{far:.2f} decades"])
    return rows


def ending(name: str, part: Document) -> list[str]:
    cost = part["cost"]
    money = "" if cost["dollars"] is None else f", {cost['dollars']:,.0f} dollars"
    said = [
        f"{name}: {rounded(cost['accelerator_hours'])} accelerator hours,"
        f" {cost['hours']:,.1f} hours, {rounded(cost['kilowatt_hours'])} kWh{money}",
        f"{name}: {placed(part['placement'])}",
    ]
    if "nearly_as_good" in part:
        low, high = part["nearly_as_good"]
        said.insert(
            0, f"sizes from {rounded(low, 3)} to {rounded(high, 3)} come within 0.1 % of this loss"
        )
    hyper = part["hyperparameters"]
    shown = (f"{k.replace('_', ' ')} {rounded(v['value'], 3)}" for k, v in hyper.items())
    return [*said, f"{name}: {', '.join(shown)}"]


def placed(placement: Document) -> str:
    if not placement["fits"]:
        return f"does not fit: {placement['problem']}"
    how = placement["parallelism"]
    return (
        f"data {how['data']} x tensor {how['tensor']} x pipeline {how['pipeline']}, expert"
        f" {how['expert']}, ZeRO {how['zero']}{', recompute' if how['recompute'] else ''}:"
        f" {placement['memory']['total'] / 1e9:.1f} of {placement['limit'] / 1e9:.1f} GB"
    )


def mixture(mixed: Document) -> list[str]:
    return [
        f"mixture: {rounded(mixed['active_params'], 3)} active of"
        f" {rounded(mixed['total_params'], 3)} parameters, {mixed['active_experts']} of"
        f" {mixed['experts']} experts and one shared (activation {mixed['activation']:.3f},"
        f" granularity {mixed['granularity']:.1f}), {rounded(mixed['tokens'], 3)} tokens",
        f"mixture: loss {mixed['loss']['value']:.4g}, as a dense model with"
        f" {mixed['leverage']:.2f} times the compute; single numbers, {beyond(mixed)}",
        *ending("mixture", mixed),
    ]


def beyond(mixed: Document) -> str:
    """How far a mixture lies outside the runs behind its law."""
    far = [f"{name} {d:.2f} decades" for name, d in mixed["decades_outside"].items()]
    return f"outside the runs of its law by {', '.join(far)}" if far else "inside the runs"


def cautions(warnings: list[str]) -> list[str]:
    return [f"warning: {w}" for w in warnings]


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"
