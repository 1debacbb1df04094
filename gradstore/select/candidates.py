"""What a store offers a selector: rows of the directions it reads, and the links among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import IncompatibleError
from gradstore.graph.graph import Graph
from gradstore.graph.nodes import Nodes
from gradstore.graph.origin import rebuild_command
from gradstore.graph.sets import common_checkpoints, open_nodes
from gradstore.select.context import Neighbours
from gradstore.select.lacking import check_directions
from gradstore.select.protocol import Selector

if TYPE_CHECKING:
    from gradstore.store import Store

__all__ = ["open_for", "restricted_graph"]

_BLOCK = 1 << 16


def open_for(
    rule: Selector,
    store: Store,
    *,
    train: Sequence[str],
    targets: Sequence[str],
    checkpoints: Sequence[str] | None,
    direction: str | None,
    target_direction: str | None,
) -> Nodes:
    """Nodes of the data sets in the directions that the user names, or else those that `rule` is made for.

    Raises
    ------
    UsageError
        If data sets lack a direction that `rule` is made for; names the commands that add it.
    StoreNotFoundError, IncompatibleError, DataError
        As `gradstore.graph.open_nodes`.
    """
    made_for: tuple[str | None, str | None] = getattr(rule, "directions", (None, None))
    chosen = (direction or made_for[0], target_direction or made_for[1])
    wanted = {
        **dict.fromkeys(train, made_for[0] if direction is None else None),
        **dict.fromkeys(targets, made_for[1] if target_direction is None else None),
    }
    if any(wanted.values()):
        check_directions(rule.name, store, wanted, common_checkpoints(store, [*train, *targets], checkpoints))
    return open_nodes(
        store,
        train=train,
        targets=targets,
        checkpoints=checkpoints,
        direction=chosen[0],
        target_direction=chosen[1],
    )


def restricted_graph(graph: Graph, nodes: Nodes, store: Store, name: str) -> Neighbours:
    """Neighbours among the candidates, and cosines: of the graph's links those that end at a candidate.

    Raises
    ------
    IncompatibleError
        If the graph lacks candidates, or was built with other checkpoints, weights or directions.
    """
    wanted: dict[str, Any] = {
        "checkpoints": [dataset.checkpoint for dataset in nodes.parts[0].datasets],
        "directions": {part.datasets[0].name: part.direction for part in nodes.parts},
    }
    held = {
        "checkpoints": list(graph.attributes["checkpoints"]),
        "directions": {key: graph.attributes["directions"].get(key) for key in wanted["directions"]},
    }
    needed = {
        **graph.attributes,
        "train": list(wanted["directions"]),
        "checkpoints": wanted["checkpoints"],
        "directions": {**graph.attributes["directions"], **wanted["directions"]},
    }
    for what, value in wanted.items():
        if held[what] != value:
            raise IncompatibleError(
                f"graph {name!r} has {what} {held[what]}, this selection {value}; build one for it: "
                f"{rebuild_command(store, name, needed)}"
            )
    candidate = np.full(len(graph), -1, np.int64)
    node = np.full(len(nodes), -1, np.int64)
    for part in nodes.parts:
        dataset = part.datasets[0].name
        there, here = np.flatnonzero(graph.datasets == dataset), np.flatnonzero(nodes.datasets == dataset)
        _, at, ours = np.intersect1d(graph.rows[there], nodes.rows[here], return_indices=True)
        candidate[there[at]] = here[ours]
        node[here[ours]] = there[at]
    if (node < 0).any():
        raise IncompatibleError(
            f"graph {name!r} lacks {int((node < 0).sum())} of the {len(nodes)} candidates; rebuild it: "
            f"{rebuild_command(store, name, needed)}"
        )
    return _renumbered(graph, node, candidate)


def _renumbered(graph: Graph, node: npt.NDArray[np.int64], candidate: npt.NDArray[np.int64]) -> Neighbours:
    """Links of the nodes `node` as candidates, -1 behind the last; few at a time, to need little memory."""
    links = np.empty((len(node), graph.neighbours.shape[1]), np.int32)
    cosines = np.empty(links.shape, np.float32)
    for start in range(0, len(node), _BLOCK):
        some = node[start : start + _BLOCK]
        found = graph.neighbours[some]
        found = np.where(found >= 0, candidate[found], -1)
        front = np.argsort(found < 0, axis=1, kind="stable")
        links[start : start + _BLOCK] = np.take_along_axis(found, front, axis=1)
        near = np.where(found >= 0, graph.cosines[some], 0)
        cosines[start : start + _BLOCK] = np.take_along_axis(near, front, axis=1)
    return links, cosines
