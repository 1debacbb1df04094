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
    "dim=1024": "k = 1024",
    "dim=2048": "k = 2048",
    "dim=4096": "k = 4096",
    "encoding=exact": "float32 (`exact`)",
    "encoding=sign": "one bit (`sign`)",
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
    known = losses.pop("")
    plain = {column: values for column, values in known.items() if column[0] not in NO_TARGET}
    most = max(map(len, plain.values()))
    usual = {column: values for column, values in plain.items() if 2 * len(values) >= most}
    at_random = {column: known.get(("random", column[1]), {}) for column in usual}
    rows = {}
    for name, found in [("random", at_random), *sorted(losses.items(), key=lambda item: _order(item[0]))]:
        rows[_NAMES.get(name, name)] = {
            column: difference(found[column], usual[column]) for column in usual if column in found
        }
    return Variations(usual, rows)


def parted(choice: str) -> Column:
    """A choice as usual, and what varies it."""
    rest = re.sub(r"[@^]\w+|,?center=true", "", choice).rstrip(":")
    varied = re.findall(r"@\w+|\^\w+|center=true", choice)
    return rest, " ".join(varied)


def _order(name: str) -> tuple[int, str]:
    known = list(_NAMES)
    return (known.index(name) if name in known else len(known)), name
