"""Tables and a picture of the results: means over seeds, and differences from other choices at the same seed."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

BEGIN, END = "<!-- quality: begin -->", "<!-- quality: end -->"
RIVALS = ("random", "round-robin")


class Group(NamedTuple):
    """What may be compared: one store, one budget, one training, one target to learn and one to test."""

    label: str
    fraction: float
    steps: int
    lr: float
    test_rows: int
    target: str
    test: str


Losses = dict[str, dict[int, float]]
"""By choice and seed."""


def report(results: Path, page: Path) -> None:
    """Write what is between the two marks of a page anew, and the picture beside it."""
    groups = read(results)
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{page} lacks {BEGIN} and {END}")
    tables = "\n\n".join(_table(group, losses) for group, losses in groups.items())
    page.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}", encoding="utf-8")
    _picture(groups, page.with_name("quality.svg"))


def read(results: Path) -> dict[Group, Losses]:
    """Losses of all groups; a choice without target belongs to all of the same store, budget and training."""
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    groups: dict[Group, Losses] = defaultdict(lambda: defaultdict(dict))
    for line in (line for line in lines if line["target"]):
        for test, value in line["loss"].items():
            groups[_group(line, line["target"], test)][line["choice"]][line["seed"]] = value
    for line in (line for line in lines if not line["target"]):
        for group, losses in groups.items():
            if group.test in line["loss"] and _serves(line, group):
                losses[line["choice"]][line["seed"]] = line["loss"][group.test]
    return dict(sorted(groups.items()))


def _group(line: dict[str, Any], target: str, test: str) -> Group:
    return Group(*(line[name] for name in Group._fields[:5]), target, test)


def _serves(line: dict[str, Any], group: Group) -> bool:
    """Whether a choice without target may stand beside those of a group."""
    if line["test_rows"] != group.test_rows:
        return False
    if line["choice"] == "base":
        return True
    same = (line["label"], line["steps"], line["lr"]) == (group.label, group.steps, group.lr)
    return same and (line["choice"] == "all" or line["fraction"] == group.fraction)


def interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half of the width of its 95 % interval (Student's t); NaN for a single value."""
    count = len(values)
    if count < 2:
        return float(np.mean(values)), math.nan
    half = stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count)
    return float(np.mean(values)), float(half)


def _against(losses: Losses, choice: str, rival: str) -> str:
    """Mean difference from a rival at the same seeds."""
    seeds = sorted(losses[choice].keys() & losses.get(rival, {}).keys())
    if choice == rival or not seeds:
        return ""
    mean, half = interval([losses[choice][seed] - losses[rival][seed] for seed in seeds])
    if math.isnan(half):
        return f"{mean:+.4f}"
    verdict = "" if abs(mean) <= half else " **better**" if mean < 0 else " worse"
    return f"{mean:+.4f} ± {half:.4f}{verdict}"


def _table(group: Group, losses: Losses) -> str:
    what = group.target.replace("+", " and ")
    budget = f"{group.fraction:.0%} of the pool"
    title = f"### For {what}: {budget}, loss on {group.test}"
    if group.label != "main":
        title += f", store `{group.label}`"
    lines = [
        title,
        "",
        f"{group.steps} steps of 16 rows at {group.lr:g}, {group.test_rows} test rows.",
        "",
        "| chosen by | seeds | loss | against random | against round-robin |",
        "|---|---:|---:|---:|---:|",
    ]
    for choice in sorted(losses, key=lambda name: np.mean(list(losses[name].values()))):
        mean, half = interval(list(losses[choice].values()))
        value = f"{mean:.4f}" + ("" if math.isnan(half) else f" ± {half:.4f}")
        against = [_against(losses, choice, rival) for rival in RIVALS]
        name = f"*{choice}*" if choice in ("base", "all") else f"`{choice}`"
        lines.append(f"| {name} | {len(losses[choice])} | {value} | {' | '.join(against)} |")
    return "\n".join(lines)


def _picture(groups: dict[Group, Losses], path: Path) -> None:
    """Mean and interval of each choice, a panel for each group of the main store."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "gradstore"  # the same figures make the same file
    from matplotlib import pyplot

    shown = {group: losses for group, losses in groups.items() if group.label == "main"}
    if not shown:
        return
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(9, 3.2 * rows), squeeze=False, layout="constrained"
    )
    for axis, (group, losses) in zip(axes.flat, shown.items(), strict=False):
        names = sorted(losses, key=lambda name: -np.mean(list(losses[name].values())))
        for place, name in enumerate(names):
            mean, half = interval(list(losses[name].values()))
            error = None if math.isnan(half) else half
            axis.errorbar(mean, place, xerr=error, fmt="o", capsize=3, color="#1f5fa8")
        axis.set_yticks(range(len(names)), names)
        axis.set(title=f"for {group.target}, {group.fraction:.0%}", xlabel=f"loss on {group.test}")
        axis.grid(axis="x", alpha=0.3)
    for axis in list(axes.flat)[len(shown) :]:
        axis.remove()
    figure.savefig(path, metadata={"Date": None})
