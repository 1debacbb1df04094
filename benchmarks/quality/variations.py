"""What changes when the same selectors choose from other gradients of the same rows."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import NamedTuple

from benchmarks.quality.choices import NO_TARGET
from benchmarks.quality.results import MAIN, Group, Losses, Training, difference

_NAMES = {
    "random": "rows at random",
    "@sgd": "`sgd`",
    "@precond": "`precond`",
    "center=true": "centred",
    "^low": "a graph of recall 0.976",
    "dim=512": "k = 512",
    "dim=2048": "k = 2048",
    "dim=4096": "k = 4096",
    "encoding=sign": "one bit (`sign`)",
    "encoding=int4": "four bits (`int4`)",
    "warmup=0": "no warm-up (`sgd`)",
    "warmup=20": "warm-up on 20 %, one epoch",
    "batch=128": "warm-up in batches of 128",
}
Column = tuple[str, str]
"""Choice and target."""


class Variations(NamedTuple):
    """Losses from the usual rows, and by variation the difference from them."""

    usual: dict[Column, dict[int, float]]
    rows: dict[str, dict[Column, tuple[float, float, int] | None]]


def variations(groups: dict[Group, Losses], training: Training) -> Variations:
    """All variations of one training, the usual rows being the main store's, without more said."""
    losses: dict[str, dict[Column, dict[int, float]]] = defaultdict(dict)
    for group, found in groups.items():
        for choice, values in found.items() if group.training == training else ():
            base, variation = parted(choice)
            name = ", ".join(filter(None, ["" if group.label == MAIN else group.label, variation]))
            losses[name][base, group.target] = values
    plain = {column: values for column, values in losses.pop("").items() if column[0] not in NO_TARGET}
    most = max(map(len, plain.values()))
    usual = {column: values for column, values in plain.items() if 2 * len(values) >= most}
    rows = {}
    for name in sorted(losses, key=_order):
        rows[_NAMES.get(name, name)] = {
            column: difference(losses[name][column], usual[column])
            for column in usual
            if column in losses[name]
        }
    random = {column: _random(groups, training, column[1]) for column in usual}
    if all(random.values()):
        rows = {
            _NAMES["random"]: {column: difference(random[column], usual[column]) for column in usual},
            **rows,
        }
    return Variations(usual, rows)


def _random(groups: dict[Group, Losses], training: Training, target: str) -> dict[int, float]:
    """Losses of random rows."""
    return next(
        (
            losses["random"]
            for group, losses in groups.items()
            if (group.training, group.target, group.label) == (training, target, MAIN) and "random" in losses
        ),
        {},
    )


def parted(choice: str) -> Column:
    """A choice as usual, and what varies it."""
    rest = re.sub(r"[@^]\w+|,?center=true", "", choice).rstrip(":")
    varied = re.findall(r"@\w+|\^\w+|center=true", choice)
    return rest, " ".join(varied)


def _order(name: str) -> tuple[int, str]:
    known = list(_NAMES)
    return (known.index(name) if name in known else len(known)), name
