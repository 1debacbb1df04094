"""What a selector sees: candidates, their vectors, the target, the graph. Nothing of the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.graph.exact import MEMORY, TILE, exact_neighbours, tile
from gradstore.graph.nodes import Nodes
from gradstore.progress import Progress, silent
from gradstore.select.centred import Centred
from gradstore.select.target import Target
from gradstore.select.threads import in_order, undivided

__all__ = ["Neighbours", "Project", "SelectionContext"]

Float = npt.NDArray[np.float32]
Project = Callable[[Nodes, Float, Progress], Float]
"""Gives the inner products of nodes with directions from elsewhere, such as `gradstore.cluster`."""
Neighbours = tuple[npt.NDArray[np.int32], Float]
"""Neighbours of every candidate by descending cosine, shape (N, m), -1 behind the last; and their cosines."""


class SelectionContext:
    """The candidates of one selection: all rows of the train sets that have a gradient.

    Rows are addressed by their index from 0 to ``len(context) - 1``. A context is `gradstore.graph.vectors.Vectors`:
    whatever reads unit rows can read them from it.

    Parameters
    ----------
    nodes : Nodes
        The candidates.
    target : Target, optional
    graph : callable, optional
        Returns neighbours and cosines of every candidate, see `graph`; called when they are asked for.
    exact : bool, default False
        Whether neighbours are to be computed where they are needed rather than looked up; then `graph` computes
        those of all candidates, for selectors that know no other way.
    seed : int, default 0
    memory : int
        Bytes that a selector may hold of vectors.
    elsewhere : callable, optional
        ``elsewhere(nodes, directions, progress)`` does the work of `project`.
    progress : Progress, optional
    before_vectors : callable, optional
        Called once, before the first vector is read.

    Attributes
    ----------
    ids, sources, subtasks : ndarray of str, shape (N,)
    tokens : ndarray of int32, shape (N,)
    loss : ndarray of float32, shape (N,)
    dim : int
        Length of a vector.
    widths : tuple of int
        Length of each checkpoint's part of it.
    exact, memory
        As given.
    rng : numpy.random.Generator
        The only randomness that a selector may use.
    """

    def __init__(
        self,
        nodes: Nodes,
        *,
        target: Target | None = None,
        graph: Callable[[], Neighbours] | None = None,
        exact: bool = False,
        seed: int = 0,
        memory: int = MEMORY,
        elsewhere: Project | None = None,
        progress: Progress = silent,
        before_vectors: Callable[[], object] = lambda: None,
    ) -> None:
        self._nodes = nodes
        self._read: Nodes | Centred = nodes
        self._before_vectors = before_vectors
        self._target = target
        self._graph = graph
        self._seed = seed
        self.dim, self.widths = nodes.dim, nodes.widths
        self.exact, self.memory = exact, memory
        self._elsewhere = elsewhere
        self.rng = np.random.default_rng(seed)
        self.progress = progress

    def __len__(self) -> int:
        return len(self._nodes)

    @cached_property
    def ids(self) -> npt.NDArray[np.object_]:  # noqa: D102
        return self._nodes.ids

    @cached_property
    def sources(self) -> npt.NDArray[np.object_]:  # noqa: D102
        return self._nodes.column("sources")

    @cached_property
    def subtasks(self) -> npt.NDArray[np.object_]:  # noqa: D102
        return self._nodes.column("subtasks")

    @cached_property
    def tokens(self) -> npt.NDArray[np.int32]:  # noqa: D102
        return self._nodes.column("tokens")

    @cached_property
    def loss(self) -> Float:  # noqa: D102
        return self._nodes.column("loss")

    @property
    def has_target(self) -> bool:
        """Whether a target was given."""
        return self._target is not None

    @property
    def target(self) -> Target:
        """The target; a UsageError if none was given."""
        if self._target is None:
            raise UsageError("this selector needs a target; name one of the store's data sets with --target")
        return self._target

    @cached_property
    def norms(self) -> Float:
        """Norm of each candidate's stored row in each checkpoint, shape (N, checkpoints)."""
        return self._nodes.norms

    @property
    def graph(self) -> npt.NDArray[np.int32]:
        """Neighbours among the candidates, shape (N, m), by descending cosine; -1 behind the last one.

        Raises
        ------
        UsageError, StoreNotFoundError, IncompatibleError
            If there is no graph, or it does not belong to these candidates.
        """
        return self._links[0]

    @property
    def cosines(self) -> Float:
        """Cosines with the neighbours in `graph`, 0 where there is none; errors as there."""
        return self._links[1]

    @cached_property
    def _links(self) -> Neighbours:
        if self.exact:
            return exact_neighbours(self, _NEIGHBOURS, self.progress, memory=self.memory)
        if self._graph is None:
            raise UsageError("this selector needs a graph; run `gradstore graph` first")
        return self._graph()

    @cached_property
    def _vectors(self) -> Nodes | Centred:
        self._before_vectors()
        return self._read

    def blocks(self) -> Iterator[tuple[int, Float]]:
        """Yield (first index, unit vectors of shape (n, dim)) over all candidates, in bounded memory."""
        return self._vectors.blocks()

    def vectors(self) -> Float:
        """All unit vectors in memory, shape (N, dim)."""
        dense = np.empty((len(self), self.dim), np.float32)
        for start, block in self.blocks():
            dense[start : start + len(block)] = block
        return dense

    def read(self, start: int, stop: int) -> Float:
        """Unit vectors of the candidates from `start` to `stop`.

        Parameters
        ----------
        start, stop : int
            The first candidate, and the one after the last.

        Returns
        -------
        ndarray of float32, shape (stop - start, dim)
        """
        return self._vectors.read(start, stop)

    def take(self, nodes: npt.ArrayLike) -> Float:
        """Unit vectors of some candidates, in any order.

        Parameters
        ----------
        nodes : array of int, shape (n,)
            Candidates by number.

        Returns
        -------
        ndarray of float32, shape (n, dim)
        """
        return self._vectors.take(nodes)

    def rows(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Original rows of the candidates with these ids.

        Parameters
        ----------
        ids : sequence of str
            Ids of candidates.

        Returns
        -------
        list of dict
        """
        place = {name: i for i, name in reversed(list(enumerate(self.ids)))}
        return self._nodes.records([place[name] for name in ids])

    def project(self, directions: Float) -> Float:
        """Inner products of all candidates with `directions` of shape (n, dim), shape (N, n); streams.

        Parameters
        ----------
        directions : ndarray of float32, shape (n, dim)
            What to compare with.

        Returns
        -------
        ndarray of float32, shape (N, n)
        """
        if self._elsewhere is not None:
            return self._elsewhere(self._nodes, directions, self.progress)
        found = np.empty((len(self), len(directions)), np.float32)

        def multiply(part: tuple[int, Float]) -> None:
            start, rows = part
            found[start : start + TILE] = (rows @ directions.T)[: len(self) - start]

        held = self.memory // 8 // (4 * TILE * self.dim)
        with undivided() as threads:
            deque(in_order(multiply, self._tiles(), min(threads, held)), maxlen=0)
        return found

    @cached_property
    def _similarity(self) -> Float:
        return self.project(self.target.vectors)

    def similarity(self) -> Float:
        """LESS's matrix ``sum_t w_t T_t V_tᵀ`` of candidates and target rows, shape (N, n); computed once."""
        return self._similarity

    def by_id(self) -> npt.NDArray[np.int64]:
        """Candidates ordered by id: the order for draws that must not depend on the order of rows."""
        return self._by_id

    @cached_property
    def _by_id(self) -> npt.NDArray[np.int64]:
        return np.array(sorted(range(len(self)), key=self.ids.tolist().__getitem__), np.int64)

    def ranked(self, scores: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
        """Candidates by descending score, those of equal score by id; NaN is the lowest score.

        Parameters
        ----------
        scores : ndarray, shape (N,)
            Higher is better.

        Returns
        -------
        ndarray of int64, shape (N,)
        """
        order = self._by_id
        return order[np.argsort(-np.where(np.isnan(scores), -np.inf, scores)[order], kind="stable")]

    def centred(self) -> SelectionContext:
        """The same candidates without the mean of their unit vectors, normalised again.

        Under ``adam`` the momentum, the same in every row, hides what sets rows apart. The graph of the centred
        vectors is another one, and is computed exactly when it is asked for.

        Raises
        ------
        UsageError
            If inner products are to be computed elsewhere, where the mean is not known.
        """
        if self._elsewhere is not None:
            raise UsageError("a cluster compares rows as they are: leave out the scheduler, or centring")
        total = np.zeros(self.dim)
        for _, rows in self._tiles():
            total += rows.sum(axis=0, dtype=np.float64)
        centred = SelectionContext(
            self._nodes,
            target=self._target,
            exact=self.exact,
            seed=self._seed,
            memory=self.memory,
            progress=self.progress,
        )
        vectors = Centred(self._nodes, (total / len(self)).astype(np.float32))
        centred._read = vectors
        centred._graph = lambda: exact_neighbours(vectors, _NEIGHBOURS, self.progress, memory=self.memory)
        return centred

    def _tiles(self) -> Iterator[tuple[int, Float]]:
        """All vectors in tiles of one size, the last filled up with zeros, however the store is chunked."""
        pending: list[Float] = []
        start = held = 0
        for _, block in self.blocks():
            pending.append(block)
            held += len(block)
            if held < TILE:
                continue
            joined = pending[0] if len(pending) == 1 else np.concatenate(pending)
            for first in range(0, held - TILE + 1, TILE):
                yield start, joined[first : first + TILE]
                start += TILE
            pending, held = [joined[held - held % TILE :]], held % TILE
        if held:
            yield start, tile(np.concatenate(pending))


_NEIGHBOURS = 32
