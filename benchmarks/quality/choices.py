"""What is compared, and the rows that each choice comes to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gradstore
from gradstore.select import Picked
from gradstore.select.altered import altered, encoded_as, folded_to
from gradstore.store import Store

MAIN = (
    "base",
    "random",
    "g2is",
    "less:aggregate=mean",
    "round-robin",
    "g2is:preset=authors",
    "rds",
    "all",
)
NO_TARGET = ("base", "random", "tagcos", "gsnr", "top-norm", "low-loss", "high-loss", "all")


def has_target(choice: str) -> bool:
    return choice.partition(":")[0].partition("@")[0] not in NO_TARGET


def seen(store: Path, encoding: str | None, dim: int | None) -> Store:
    """The store, with rows of fewer numbers or bits."""
    opened = gradstore.open(store)
    if dim:
        opened = altered(opened, folded_to(dim))
    return altered(opened, encoded_as(encoding)) if encoding else opened


def picked(store: Store, choice: str, target: str, fraction: float, seed: int) -> Picked:
    """The choice of a selector; `all` is a random choice of everything."""
    parts = re.fullmatch(r"(.+?)(?:@(\w+))?(?:\^(\w+))?(?::(\w+=.*))?", choice)
    if parts is None:
        raise SystemExit(f"{choice!r} is no choice")
    selector, direction, graph, rest = parts.groups()
    params: dict[str, Any] = dict(pair.split("=") for pair in (rest or "").split(",") if pair)
    return gradstore.select(
        store,
        selector="random" if selector == "all" else selector,
        target=target.split("+") if has_target(choice) else None,
        budget=1.0 if selector == "all" else fraction,
        params=params,
        direction=direction or (None if has_target(choice) else "adam"),
        graph=graph or "exact",
        seed=seed,
        keep=False,
    )
