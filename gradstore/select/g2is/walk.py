"""The gradient walk of G2IS as published (Zhao et al., ACL 2025; arXiv 2502.11062)."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.graph.cached import cached
from gradstore.graph.exact import MEMORY
from gradstore.graph.vectors import Vectors
from gradstore.progress import Progress, silent
from gradstore.select.g2is.exact import ExactTrail, Products
from gradstore.select.g2is.lazy import LazyTrail
from gradstore.select.g2is.order import Order, pieces
from gradstore.select.g2is.result import Log, WalkResult
from gradstore.select.g2is.rows import as_vectors, project, unit_rows
from gradstore.select.g2is.trail import Trail

__all__ = [
    "FIRST",
    "MOST",
    "Begin",
    "Neighbours",
    "beginning",
    "check_budget",
    "gradient_walk",
    "split_budget",
]

Neighbours = npt.ArrayLike | int | None

FIRST = 8
"""Candidates tested first: to compare a few with many members takes as long as to compare one."""
MOST = 1 << 22
"""Numbers of candidates that are read at once: 16 MiB."""


class Begin(Protocol):
    """Begins a walk along one component."""

    def __call__(
        self, core: npt.NDArray[np.floating], used: npt.NDArray[np.bool_], *, delta: float, tolerance: float
    ) -> Trail:
        """`core` and the rest as `Trail` takes them."""


def gradient_walk(
    train: npt.ArrayLike | Vectors,
    components: npt.ArrayLike,
    weights: npt.ArrayLike,
    neighbours: Neighbours,
    budget: int,
    *,
    delta: float = 0.8,
    tolerance: float = 0.0,
    memory: int = MEMORY,
    progress: Progress = silent,
) -> WalkResult:
    """Pick rows by walking from neighbour to neighbour, one walk for each core component.

    The published procedure: the budget is split over the components by largest remainder. Each walk starts at the
    unused row closest to its component and goes to the nearest unused neighbour of the last pick that conflicts
    with no member of this walk and keeps the members' cosine with the component. If no neighbour does, all unused
    rows are tried from the closest to the component on; if none fits, the walk ends short of its budget.

    Parameters
    ----------
    train : array_like of float32, shape (N, dim), or Vectors
        Candidate gradients; an array is used without a copy if its rows are unit rows already.
    components : array_like, shape (c, dim)
        Core directions of the target in the order in which they are walked; normalised if need be.
    weights : array_like, shape (c,)
        Share of the budget of each component; normalised to sum 1.
    neighbours : array_like of int, shape (N, m), or int, or None
        Neighbours of each row by descending cosine, -1 where there is none: the walk compares what it meets. Or how
        many there are of each row: then there is no graph, each pick is multiplied with all rows, and the picks are
        those on the exact graph. None: all rows are neighbours.
    budget : int
        Rows to pick, from 1 to N.
    delta : float, default 0.8
        Eq. 6: a pick must keep at least this share of the members' absolute cosine with the component.
    tolerance : float, default 0.0
        Eq. 5: a cosine below ``-tolerance`` with any member is a conflict.
    memory : int
        Bytes; half of them for rows that are kept, others are read when they are needed.
    progress : Progress, optional
        Counts picks.

    Returns
    -------
    WalkResult

    Raises
    ------
    UsageError
        If a shape, an index, a weight or the budget cannot be right, or a row is zero or not finite.

    References
    ----------
    Zhao et al., "G2IS: Gradient-based graph instruction selection", ACL 2025, arXiv 2502.11062, Eq. 4-6.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[1, 0], [0.8, 0.6], [-1, 0]], np.float32)
    >>> gradient_walk(rows, [[1, 0]], [1], None, 2).picks
    array([0, 1])
    """
    rows = as_vectors(train, "train")
    cores = unit_rows(components, "components")
    if cores.shape[1] != rows.dim:
        raise UsageError(f"components have {cores.shape[1]} dimensions, train rows {rows.dim}")
    check_budget(budget, len(rows))
    budgets = split_budget(budget, weights, len(cores))
    rows = cached(rows, memory // 2)
    begin = beginning(rows, neighbours, memory // 2)
    cosines = project(rows, cores)
    with progress(budget, "picks", "walking") as bar:
        log = Log(np.zeros(len(rows), bool), bar)
        for component in np.flatnonzero(budgets):
            core = np.ascontiguousarray(cosines[:, component])
            trail = begin(core, log.used, delta=delta, tolerance=tolerance)
            order = Order(core, trail.dead)
            _walk(trail, log, order, int(component), int(budgets[component]), max(FIRST, MOST // rows.dim))
            log.close(trail)
        return log.result(budgets)


def _walk(trail: Trail, log: Log, order: Order, component: int, budget: int, most: int) -> None:
    """Walk one component; `order` has all rows from the closest to the component on."""
    row, how = order.first(), "anchor"
    while row is not None:
        trail.add(row)
        log.add(row, how, component)
        if trail.size == budget:
            return
        near = (piece for part in trail.nearest() for piece in pieces(part[~trail.dead[part]], FIRST, most))
        row, how = trail.first_fit(near), "local"
        if row is None:
            row, how = trail.first_fit(order.blocks(FIRST, most)), "fallback"


def beginning(rows: Vectors, neighbours: Neighbours, memory: int) -> Begin:
    """The engine for such neighbours, see `gradient_walk`; called, it begins a trail."""
    if neighbours is None or isinstance(neighbours, int):
        if neighbours is not None and neighbours < 1:
            raise UsageError(f"neighbours is {neighbours}; a walk needs at least 1")
        return partial(ExactTrail, rows, Products(rows, memory), neighbours)
    return partial(LazyTrail, rows, _checked(neighbours, len(rows)))


def check_budget(budget: int, rows: int) -> None:
    """Refuse a budget that cannot be filled."""
    if not 1 <= budget <= rows:
        raise UsageError(f"the budget is {budget}; choose from 1 to the {rows} candidates")


def split_budget(budget: int, weights: npt.ArrayLike, parts: int) -> npt.NDArray[np.int64]:
    """Split `budget` in proportion to `weights` by largest remainder; of equal remainders the later one wins."""
    shares = np.asarray(weights, np.float64)
    if shares.shape != (parts,):
        raise UsageError(f"{parts} components need {parts} weights, not an array of shape {shares.shape}")
    if not (np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
        raise UsageError("component weights must be finite, not negative and not all zero")
    exact = budget * (shares / shares.sum())
    split = np.floor(exact).astype(np.int64)
    largest = np.argsort(exact - split, kind="stable")[::-1]
    split[largest[: budget - int(split.sum())]] += 1
    return np.asarray(split)


def _checked(neighbours: npt.ArrayLike, rows: int) -> npt.NDArray[np.integer]:
    """`neighbours` as an array of shape (rows, m) with indices from -1 (none) to ``rows - 1``."""
    links: npt.NDArray[np.integer] = np.asarray(neighbours)
    if links.ndim != 2 or len(links) != rows or not np.issubdtype(links.dtype, np.integer):
        raise UsageError(f"neighbours must be integers of shape ({rows}, m), not {links.dtype} {links.shape}")
    if links.size and (links.min() < -1 or links.max() >= rows):
        raise UsageError(f"neighbours must be row numbers from 0 to {rows - 1}, or -1 for none")
    return links
