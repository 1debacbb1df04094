"""The mixed instruction graph as an artefact of a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import IncompatibleError, StoreNotFoundError
from gradstore.graph.origin import check_graph, check_origin, rebuild_command, stale
from gradstore.registry import unknown_name

if TYPE_CHECKING:
    from gradstore.store import Store

__all__ = ["Graph", "load_graph"]


@dataclass(frozen=True, slots=True)
class Graph:
    """Nearest neighbours of train and target rows among each other.

    Attributes
    ----------
    ids, datasets : ndarray of str, shape (n,)
        Row id and data set of each node.
    rows : ndarray of int64, shape (n,)
        Row of each node in its data set.
    neighbours : ndarray of int32, shape (n, m)
        Nodes by descending cosine; -1 where there is none.
    cosines : ndarray of float32, shape (n, m)
    attributes : Mapping
        How it was built: method and why, parameters, recall, checkpoints, directions, digests of the data sets.
    """

    ids: npt.NDArray[np.object_]
    datasets: npt.NDArray[np.object_]
    rows: npt.NDArray[np.int64]
    neighbours: npt.NDArray[np.int32]
    cosines: npt.NDArray[np.float32]
    attributes: Mapping[str, Any]

    @property
    def recall(self) -> float:
        """Measured share of true neighbours that are listed; 1 for an exact graph."""
        return float(self.attributes["recall"])

    @property
    def method(self) -> str:
        """``"exact"`` or ``"hnsw"``."""
        return str(self.attributes["method"])

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        n, m = self.neighbours.shape
        return f"Graph of {n} rows with {m} neighbours each ({self.method}, recall {self.recall:.3f})"


def load_graph(store: Store | str | Path, name: str = "default") -> Graph:
    """Read a graph, after checking that its data sets are those it was built from.

    Raises
    ------
    StoreNotFoundError
        If there is no such graph.
    IncompatibleError
        If a data set has changed or gone since it was built.
    """
    from gradstore.store import open_store, read_artifact

    opened = open_store(store) if isinstance(store, str | Path) else store
    if name not in opened.graphs:
        if opened.graphs:
            raise StoreNotFoundError(unknown_name("graph", name, opened.graphs))
        raise StoreNotFoundError(f"{opened.location} has no graph; run `gradstore graph {opened.location}`")
    artifact = read_artifact(opened, "graphs", name)
    check_origin(artifact)
    check_graph(artifact)
    _check_fresh(opened, name, artifact.attributes)
    return Graph(
        np.array(artifact.strings["ids"], object),
        np.array(artifact.strings["datasets"], object),
        np.asarray(artifact.arrays["rows"]),
        np.asarray(artifact.arrays["neighbours"]),
        np.asarray(artifact.arrays["cosines"]),
        artifact.attributes,
    )


def _check_fresh(store: Store, name: str, attributes: Mapping[str, Any]) -> None:
    found = stale(store, attributes)
    if found:
        raise IncompatibleError(
            f"graph {name!r} was built from other rows than the store holds now ({', '.join(found)}); "
            f"rebuild it: {rebuild_command(store, name, attributes)}"
        )
