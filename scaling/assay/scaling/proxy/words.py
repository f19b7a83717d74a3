"""A validation for people."""

from typing import Any

from assay.scaling.documents import rounded, table

Document = dict[str, Any]


def told(document: Document) -> str:
    return "\n".join(
        [
            *headlines(document),
            "",
            "bits per byte of the target, the less the better",
            arms(document),
            "",
            "against each control: gain in bits per byte (above 0: the subset is better)",
            comparisons(document),
            "",
            *agreement(document),
            *(firing(row) for row in document["arms"] if row["activation"] is not None),
            *(tuned(one) for one in document["learning_rates"]),
            *(answered(one) for one in document["comparisons"] if one["choices"]),
            *(extrapolated(one) for one in document["extrapolation"]),
            *cost(document["cost"]),
            *(f"warning: {one}" for one in document["warnings"]),
        ]
    )


def headlines(document: Document) -> list[str]:
    """The answer in a sentence for each size."""
    return [headline(one) for one in document["comparisons"] if one["control"] == "uniform"] or [
        headline(one) for one in document["comparisons"][:1]
    ]


def headline(one: Document) -> str:
    gain, times = one["gain"], one["effective_data"]
    said = {
        "better": f"the subset is better than {one['control']}",
        "worse": f"the subset is worse than {one['control']}",
        "no difference": f"no difference between the subset and {one['control']}",
        "not known": f"one seed cannot tell the subset from {one['control']}",
    }[one["verdict"]]
    worth = f"; its tokens are worth {multiplier(times)}" if one["verdict"] == "better" else ""
    return f"{one['size']}: {said}: {gain['mean']:+.4f} bits per byte {bounds(gain['t'])}{worth}"


def bounds(interval: Document | None, digits: int = 4) -> str:
    if interval is None:
        return "-"
    return f"[{interval['low']:+.{digits}f}, {interval['high']:+.{digits}f}]"


def multiplier(times: Document) -> str:
    if times["value"] is None:
        return "-"
    least = "at least " if times["at_least"] and times["value"] > 1 else ""
    span = times["interval"]
    inside = f" [{rounded(span['low'], 3)}, {rounded(span['high'], 3)}]" if span else ""
    return f"{least}{times['value']:.2f}x{inside}"


def arms(document: Document) -> str:
    head = ["size", "arm", "bits/byte", "sd", "tokens", "unique", "epochs", "tokens/s"]
    rows = [
        [
            row["size"],
            row["arm"],
            f"{row['bits_per_byte']:.4f}",
            "-" if row["deviation"] is None else f"{row['deviation']:.4f}",
            rounded(row["tokens"], 3),
            rounded(row["unique_tokens"], 3),
            f"{row['epochs']:.2f}",
            rounded(row["tokens_per_second"], 3),
        ]
        for row in document["arms"]
    ]
    return table([head, *rows])


def comparisons(document: Document) -> str:
    head = ["size", "control", "gain", "95 % (t)", "95 % (bootstrap)", "p (Holm)", "", "data"]
    rows = [
        [
            one["size"],
            one["control"],
            f"{one['gain']['mean']:+.4f}",
            bounds(one["gain"]["t"]),
            bounds(one["gain"]["bootstrap"]),
            f"{one['p_holm']:.3g}",
            one["verdict"],
            multiplier(one["effective_data"]),
        ]
        for one in document["comparisons"]
    ]
    return table([head, *rows])


def agreement(document: Document) -> list[str]:
    return [
        f"{one['small']} orders {one['decision_accuracy']:.0%} of {one['pairs']} pairs of arms as"
        f" {one['large']} does (Kendall's tau {one['kendall_tau']:+.2f})"
        for one in document["agreement"]
    ]


def firing(row: Document) -> str:
    return (
        f"{row['size']}, {row['arm']}: {row['activation']:.1%} of the neurons are needed"
        " (CETT-PPL-1%)"
    )


def tuned(one: Document) -> str:
    tried = ", ".join(f"{t['factor']:g}x {t['tuning_bits_per_byte']:.4f}" for t in one["tried"])
    return (
        f"{one['size']}, {one['arm']}: best at {one['best']:g} times the learning rate"
        f" (bits per byte of the tuning documents: {tried})"
    )


def answered(one: Document) -> str:
    asked = one["choices"]
    return (
        f"{one['size']}: the right answer's probability (by the character), subset less"
        f" {one['control']}: {asked['gain']:+.4f} {bounds(asked['t'])}"
    )


def extrapolated(one: Document) -> str:
    return (
        f"at {one['compute']:.2e} FLOPs, {rounded(one['factor'], 2)} times the largest, power"
        f" laws through the sizes give a gain over {one['control']} of {one['gain']:+.4f}"
        f" {bounds(one['interval'])}"
    )


def cost(spent: Document) -> list[str]:
    money = "" if spent["dollars"] is None else f", {spent['dollars']:.2f} dollars"
    return [
        f"{spent['trainings']} trainings: {spent['flops']:.2e} FLOPs, {spent['hours']:.2f} hours"
        f"{money}; the selection itself: {spent['selection_hours'] * 3600:.1f} seconds, as long as"
        f" {spent['selection_flops']:.2e} FLOPs of training take here"
    ]
