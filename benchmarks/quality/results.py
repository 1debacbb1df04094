"""The lines of results.jsonl, put together so that only what may be compared stands side by side."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

MAIN = "main"


class Training(NamedTuple):
    """A model and a budget, and how the choices were trained on and tested."""

    model: str
    fraction: float
    steps: int
    lr: float
    test_rows: int


class Group(NamedTuple):
    """What may be compared: one training, one target to learn and one to test, one store."""

    training: Training
    target: str
    test: str
    label: str


Losses = dict[str, dict[int, float]]
"""By choice and seed."""


def read(results: Path) -> dict[Group, Losses]:
    """Losses of all groups; a choice without target belongs to all of the same store, budget and training."""
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    groups: dict[Group, Losses] = defaultdict(lambda: defaultdict(dict))
    for line in (line for line in lines if line["target"]):
        for test, value in line["loss"].items():
            group = Group(_training(line), line["target"], test, line["label"])
            groups[group][line["choice"]][line["seed"]] = value
    for line in (line for line in lines if not line["target"]):
        for group, losses in groups.items():
            if group.test in line["loss"] and _serves(line, group):
                losses[line["choice"]][line["seed"]] = line["loss"][group.test]
    return dict(sorted(groups.items()))


def varied(groups: Iterable[Group]) -> set[Training]:
    """Trainings of which there are results of more than one store: there to compare the stores."""
    labels: dict[Training, set[str]] = defaultdict(set)
    for group in groups:
        labels[group.training].add(group.label)
    return {training for training, found in labels.items() if len(found) > 1}


def _training(line: Mapping[str, Any]) -> Training:
    return Training(*(line[name] for name in Training._fields))


def _serves(line: Mapping[str, Any], group: Group) -> bool:
    """Whether a choice without target may stand beside those of a group."""
    if line["choice"] == "base":
        return all(line[name] == getattr(group.training, name) for name in ("model", "test_rows"))
    training = _training(line)
    if line["choice"] == "all":
        training = training._replace(fraction=group.training.fraction)
    return (line["label"], training) == (group.label, group.training)


def interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half of the width of its 95 % interval (Student's t); NaN for a single value."""
    count = len(values)
    if count < 2:
        return float(np.mean(values)), math.nan
    half = stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count)
    return float(np.mean(values)), float(half)


def difference(one: Mapping[int, float], other: Mapping[int, float]) -> tuple[float, float, int] | None:
    """Mean difference at the same seeds, half its interval, and the number of those seeds; None without any."""
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        return None
    return (*interval([one[seed] - other[seed] for seed in seeds]), len(seeds))
