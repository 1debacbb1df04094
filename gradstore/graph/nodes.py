"""Node vectors: the stored rows of several data sets and checkpoints as one matrix of unit rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import DataError, IncompatibleError, UsageError
from gradstore.graph.dots import row_dots

if TYPE_CHECKING:
    from gradstore.store import Dataset

EMBEDDING = "rds"
_CACHED = 1 << 18
"""Numbers that are normalised at once: few enough for the processor's cache."""
_YIELDED = 1024
"""Rows that a pass over all nodes yields at once: of several checkpoints they are copies."""
_SMALLEST, _LARGEST = np.float32(1e-25), np.float32(1e25)
"""Squared norms between which float32 loses nothing."""

__all__ = ["Nodes", "Part"]


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one data set that are nodes.

    Attributes
    ----------
    datasets : tuple of Dataset
        The data set in each checkpoint.
    direction : str
        Stored direction that the vectors are read from.
    target : bool
        Whether it is a target set.
    rows : ndarray of int64
        Rows that have a gradient in every checkpoint.
    """

    datasets: tuple[Dataset, ...]
    direction: str
    target: bool
    rows: npt.NDArray[np.int64]

    @classmethod
    def of(cls, datasets: Sequence[Dataset], direction: str | None, *, target: bool) -> Part:
        """Part with all rows that are valid and not zero.

        Parameters
        ----------
        datasets : sequence of Dataset
            One data set at each checkpoint.
        direction : str or None
            What to read; None: what is usual for a pool or a target.
        target : bool
            Whether it is a target.

        Raises
        ------
        UsageError
            If the data set does not have the direction, or `direction` is None and there is no default.
        DataError
            If no row has a gradient.
        IncompatibleError
            If the data set has other rows in one checkpoint than in another.
        """
        first = datasets[0]
        chosen = direction or _default_direction(first, target)
        usable = np.ones(len(first), bool)
        for dataset in datasets:
            if chosen not in dataset.directions:
                raise UsageError(
                    f"data set {dataset.name!r} has no direction {chosen!r} in checkpoint {dataset.checkpoint!r}; "
                    f"it has: {', '.join(dataset.directions)}"
                )
            if len(dataset) != len(first) or not np.array_equal(dataset.ids, first.ids):
                raise IncompatibleError(
                    f"data set {first.name!r} has other rows in checkpoint {dataset.checkpoint!r} than in "
                    f"{first.checkpoint!r}; extract both from the same file"
                )
            norms = np.asarray(dataset.norms(chosen))
            usable &= np.asarray(dataset.valid, bool) & np.isfinite(norms) & (norms > 0)
        if not usable.any():
            raise DataError(f"data set {first.name!r} has no valid row: see its column `reason` for why")
        return cls(tuple(datasets), chosen, target, np.flatnonzero(usable).astype(np.int64))

    @property
    def widths(self) -> tuple[int, ...]:
        """Length of a row in each checkpoint."""
        return tuple(int(dataset.dim(self.direction)) for dataset in self.datasets)

    def check_comparable(self, other: Part) -> None:
        """Refuse rows whose inner products with those of `other` would mean nothing.

        Parameters
        ----------
        other : Part
            What it shall be compared with.

        Raises
        ------
        IncompatibleError
            If model, template, projection or length differ; the message says which.
        """
        kinds = [f"{part.direction!r} of {part.datasets[0].name!r}" for part in (other, self)]
        if (self.direction == EMBEDDING) != (other.direction == EMBEDDING):
            raise IncompatibleError(
                f"{' and '.join(kinds)}: embeddings cannot be compared with gradients; "
                "name a direction and a target direction of one kind"
            )
        if self.widths != other.widths:
            raise IncompatibleError(
                f"{' and '.join(kinds)} have rows of different lengths: {other.widths}, {self.widths} numbers; "
                "name directions of one projection"
            )


class Nodes:
    """Unit vectors of the rows of several data sets, read in bounded memory.

    A node vector concatenates ``sqrt(w_t) · unit row`` over the checkpoints, so that the inner product of two nodes
    is the weighted sum of their cosines (LESS).

    Parameters
    ----------
    parts : sequence of Part
        Data sets in order.
    weights : sequence of float
        Weight of each checkpoint, sum 1.

    Raises
    ------
    IncompatibleError
        If the rows of two parts are of different lengths, or one's are embeddings and the other's are gradients.
    """

    def __init__(self, parts: Sequence[Part], weights: Sequence[float]) -> None:
        self.parts = tuple(parts)
        for part in self.parts[1:]:
            part.check_comparable(self.parts[0])
        self.weights = tuple(weights)
        self.widths = self.parts[0].widths
        self._starts = np.cumsum([0, *(len(part.rows) for part in self.parts)])
        self.dim = sum(self.widths)
        self.rows = np.concatenate([part.rows for part in self.parts])
        """Row of each node in its data set."""
        names = [part.datasets[0].name for part in self.parts]
        counts = [len(part.rows) for part in self.parts]
        self.datasets = np.repeat(np.array(names, object), counts)
        self.is_target = np.repeat([part.target for part in self.parts], counts)

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, nodes: npt.NDArray[np.int64]) -> Nodes:
        """Some of the nodes, at least one, given in ascending order; `self` if they are all.

        Parameters
        ----------
        nodes : ndarray of int64, shape (n,)
            Ascending.

        Returns
        -------
        Nodes
        """
        if len(nodes) == len(self):
            return self
        cuts = np.searchsorted(nodes, self._starts)
        parts = [
            replace(part, rows=part.rows[nodes[first:last] - begin])
            for part, begin, first, last in zip(self.parts, self._starts, cuts, cuts[1:], strict=False)
            if last > first
        ]
        return Nodes(parts, self.weights)

    @property
    def ids(self) -> npt.NDArray[np.object_]:
        """Row id of each node."""
        return self.column("ids")

    def column(self, name: str) -> npt.NDArray[Any]:
        """A column of the data sets for each node, such as ``"sources"`` (that of the first checkpoint).

        Parameters
        ----------
        name : str
            An attribute of `Dataset` with a value for each row.

        Returns
        -------
        ndarray, shape (n,)
        """
        return np.concatenate([np.asarray(getattr(p.datasets[0], name))[p.rows] for p in self.parts])

    @property
    def norms(self) -> npt.NDArray[np.float32]:
        """Norm of each node's stored row in each checkpoint, shape (n, checkpoints)."""
        return np.concatenate(
            [
                np.stack([np.asarray(d.norms(p.direction))[p.rows] for d in p.datasets], axis=1)
                for p in self.parts
            ]
        ).astype(np.float32)

    @property
    def vectors(self) -> list[tuple[Dataset, str]]:
        """The data sets that are read, each with its direction."""
        return [(dataset, part.direction) for part in self.parts for dataset in part.datasets]

    def blocks(self) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Yield (first node, unit vectors) over all nodes, some at a time, along the chunks of the first checkpoint."""
        for part, begin in zip(self.parts, self._starts, strict=False):
            done = 0
            for start, block in part.datasets[0].blocks(part.direction):
                stop = start + len(block)
                rows = part.rows[done : np.searchsorted(part.rows, stop)]
                if not len(rows):
                    continue
                others = [d.read(part.direction, start, stop) for d in part.datasets[1:]]
                for first in range(0, len(rows), _YIELDED):
                    some = rows[first : first + _YIELDED] - start
                    yield int(begin) + done + first, self.unit(_side_by_side((block, *others), some))
                done += len(rows)

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Unit vectors of the nodes from `start` to `stop`, shape (stop - start, dim).

        Parameters
        ----------
        start, stop : int
            The first node, and the one after the last.

        Returns
        -------
        ndarray of float32, shape (stop - start, dim)
        """
        found = []
        for part, begin in zip(self.parts, self._starts, strict=False):
            rows = part.rows[max(start - begin, 0) : max(stop - begin, 0)]
            if len(rows):
                first, last = int(rows[0]), int(rows[-1]) + 1
                blocks = [d.read(part.direction, first, last) for d in part.datasets]
                found.append(_side_by_side(blocks, rows - first))
        return self.unit(np.concatenate(found)) if found else np.zeros((0, self.dim), np.float32)

    def take(self, nodes: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Unit vectors of any nodes in any order, shape (n, dim).

        Parameters
        ----------
        nodes : array of int, shape (n,)
            By number.

        Returns
        -------
        ndarray of float32, shape (n, dim)
        """
        return self.unit(self.take_raw(nodes))

    def take_raw(self, nodes: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Stored rows of `nodes`, neither normalised nor weighted, checkpoints side by side.

        Parameters
        ----------
        nodes : array of int, shape (n,)
            By number.

        Returns
        -------
        ndarray of float32, shape (n, dim)
        """
        wanted = np.asarray(nodes, np.int64)
        raw = np.empty((len(wanted), self.dim), np.float32)
        for part, begin in zip(self.parts, self._starts, strict=False):
            here = np.flatnonzero((wanted >= begin) & (wanted < begin + len(part.rows)))
            if len(here):
                rows = part.rows[wanted[here] - begin]
                raw[here] = np.concatenate([d.take(part.direction, rows) for d in part.datasets], axis=1)
        return raw

    @property
    def scale(self) -> npt.NDArray[np.float32]:
        """Root of its checkpoint's weight for each of the dim entries."""
        return np.repeat(np.sqrt(np.array(self.weights, np.float32)), self.widths)

    def has_records(self, nodes: Sequence[int]) -> bool:
        """Whether the store holds the original rows of `nodes`.

        Parameters
        ----------
        nodes : sequence of int
            By number.

        Returns
        -------
        bool
        """
        names = set(self.datasets[np.asarray(nodes, np.int64)])
        return all(p.datasets[0].has_records for p in self.parts if p.datasets[0].name in names)

    def records(self, nodes: Sequence[int]) -> list[dict[str, Any]]:
        """Original rows of `nodes`, in the same order.

        Parameters
        ----------
        nodes : sequence of int
            By number.

        Returns
        -------
        list of dict
        """
        found: dict[int, dict[str, Any]] = {}
        for part, begin in zip(self.parts, self._starts, strict=False):
            here = [n for n in nodes if begin <= n < begin + len(part.rows)]
            if here:  # a data set without its rows matters only if one of them is wanted
                rows = [int(part.rows[n - begin]) for n in here]
                found.update(zip(here, part.datasets[0].records(rows), strict=True))
        return [found[n] for n in nodes]

    def unit(self, raw: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Normalise each checkpoint's part of `raw` in place and weight it with ``sqrt(w_t)``; returns `raw`.

        Parameters
        ----------
        raw : ndarray of float32, shape (n, dim)
            Stored rows, checkpoints side by side; changed in place.

        Returns
        -------
        ndarray of float32, shape (n, dim)
        """
        stops = np.cumsum(self.widths)
        step = max(1, _CACHED // max(1, raw.shape[1]))
        for first in range(0, len(raw), step):
            rows = raw[first : first + step]
            for stop, width, weight in zip(stops, self.widths, self.weights, strict=True):
                _normalise(rows[:, stop - width : stop], np.float32(np.sqrt(weight)))
        return raw


def _side_by_side(
    blocks: Sequence[npt.NDArray[np.float32]], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Some rows of blocks that nobody else uses, one block beside the other; copied only where they must be."""
    whole = len(rows) == rows[-1] + 1 - rows[0]
    chosen = [block[rows[0] : rows[-1] + 1] if whole else block[rows] for block in blocks]
    return chosen[0] if len(chosen) == 1 else np.concatenate(chosen, axis=1)


def _normalise(rows: npt.NDArray[np.float32], length: np.float32) -> None:
    """Give rows this length, in place; zero rows stay zero."""
    squares = row_dots(rows, rows)
    odd = ~((squares > _SMALLEST) & (squares < _LARGEST))
    if odd.any():
        # Gradient entries may be 1e-20 and smaller: scaled first, their squares do not vanish in float32.
        largest = np.abs(rows[odd]).max(axis=1, keepdims=True, initial=0)
        scaled = rows[odd] / np.maximum(largest, np.finfo(np.float32).tiny)
        rows[odd] = scaled
        squares[odd] = row_dots(scaled, scaled)
    rows *= (length / np.sqrt(np.maximum(squares, _SMALLEST)))[:, None]


def _default_direction(dataset: Dataset, target: bool) -> str:
    usual = "sgd" if target else "adam"
    if usual in dataset.directions:
        return usual
    if len(dataset.directions) == 1:
        return str(dataset.directions[0])
    option = "target_direction" if target else "direction"
    raise UsageError(
        f"data set {dataset.name!r} has no direction {usual!r}; choose {option} from: {', '.join(dataset.directions)}"
    )
