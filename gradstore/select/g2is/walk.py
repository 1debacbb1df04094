"""The gradient walk of G2IS as published (Zhao et al., ACL 2025; arXiv 2502.11062)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.select.g2is.trail import Trail

__all__ = ["WalkResult", "checked_neighbours", "gradient_walk", "split_budget", "unit_rows"]

_BLOCK = 1024


@dataclass(slots=True)
class WalkResult:
    """Rows that a walk picked, and why.

    Attributes
    ----------
    picks : ndarray of int64, shape (n,)
        In pick order.
    how : list of str, length n
        ``"anchor"`` (closest to the core), ``"local"`` (a neighbour of the pick before), ``"fallback"`` (searched
        among all rows) or, with the preset ``robust``, ``"fill"`` (best remaining score).
    component : ndarray of int64, shape (n,)
        Component that each pick belongs to; -1 for ``"fill"``.
    budgets : ndarray of int64, shape (components,)
        Rows that each component was to pick.
    rejected_conflict : int
        Candidates refused for a conflict with a member (Eq. 5), once for each component.
    rejected_core : int
        Tests that failed because the members would turn from the core (Eq. 6).
    shortfall : int
        Rows of the budget that no component could fill.
    """

    picks: npt.NDArray[np.int64]
    how: list[str]
    component: npt.NDArray[np.int64]
    budgets: npt.NDArray[np.int64]
    rejected_conflict: int = 0
    rejected_core: int = 0
    shortfall: int = 0

    @property
    def local(self) -> int:
        """Picks that are neighbours of the pick before."""
        return self.how.count("local")

    @property
    def fallback(self) -> int:
        """Picks found by searching all rows."""
        return self.how.count("fallback")

    def counts(self) -> dict[str, int]:
        """The figures worth reporting, by name."""
        how = Counter(self.how)
        return {
            **{name: how[name] for name in ("anchor", "local", "fallback", "fill")},
            "rejected_conflict": self.rejected_conflict,
            "rejected_core": self.rejected_core,
            "shortfall": self.shortfall,
        }


@dataclass(slots=True)
class Log:
    """Picks while they are made, over all components."""

    used: npt.NDArray[np.bool_]
    picks: list[int] = field(default_factory=list)
    how: list[str] = field(default_factory=list)
    component: list[int] = field(default_factory=list)
    rejected_conflict: int = 0
    rejected_core: int = 0

    def add(self, row: int, how: str, component: int) -> None:
        """Record a pick; the row is used from now on, in every component."""
        self.used[row] = True
        self.picks.append(row)
        self.how.append(how)
        self.component.append(component)

    def close(self, trail: Trail) -> None:
        """Take over the counts of a finished component."""
        self.rejected_conflict += trail.rejected_conflict
        self.rejected_core += trail.rejected_core

    def result(self, budgets: npt.NDArray[np.int64]) -> WalkResult:
        """The finished walk."""
        return WalkResult(
            np.array(self.picks, np.int64),
            self.how,
            np.array(self.component, np.int64),
            budgets,
            self.rejected_conflict,
            self.rejected_core,
            int(budgets.sum()) - len(self.picks),
        )


def gradient_walk(
    train: npt.ArrayLike,
    components: npt.ArrayLike,
    weights: npt.ArrayLike,
    neighbours: npt.ArrayLike,
    budget: int,
    *,
    delta: float = 0.8,
    tolerance: float = 0.0,
) -> WalkResult:
    """Pick rows by walking from neighbour to neighbour, one walk for each core component.

    The published procedure: the budget is split over the components by largest remainder. Each walk starts at the
    unused row closest to its component and goes to the nearest unused neighbour of the last pick that conflicts
    with no member of this walk and keeps the members' cosine with the component. If no neighbour does, all unused
    rows are tried from the closest to the component on; if none fits, the walk ends short of its budget.

    Parameters
    ----------
    train : array_like of float32, shape (N, dim)
        Candidate gradients; used without a copy if the rows are unit rows already.
    components : array_like, shape (c, dim)
        Core directions of the target in the order in which they are walked; normalised if need be.
    weights : array_like, shape (c,)
        Share of the budget of each component; normalised to sum 1.
    neighbours : array_like of int, shape (N, m)
        Neighbours of each row by descending cosine; -1 where there is none.
    budget : int
        Rows to pick, from 1 to N.
    delta : float, default 0.8
        Eq. 6: a pick must keep at least this share of the members' absolute cosine with the component.
    tolerance : float, default 0.0
        Eq. 5: a cosine below ``-tolerance`` with any member is a conflict.

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
    """
    rows = unit_rows(train, "train")
    cores = unit_rows(components, "components")
    if cores.shape[1] != rows.shape[1]:
        raise UsageError(f"components have {cores.shape[1]} dimensions, train rows {rows.shape[1]}")
    links = checked_neighbours(neighbours, len(rows))
    if not 1 <= budget <= len(rows):
        raise UsageError(f"the budget is {budget}; choose from 1 to the {len(rows)} candidates")
    budgets = split_budget(budget, weights, len(cores))
    cosines = rows @ cores.T
    log = Log(np.zeros(len(rows), bool))
    for component in np.flatnonzero(budgets):
        core = cosines[:, component]
        trail = Trail(rows, core, delta=delta, tolerance=tolerance)
        _walk(trail, log, np.argsort(-core, kind="stable"), links, int(component), int(budgets[component]))
        log.close(trail)
    return log.result(budgets)


def _walk(
    trail: Trail,
    log: Log,
    order: npt.NDArray[np.int64],
    links: npt.NDArray[np.integer],
    component: int,
    budget: int,
) -> None:
    """Walk one component; `order` has all rows from the closest to the component on."""
    open_rows = order[~log.used[order]]
    if not len(open_rows):
        return
    row, how = int(open_rows[0]), "anchor"
    while True:
        trail.add(row)
        log.add(row, how, component)
        if len(trail.members) == budget:
            return
        near = links[row].astype(np.int64)
        near = near[near >= 0]
        found, how = trail.first_fit(near[~log.used[near]]), "local"
        if found is None:
            found, how = trail.first_fit(order[~(log.used | trail.refused)[order]]), "fallback"
        if found is None:
            return
        row = found


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


def unit_rows(rows: npt.ArrayLike, what: str) -> npt.NDArray[np.float32]:
    """`rows` as float32 rows of norm 1; the same array, not a copy, if they are that already."""
    given = np.asarray(rows, np.float32)
    if given.ndim != 2 or not given.size:
        raise UsageError(f"{what} must be a matrix with one row each, not an array of shape {given.shape}")
    norms = np.sqrt(np.einsum("ij,ij->i", given, given))
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        bad = int(np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))[0])
        raise UsageError(f"row {bad} of {what} is zero or not finite and has no direction; leave it out")
    if np.abs(norms - 1).max() < 1e-5:
        return given
    unit = np.empty_like(given)
    for start in range(0, len(given), _BLOCK):
        block = slice(start, start + _BLOCK)
        unit[block] = given[block] / norms[block, None]
    return unit


def checked_neighbours(neighbours: npt.ArrayLike, rows: int) -> npt.NDArray[np.integer]:
    """`neighbours` as an array of shape (rows, m) with indices from -1 (none) to ``rows - 1``."""
    links: npt.NDArray[np.integer] = np.asarray(neighbours)
    if links.ndim != 2 or len(links) != rows or not np.issubdtype(links.dtype, np.integer):
        raise UsageError(f"neighbours must be integers of shape ({rows}, m), not {links.dtype} {links.shape}")
    if links.size and (links.min() < -1 or links.max() >= rows):
        raise UsageError(f"neighbours must be row numbers from 0 to {rows - 1}, or -1 for none")
    return links
