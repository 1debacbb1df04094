"""Proof that a selector behaves, and small stores and contexts to try one on.

Made for the tests of selectors, this project's own and those of others:

>>> from gradstore.select.random import Random
>>> from gradstore.testing import check_selector
>>> check_selector(Random())
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from gradstore.graph.exact import exact_neighbours
from gradstore.graph.nodes import Nodes, Part
from gradstore.records import CheckpointIdentity, Selection, digest
from gradstore.select.context import SelectionContext
from gradstore.select.params import parameters, settings
from gradstore.select.protocol import Selector
from gradstore.select.target import Target

if TYPE_CHECKING:
    from gradstore.store import Dataset, Store

__all__ = ["ArrayDataset", "check_selector", "tiny_context", "tiny_store"]

_SOURCES = ("stories", "sums", "code")


class ArrayDataset:
    """A data set in memory, which reads like one of a store.

    Parameters
    ----------
    gradients : ndarray, shape (N, dim)
        Zero rows count as invalid.
    name, checkpoint, direction : str
    ids, sources, subtasks : sequence of str, optional
    target : bool, default False
    chunk_rows : int, default 16
        Rows that `blocks` yields at once.
    """

    identity = CheckpointIdentity()
    has_records = True

    def __init__(
        self,
        gradients: npt.NDArray[np.floating],
        *,
        name: str = "pool",
        checkpoint: str = "tiny",
        direction: str = "sgd",
        ids: Sequence[str] | None = None,
        sources: Sequence[str] | None = None,
        subtasks: Sequence[str] | None = None,
        target: bool = False,
        chunk_rows: int = 16,
    ) -> None:
        count = len(gradients)
        self._gradients = np.asarray(gradients, np.float32)
        self._chunk_rows = chunk_rows
        self.name = name
        self.checkpoint = checkpoint
        self.directions = (direction,)
        self.ids = np.array(ids if ids is not None else [f"{name}-{i}" for i in range(count)], object)
        self.sources = np.array(sources if sources is not None else [name] * count, object)
        self.subtasks = np.array(subtasks if subtasks is not None else [""] * count, object)
        self.valid: npt.NDArray[np.bool_] = np.abs(self._gradients).sum(axis=1) > 0
        self.reasons = np.where(self.valid, "", "no learned token").astype(object)
        self.loss = np.where(self.valid, 1, np.nan).astype(np.float32)
        self.tokens = np.full(count, 8, np.int32)
        self.truncated: npt.NDArray[np.bool_] = np.zeros(count, np.bool_)
        hashes = [bytes.fromhex(digest(str(each).encode())[:24]) for each in self.ids]
        self.contents = np.frombuffer(b"".join(hashes), np.uint8).reshape(count, 12)
        self.attributes = {"target": target}
        self.digest = name

    def __len__(self) -> int:
        return len(self._gradients)

    def dim(self, direction: str) -> int:
        """Length of a row."""
        return int(self.take(direction, []).shape[1])

    def encoding(self, direction: str) -> str:  # noqa: ARG002
        """How rows are kept."""
        return "exact"

    def digest_of(self, direction: str) -> str:
        """Tells this direction's rows from others."""
        return f"{self.digest}/{direction}"

    def blocks(self, direction: str) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Yield (first row, rows)."""
        for start in range(0, len(self), self._chunk_rows):
            yield start, self.read(direction, start, min(start + self._chunk_rows, len(self)))

    def read(self, direction: str, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Rows `start` to `stop`."""
        return self.take(direction, np.arange(start, stop))

    def take(self, direction: str, rows: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Rows in any order."""
        if direction not in self.directions:
            raise KeyError(direction)
        return self._gradients[np.asarray(rows, np.int64)]

    def norms(self, direction: str) -> npt.NDArray[np.float32]:
        """Norm of each row."""
        return np.asarray(np.linalg.norm(self.take(direction, np.arange(len(self))), axis=1), np.float32)

    def records(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """An original row for each of `rows`."""
        return [{"id": self.ids[i], "dataset": self.sources[i], "text": f"Row {self.ids[i]}"} for i in rows]


def tiny_context(
    *,
    rows: int = 60,
    dim: int = 24,
    targets: int = 9,
    neighbours: int = 8,
    chunk_rows: int = 16,
    shuffle: int | None = None,
    seed: int = 0,
) -> SelectionContext:
    """A context of random clustered rows, a target with three subtasks, and the exact graph of the candidates.

    Parameters
    ----------
    rows, dim, targets, neighbours : int
        Sizes. One row of every twenty has no gradient and is no candidate.
    chunk_rows : int
        Rows read at once; must not matter.
    shuffle : int, optional
        Seed of another order of the same rows.
    seed : int
        Seed of the context's random generator.

    Returns
    -------
    SelectionContext

    Examples
    --------
    >>> context = tiny_context()
    >>> len(context), context.similarity().shape
    (57, (57, 9))
    """
    ids, sources, gradients, target, subtasks = _tiny_rows(rows, dim, targets)
    order = np.arange(rows) if shuffle is None else np.random.default_rng(shuffle).permutation(rows)
    pool = ArrayDataset(
        gradients[order],
        ids=[ids[i] for i in order],
        sources=[sources[i] for i in order],
        chunk_rows=chunk_rows,
    )
    aim = ArrayDataset(target, name="target", subtasks=subtasks, target=True, chunk_rows=chunk_rows)
    nodes = Nodes([Part.of([cast("Dataset", pool)], None, target=False)], [1.0])
    return SelectionContext(
        nodes,
        target=Target("target", Nodes([Part.of([cast("Dataset", aim)], None, target=True)], [1.0])),
        graph=lambda: exact_neighbours(nodes, neighbours),
        seed=seed,
    )


def tiny_store(path: str | Path, *, rows: int = 60, dim: int = 24, targets: int = 9) -> Store:
    """Write the rows of `tiny_context` to a new store: the data sets ``pool`` and ``target``, no graph.

    Parameters
    ----------
    path : path
        A place where nothing is yet.
    rows, dim, targets : int
        As for `tiny_context`.

    Returns
    -------
    Store

    Examples
    --------
    >>> tiny_store("tiny.zarr").datasets()
    ('pool', 'target')
    """
    from gradstore.interchange import import_arrays
    from gradstore.store import open_store

    ids, sources, gradients, target, subtasks = _tiny_rows(rows, dim, targets)
    records = [
        {"id": name, "dataset": source, "text": f"Row {name}"}
        for name, source in zip(ids, sources, strict=True)
    ]
    import_arrays(path, name="pool", gradients=gradients, ids=ids, rows=records, sources=sources)
    import_arrays(path, name="target", gradients=target, subtasks=subtasks, target=True)
    return open_store(path)


def check_selector(selector: Selector | Callable[[], Selector], *, budget: int = 12) -> None:
    """Prove that a selector behaves on a small problem without ties.

    It stores its parameters unchanged, keeps its budget (fewer picks only with a ``shortfall`` in its report),
    picks candidates only and none twice, scores and explains the right number of rows, repeats itself under a seed,
    and chooses the same rows however they are chunked and ordered.

    Parameters
    ----------
    selector : Selector, or callable without arguments that makes one
    budget : int, default 12
        Rows to choose from 57 candidates.

    Raises
    ------
    AssertionError
        If it does not; the message says how.
    """

    def make() -> Selector:
        return selector if isinstance(selector, Selector) else selector()

    made = make()
    _require(isinstance(getattr(made, "name", None), str) and bool(made.name), "has no name")
    _check_parameters(made)
    first, context = _chosen(make, budget)
    _check_selection(first, len(context), budget)
    ids = [context.ids[i] for i in first.picks]
    for difference, settings_ in (
        ("repeated under the same seed", {}),
        ("when rows are read in chunks of 7", {"chunk_rows": 7}),
        ("when rows are read in one chunk", {"chunk_rows": 60}),
        ("when rows are in another order", {"shuffle": 1}),
    ):
        again, other = _chosen(make, budget, **settings_)
        _require([other.ids[i] for i in again.picks] == ids, f"picks other rows {difference}")
    everything, _ = _chosen(make, len(context))
    _check_selection(everything, len(context), len(context))


def _chosen(make: Callable[[], Selector], budget: int, **context: int) -> tuple[Selection, SelectionContext]:
    made = tiny_context(**context)
    return make().select(made, budget), made


def _check_parameters(selector: Selector) -> None:
    for name in parameters(type(selector)):
        _require(hasattr(selector, name), f"does not store its parameter {name} as an attribute")
    copy = type(selector)(**settings(selector))
    _require(settings(copy) == settings(selector), "changes its parameters when it stores them")


def _check_selection(selection: Selection, candidates: int, budget: int) -> None:
    picks = np.asarray(selection.picks)
    _require(
        picks.ndim == 1 and np.issubdtype(picks.dtype, np.integer),
        "must return picks as a list of row numbers",
    )
    _require(len(picks) <= budget, f"picks {len(picks)} rows of a budget of {budget}")
    short = "shortfall" in str(selection.report)
    _require(
        len(picks) == budget or short, f"picks only {len(picks)} rows of {budget} and reports no shortfall"
    )
    _require(bool(((picks >= 0) & (picks < candidates)).all()), "picks a row that is no candidate")
    _require(len(np.unique(picks)) == len(picks), "picks a row twice")
    if selection.scores is not None:
        _require(np.shape(selection.scores) == (candidates,), "must score every candidate or none")
    for name, values in selection.columns.items():
        _require(len(values) == len(picks), f"column {name!r} must have one value for each pick")


def _tiny_rows(
    rows: int, dim: int, targets: int
) -> tuple[list[str], list[str], npt.NDArray[np.float32], npt.NDArray[np.float32], list[str]]:
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((len(_SOURCES), dim))
    kinds = rng.integers(len(_SOURCES), size=rows)
    gradients = (centres[kinds] + rng.standard_normal((rows, dim))).astype(np.float32)
    gradients[::20] = 0
    aims = np.arange(targets) % len(_SOURCES)
    target = (centres[aims] + rng.standard_normal((targets, dim))).astype(np.float32)
    ids = [f"row-{i:03}" for i in rng.permutation(rows)]
    return ids, [_SOURCES[i] for i in kinds], gradients, target, [f"task-{i}" for i in aims]


def _require(condition: bool, complaint: str) -> None:
    if not condition:
        raise AssertionError(f"the selector {complaint}")
