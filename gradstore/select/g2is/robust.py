"""A walk that keeps its target in sight: the preset ``robust``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.records import digest
from gradstore.select.g2is.core import Core
from gradstore.select.g2is.trail import Trail
from gradstore.select.g2is.walk import Log, WalkResult, checked_neighbours, split_budget, unit_rows

__all__ = ["repeated_rows", "target_walk"]

_BLOCK = 64


def target_walk(
    train: npt.NDArray[np.float32],
    core: Core,
    neighbours: npt.NDArray[np.integer],
    budget: int,
    *,
    delta: float,
    tolerance: float,
    mix: float,
    spread: float,
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
    train : ndarray of float32, shape (N, dim)
        Unit candidate rows.
    core : Core
        Directions and shares of the budget, see `mean_and_components`.
    neighbours : ndarray of int, shape (N, m)
        By descending cosine, -1 where there is none. A row that is not listed is no nearer than the last that is:
        this bound lets a step find the best of all rows by looking at few.
    budget : int
        Rows to pick, from 1 to N.
    delta, tolerance : float
        As in `gradient_walk`.
    mix : float
        Weight of the cosine with the core, in [0, 1].
    spread : float
        Typical size of a cosine between two candidates, which makes the two terms comparable.

    Returns
    -------
    WalkResult
    """
    rows = unit_rows(train, "train")
    links = checked_neighbours(neighbours, len(rows))
    if not 1 <= budget <= len(rows):
        raise UsageError(f"the budget is {budget}; choose from 1 to the {len(rows)} candidates")
    budgets = split_budget(budget, core.weights, len(core.weights))
    cosines = rows @ core.directions.T
    copies = repeated_rows(rows)
    log = Log(copies.copy())
    owed = 0
    for component, share in enumerate(budgets):
        owed += int(share)
        if not owed:
            continue
        score = cosines[:, component]
        trail = Trail(rows, score, delta=delta, tolerance=tolerance)
        step = _Step(rows, links, score, mix, spread)
        row = step.anchor(log.used)
        how = "anchor"
        while row is not None:
            trail.add(row)
            log.add(row, how, component)
            owed -= 1
            row, how = (None, "") if not owed else step.next(trail, log.used)
        log.close(trail)
    total = cosines @ core.weights
    taken = np.zeros(len(rows), bool)
    taken[log.picks] = True
    rest = np.lexsort((-total, copies))
    for row in rest[~taken[rest]][:owed]:
        log.add(int(row), "fill", -1)
    return log.result(budgets)


class _Step:
    """Finds the next row of one component's walk."""

    def __init__(
        self,
        rows: npt.NDArray[np.float32],
        links: npt.NDArray[np.integer],
        core: npt.NDArray[np.float32],
        mix: float,
        spread: float,
    ) -> None:
        self._rows = rows
        self._links = links
        self._core = mix * core.astype(np.float64) / max(float(core.std()), 1e-12)
        self._near = (1 - mix) / max(spread, 1e-12)
        self._order = np.argsort(-core, kind="stable")

    def anchor(self, used: npt.NDArray[np.bool_]) -> int | None:
        """Unused row closest to the core; None if all are used."""
        self._order = self._order[~used[self._order]]
        return int(self._order[0]) if len(self._order) else None

    def next(self, trail: Trail, used: npt.NDArray[np.bool_]) -> tuple[int | None, str]:
        """Best row by step score that passes the tests, and whether it is a neighbour or a fallback."""
        self._order = self._order[~(used | trail.refused)[self._order]]
        last = trail.members[-1]
        near = self._links[last].astype(np.int64)
        near = near[near >= 0]
        farthest = float(self._rows[near[-1]] @ self._rows[last]) if len(near) else 1.0
        row, best = self._fit(trail, near[~used[near]], last, -np.inf)
        how = "local"
        far = self._order[~np.isin(self._order, near)]
        for start in range(0, len(far), _BLOCK):
            block = far[start : start + _BLOCK]
            if self._core[block[0]] + self._near * farthest <= best:
                break
            found, score = self._fit(trail, block, last, best)
            if found is not None:
                row, best, how = found, score, "fallback"
        return row, how

    def _fit(
        self, trail: Trail, candidates: npt.NDArray[np.int64], last: int, above: float
    ) -> tuple[int | None, float]:
        """The candidate of highest step score beyond `above` that passes the tests, with its score."""
        scores = self._core[candidates] + self._near * (self._rows[candidates] @ self._rows[last])
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] > above]
        found = trail.first_fit(candidates[order])
        if found is None:
            return None, above
        return found, float(scores[candidates == found][0])


def repeated_rows(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Whether each row is a bit-for-bit copy of an earlier one."""
    seen: set[str] = set()
    copies = np.zeros(len(rows), bool)
    for i, row in enumerate(rows):
        key = digest(row.tobytes())
        copies[i] = key in seen
        seen.add(key)
    return copies
