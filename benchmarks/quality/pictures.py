"""Pictures of the results: each mean with its 95 % interval."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.results import MAIN, Group, Losses, interval
from benchmarks.quality.variations import Variations

_COLOURS = ("#1f5fa8", "#c2571a")


def picture_of_choices(groups: dict[Group, Losses], path: Path) -> None:
    """Losses of each choice, a panel for each group of the main store."""
    shown = {group: losses for group, losses in groups.items() if group.label == MAIN}
    if not shown:
        return
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = _figure(rows, columns, 3.2)
    for axis, (group, losses) in zip(axes.flat, shown.items(), strict=False):
        names = sorted(losses, key=lambda name: -np.mean(list(losses[name].values())))
        for place, name in enumerate(names):
            _point(axis, place, *interval(list(losses[name].values())), _COLOURS[0])
        axis.set_yticks(range(len(names)), names)
        what = f"for {group.target.replace('+', ' and ')}, {group.training.fraction:.0%}"
        axis.set_title(f"{group.training.model}\n{what}", fontsize="medium")
        axis.set_xlabel(f"loss on {group.test}")
        axis.grid(axis="x", alpha=0.3)
    for axis in list(axes.flat)[len(shown) :]:
        axis.remove()
    figure.savefig(path, metadata={"Date": None})


def picture_of_variations(study: Variations, path: Path) -> None:
    """Differences from the usual rows, a panel for each target, a colour for each selector."""
    targets = list(dict.fromkeys(target for _, target in study.usual))
    choices = list(dict.fromkeys(choice for choice, _ in study.usual))
    figure, axes = _figure(1, len(targets), 0.6 + 0.45 * len(study.rows))
    names = list(study.rows)[::-1]
    for axis, target in zip(axes.flat, targets, strict=True):
        axis.axvline(0, color="#999999", linewidth=1)
        for order, choice in enumerate(choices):
            label: str | None = choice
            for place, name in enumerate(names):
                found = study.rows[name].get((choice, target))
                if found is not None:
                    _point(axis, place + 0.15 - 0.3 * order, *found[:2], _COLOURS[order % 2], label)
                    label = None
        axis.set_ylim(-0.5, len(names) - 0.5)
        axis.set_yticks(range(len(names)), [name.replace("`", "") for name in names])
        axis.set(title=f"for {target}", xlabel="difference in loss, less is better")
        axis.grid(axis="x", alpha=0.3)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(choices))
    figure.savefig(path, metadata={"Date": None})


def _figure(rows: int, columns: int, height: float) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "gradstore"  # the same figures make the same file
    from matplotlib import pyplot

    size = (9, height * rows)
    figure, axes = pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    return figure, axes


def _point(axis: Any, place: float, mean: float, half: float, colour: str, label: str | None = None) -> None:
    error = None if math.isnan(half) else half
    axis.errorbar(mean, place, xerr=error, fmt="o", capsize=3, color=colour, label=label)
