"""What a graph was built from, whether the store still holds that, and what a graph may hold."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import CorruptError
from gradstore.store.artefacts import Artefact
from gradstore.store.store import Store

__all__ = ["check_graph", "check_origin", "digests", "rebuild_command", "stale"]


def digests(store: Store, checkpoints: Sequence[str], directions: Mapping[str, str]) -> dict[str, str]:
    """Digest of all rows that a graph depends on, by ``checkpoint/name``.

    Parameters
    ----------
    store : Store
    checkpoints : sequence of str
    directions : Mapping from str to str
        Direction that is used of each data set.
    """
    return {
        f"{key}/{name}": store.dataset(name, key).digest_of(direction)
        for key in checkpoints
        for name, direction in directions.items()
    }


def stale(store: Store, attributes: Mapping[str, Any]) -> list[str]:
    """What a graph was built from and the store does not hold any more, as ``checkpoint/name``."""
    checkpoints, directions = attributes["checkpoints"], attributes["directions"]
    gone = [
        f"{key}/{name}"
        for key in checkpoints
        for name, direction in directions.items()
        if not _has(store, key, name, direction)
    ]
    now = {} if gone else digests(store, checkpoints, directions)
    return gone or [key for key, value in now.items() if attributes["digests"].get(key) != value]


def rebuild_command(store: Store, name: str, attributes: Mapping[str, Any]) -> str:
    """The command that builds a graph of the same data sets, checkpoints and directions again."""
    directions, words = attributes["directions"], ["gradstore", "graph", store.location]
    own = [{directions[name] for name in attributes[kind]} for kind in ("train", "targets")]
    one = [
        list(found) if len(found) == 1 else [] for found in own
    ]  # several are those that `graph` takes by itself
    for option, names in (
        ("--train", attributes["train"]),
        ("--target", attributes["targets"]),
        ("--checkpoint", attributes["checkpoints"]),
        ("--direction", one[0]),
        ("--target-direction", one[1]),
    ):
        words += [word for value in names for word in (option, value)]
    words += [f"--{attributes['method']}", "-m", str(attributes["neighbours"])]
    if attributes.get("conflicts"):
        words += ["--conflicts", str(attributes["conflicts"])]
    return shlex.join([*words, "--name", name])


def check_origin(graph: Artefact) -> None:
    """Refuse a graph that does not tell what it was built from.

    Raises
    ------
    CorruptError
    """
    ours = graph.attributes
    lists = [ours.get(name) for name in ("checkpoints", "train", "targets")]
    tables = [ours.get(name) for name in ("directions", "digests")]
    named = all(isinstance(names, list) and all(isinstance(each, str) for each in names) for names in lists)
    told = all(
        isinstance(table, dict) and all(isinstance(each, str) for each in table.values()) for table in tables
    )
    numbers = [ours.get("recall"), ours.get("neighbours")]
    counted = all(isinstance(number, int | float) for number in numbers)
    if not (
        named
        and told
        and counted
        and isinstance(ours.get("method"), str)
        and {*ours["train"], *ours["targets"]} <= set(ours["directions"])
    ):
        raise CorruptError(f"graph {graph.name!r} does not tell what it was built from: build it again")


def check_graph(graph: Artefact) -> None:
    """Refuse neighbours that are no nodes, cosines that are none, and columns that do not fit each other.

    Raises
    ------
    CorruptError
    """
    names = ("neighbours", "cosines", "rows")
    if not set(names) <= set(graph.arrays) or not {"ids", "datasets"} <= set(graph.strings):
        raise CorruptError(f"graph {graph.name!r} lacks some of its arrays: build it again")
    links, cosines, rows = (graph.arrays[name] for name in names)
    nodes = len(graph.strings["ids"])
    fits = (
        links.ndim == 2
        and links.shape == cosines.shape
        and [each.dtype.name for each in (links, cosines, rows)] == ["int32", "float32", "int64"]
        and {len(links), len(rows), len(graph.strings["datasets"])} == {nodes}
        and rows.ndim == 1
    )
    if not fits:
        raise CorruptError(f"graph {graph.name!r} has arrays that do not fit each other: build it again")
    _check_lists(graph.name, links, cosines, nodes)
    if {"conflicts", "conflict_cosines"} & set(graph.arrays):
        worst, negative = (graph.arrays.get(name) for name in ("conflicts", "conflict_cosines"))
        if (
            worst is None
            or negative is None
            or worst.ndim != 2
            or worst.shape != negative.shape
            or len(worst) != nodes
            or [worst.dtype.name, negative.dtype.name] != ["int32", "float32"]
        ):
            raise CorruptError(f"graph {graph.name!r} has conflicts that do not fit it: build it again")
        _check_lists(graph.name, worst, negative, nodes)


def _check_lists(name: str, links: npt.NDArray[Any], cosines: npt.NDArray[Any], nodes: int) -> None:
    if links.size and not (links.min() >= -1 and links.max() < nodes):
        raise CorruptError(f"graph {name!r} links to nodes that it does not have: build it again")
    if cosines.size and not (np.abs(cosines) <= 1).all():
        raise CorruptError(f"graph {name!r} has cosines beyond 1: build it again")


def _has(store: Store, checkpoint: str, name: str, direction: str) -> bool:
    known = checkpoint in store.checkpoints and name in store.datasets(checkpoint)
    return known and direction in store.dataset(name, checkpoint).directions
