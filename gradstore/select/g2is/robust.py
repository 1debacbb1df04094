"""A walk that keeps its target in sight: the preset ``robust``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gradstore.graph.cached import cached
from gradstore.graph.exact import MEMORY
from gradstore.graph.vectors import Float, Vectors
from gradstore.progress import Progress, silent
from gradstore.select.g2is.core import Core
from gradstore.select.g2is.order import Order, Rows, pieces
from gradstore.select.g2is.result import Log, WalkResult
from gradstore.select.g2is.rows import as_vectors, project, repeated_rows
from gradstore.select.g2is.trail import Trail
from gradstore.select.g2is.walk import FIRST, MOST, Neighbours, beginning, check_budget, split_budget

__all__ = ["target_walk"]

_SCANNED = 64


def target_walk(
    train: npt.ArrayLike | Vectors,
    core: Core,
    neighbours: Neighbours,
    budget: int,
    *,
    delta: float,
    tolerance: float,
    mix: float,
    spread: float,
    memory: int = MEMORY,
    progress: Progress = silent,
) -> WalkResult:
    """Walk whose every step looks at the core direction and at the last pick together.

    It differs from `gradient_walk` in four ways. A step goes to the row that scores highest on
    ``mix · cos(x, core) / σ_core + (1 − mix) · cos(x, last) / spread`` among all rows that pass Eq. 5 and Eq. 6, not
    only among the neighbours of the last pick. Exact copies of an earlier row wait until nothing else is left.
    What a component cannot fill goes to the next one, and what is left at the end to the rows with the highest
    weighted cosine with all directions. So the budget is always filled.

    With ``mix=1``, the mean direction alone and no tests (``delta=0``, ``tolerance=1``) the picks are those of LESS
    with ``aggregate="mean"``, in the same order.

    Parameters
    ----------
    train : array_like of float32, shape (N, dim), or Vectors
        Candidates.
    core : Core
        Directions and shares of the budget, see `mean_and_components`.
    neighbours : array_like of int, shape (N, m), or int
        As in `gradient_walk`. A row that is not listed is no nearer than the last that is: this bound lets a step
        find the best of all rows by looking at few.
    budget : int
        Rows to pick, from 1 to N.
    delta, tolerance : float
        As in `gradient_walk`.
    mix : float
        Weight of the cosine with the core, in [0, 1].
    spread : float
        Typical size of a cosine between two candidates, which makes the two terms comparable.
    memory, progress
        As in `gradient_walk`.

    Returns
    -------
    WalkResult

    Raises
    ------
    UsageError
        As `gradient_walk`.
    """
    rows = as_vectors(train, "train")
    check_budget(budget, len(rows))
    budgets = split_budget(budget, core.weights, len(core.weights))
    rows = cached(rows, memory // 2)
    begin = beginning(rows, neighbours, memory // 2)
    cosines = project(rows, core.directions)
    copies = repeated_rows(rows)
    with progress(budget, "picks", "walking") as bar:
        log = Log(copies.copy(), bar)
        owed = 0
        for component, share in enumerate(budgets):
            owed += int(share)
            if owed:
                score = np.ascontiguousarray(cosines[:, component])
                trail = begin(score, log.used, delta=delta, tolerance=tolerance)
                owed -= _walk(trail, log, _Step(trail, score, mix, spread, rows.dim), component, owed)
                log.close(trail)
        if owed:
            _fill(log, cosines @ core.weights, copies, owed)
        return log.result(budgets)


def _walk(trail: Trail, log: Log, step: _Step, component: int, budget: int) -> int:
    """Walk one component; returns how many rows it picked."""
    row, how = step.order.first(), "anchor"
    while row is not None and trail.size < budget:
        trail.add(row)
        log.add(row, how, component)
        if trail.size < budget:
            row, how = step.next()
    return trail.size


def _fill(log: Log, total: npt.NDArray[np.floating], copies: npt.NDArray[np.bool_], owed: int) -> None:
    """Pick `owed` rows of the highest `total`, copies of others last."""
    taken = np.zeros(len(total), bool)
    taken[log.picks] = True
    rest = np.lexsort((-total, copies))
    for row in rest[~taken[rest]][:owed]:
        log.add(int(row), "fill", -1)


class _Best(NamedTuple):
    """The best row found so far, and its score."""

    row: int | None
    score: float


class _Step:
    """Finds the next row of one component's walk."""

    def __init__(self, trail: Trail, core: Float, mix: float, spread: float, dim: int) -> None:
        self.order = Order(core, trail.dead)
        self._trail = trail
        self._core = mix * core.astype(np.float64) / max(float(core.std()), 1e-12)
        self._near = (1 - mix) / max(spread, 1e-12)
        self._most = max(_SCANNED, MOST // dim)
        self._listed = np.zeros(len(core), bool)

    def next(self) -> tuple[int | None, str]:
        """Best row by step score that passes the tests, and whether it is a neighbour or a fallback."""
        near = next(self._trail.nearest())
        cosines = self._trail.cosines(near)
        best = self._fit(near, cosines, _Best(None, -np.inf))
        farthest = self._near * float(cosines[-1] if len(near) else 1.0)
        self._listed[near] = True
        for block in self.order.blocks(_SCANNED, self._most):
            if self._core[block[0]] + farthest < best.score:
                break
            far = block[~self._listed[block] & (self._core[block] + farthest >= best.score)]
            best = self._fit(far, self._trail.cosines(far), best)
        how = "local" if best.row is not None and self._listed[best.row] else "fallback"
        self._listed[near] = False
        return best.row, how

    def _fit(self, candidates: Rows, cosines: Float, best: _Best) -> _Best:
        """The candidate of highest step score that passes the tests, if that is better than `best`.

        Of equal scores the first row is the better one.
        """
        scores = self._core[candidates] + self._near * cosines
        better = scores > best.score
        if best.row is not None:
            better |= (scores == best.score) & (candidates < best.row)
        better &= ~self._trail.dead[candidates]
        candidates, scores = candidates[better], scores[better]
        order = np.lexsort((candidates, -scores))
        found = self._trail.first_fit(pieces(candidates[order], FIRST, self._most))
        return best if found is None else _Best(found, float(scores[candidates == found][0]))
