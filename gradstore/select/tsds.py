"""TSDS: draw rows by the mass that an optimal transport brings them from the target."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.records import Selection
from gradstore.select.context import SelectionContext

__all__ = ["TSDS", "Transport", "densities", "transport"]

Double = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_FIRST = 256  # candidates looked at for each target row before it is known how many are needed
_BLOCK = 2048  # candidates compared at once
_NONE = np.empty(0)


class TSDS:
    """Random draws from an optimal transport of the target onto the candidates (TSDS, Liu et al., NeurIPS 2024).

    Each of M target rows sends the mass 1/M to candidates: to near ones, which `alpha` weighs, and to many, which
    ``1 - alpha`` weighs; see `transport`. A candidate is drawn, without replacement, in proportion to its mass.

    Besides the (N, M) similarities, memory grows with M times the candidates looked at for each target row (some 80
    bytes each).

    Parameters
    ----------
    density : {"kde", "uniform"}
        What bounds a candidate's mass: ``kde`` lets near-duplicates share one row's mass, ``uniform`` treats all alike.
    alpha : float, default 0.5
        Weight of nearness from 0 (mass on as many candidates as possible) to 1 (all on the nearest one).
    scale : float, default 5.0
        Divisor C of distances; a larger one spreads the mass like a smaller `alpha`.
    bandwidth : float, default 0.75
        Distance sigma from which on two candidates are no near-duplicates (``kde`` only); 0.75 is a cosine of 0.72.
    nearest : int, default 5000
        Most candidates that one target row may send mass to.

    References
    ----------
    Liu, Karbasi, Rekatsinas, "TSDS: Data Selection for Task-Specific Model Finetuning", arXiv 2410.11303.
    """

    name = "tsds"

    def __init__(
        self,
        *,
        density: Literal["kde", "uniform"] = "kde",
        alpha: float = 0.5,
        scale: float = 5.0,
        bandwidth: float = 0.75,
        nearest: int = 5000,
    ) -> None:
        self.density = density
        self.alpha = alpha
        self.scale = scale
        self.bandwidth = bandwidth
        self.nearest = nearest

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """Draw `budget` candidates by their mass; if fewer have any, the nearest of the others follow."""
        self._check()
        targets = np.argsort(context.target.ids.astype(str), kind="stable")
        by_id, similarity = context.by_id(), context.similarity()
        mass, report = self._mass(context, targets)

        keys = np.empty(len(context))
        keys[by_id] = context.rng.standard_exponential(len(context))
        carriers = by_id[mass[by_id] > 0]
        drawn = carriers[np.argsort(keys[carriers] / mass[carriers], kind="stable")][:budget]
        others = context.ranked(similarity.max(axis=1))
        filled = others[mass[others] == 0][: budget - len(drawn)]
        picks = np.concatenate([drawn, filled])

        report |= {"candidates_with_mass": len(carriers), "filled": len(filled)}
        near = similarity[picks][:, targets]
        columns = {
            "target_row": [str(context.target.ids[targets[i]]) for i in near.argmax(axis=1)],
            "distance": _distance(near.max(axis=1)).tolist(),
        }
        return Selection(picks, mass.astype(np.float32), report, columns)

    def _mass(self, context: SelectionContext, targets: Index) -> tuple[Double, dict[str, Any]]:
        """The mass of every candidate, shape (N,), and figures about the plan.

        A plan rarely reaches far, and densities are dear: few candidates are looked at first, twice as many while
        a target row has mass left for more.
        """
        by_id, most = context.by_id(), min(self.nearest, len(context))
        density, seen = np.ones(len(context)), np.empty(0, np.int64)
        looked = min(_FIRST, most)
        while True:
            near, distances = _nearest(context, targets, looked)
            known = len(seen)
            seen = np.concatenate([seen, by_id[np.isin(by_id, near) & ~np.isin(by_id, seen)]])
            if self.density == "kde":
                density[seen] = densities(context, seen, self.bandwidth, density[seen[:known]])
            plan = transport(distances, 1 / density[near], self.alpha, self.scale)
            if not plan.full.any() or looked == most:
                break
            looked = min(2 * looked, most)
        mass = np.zeros(len(context))
        np.add.at(mass, near, plan.mass)
        return mass, {
            "candidates_per_target_row": float((plan.mass > 0).sum(axis=1).mean()),
            "candidates_looked_at": looked,
            "target_rows_at_that_limit": int(plan.full.sum()) if looked < len(context) else 0,
            "mean_distance": float((plan.mass * distances).sum()),
            "mean_density": float(density[seen].mean()),
        }

    def _check(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"alpha is {self.alpha}; choose from 0 to 1")
        for name in ("scale", "bandwidth"):
            if not 0 < getattr(self, name) < np.inf:
                raise UsageError(f"{name} is {getattr(self, name)}; choose a number above 0")
        if self.nearest < 1:
            raise UsageError(f"nearest is {self.nearest}; choose at least 1 candidate")


class Transport(NamedTuple):
    """Mass that each of M target rows sends to its L candidates.

    Attributes
    ----------
    mass : ndarray, shape (M, L)
        Rows sum to 1/M.
    full : ndarray of bool, shape (M,)
        Rows whose L candidates hold no more at the level of the others: theirs is spread over all L by weight.
    """

    mass: Double
    full: npt.NDArray[np.bool_]


def transport(distances: Double, weights: Double, alpha: float, scale: float) -> Transport:
    """The best transport plan gamma, found exactly.

    It minimises ``alpha/C · sum_ij gamma_ij d_ij + (1 - alpha) · M · max_ij gamma_ij / w_ij`` over gamma >= 0 whose
    rows sum to 1/M. Under a bound ``gamma_ij <= t · w_ij`` each row fills its nearest candidates first. With
    ``W_ik = w_i1 + … + w_ik``, a level ``s = 1/(M t)`` between W_ik and W_i,k+1 fills k candidates of row i and part
    of the next; dearer by ``W_ik d_i,k+1 - sum_{l<=k} w_il d_il`` for each unit less of t. That slope only grows, by
    ``W_ik (d_i,k+1 - d_ik)`` where s passes W_ik. So the best level is the first W_ik at which alpha/C times the slope
    of all rows together reaches ``(1 - alpha) M``.

    Parameters
    ----------
    distances : ndarray, shape (M, L)
        Ascending in each row.
    weights : ndarray, shape (M, L)
        Above 0: one over the density of the candidate; all 1 spreads each row evenly over its K nearest.
    alpha, scale : float
    """
    rows = len(distances)
    reach = np.cumsum(weights, axis=1)
    before = np.concatenate([np.zeros((rows, 1)), reach[:, :-1]], axis=1)
    levels = before[:, 1:].ravel()
    order = np.argsort(levels, kind="stable")
    slope = np.cumsum((before[:, 1:] * np.diff(distances, axis=1)).ravel()[order])
    enough = scale * (1 - alpha) / alpha * rows if alpha > 0 else np.inf
    at = int(np.searchsorted(slope, enough))
    best = levels[order[at]] if at < len(order) else np.inf
    level = np.minimum(best, reach[:, -1:])
    return Transport(np.clip(level - before, 0, weights) / (rows * level), best > reach[:, -1])


def densities(context: SelectionContext, rows: Index, bandwidth: float, known: Double = _NONE) -> Double:
    """How many of the candidates `rows` each of them stands for: ``sum_j' max(0, 1 - d_jj'² / sigma²)``, at least 1.

    `known` are the densities of the first rows among themselves: those pairs are not compared again. Two blocks of
    vectors and their products are in memory at once.
    """
    step = int(max(1, min(_BLOCK, context.memory // (16 * context.dim))))
    old = len(known)
    found: Double = np.concatenate([known, np.zeros(len(rows) - old)])
    slope = np.float32(2 / bandwidth**2)
    spans = [slice(s, min(s + step, old)) for s in range(0, old, step)]
    compared = len(spans)
    spans += [slice(s, s + step) for s in range(old, len(rows), step)]
    with context.progress(len(spans) - compared, "blocks", "near-duplicates") as bar:
        for last in range(compared, len(spans)):
            here = spans[last]
            vectors = context.take(rows[here])
            for there in spans[: last + 1]:
                kernel = vectors @ (vectors if there is here else context.take(rows[there])).T
                kernel *= slope  # 1 - d²/sigma² with d² = 2 - 2 cos
                kernel += 1 - slope
                np.maximum(kernel, 0, out=kernel)
                found[here] += kernel.sum(axis=1, dtype=np.float64)
                if there is not here:
                    found[there] += kernel.sum(axis=0, dtype=np.float64)
            bar.update(1)
    return np.asarray(np.maximum(found, 1), np.float64)


def _nearest(context: SelectionContext, targets: Index, count: int) -> tuple[Index, Double]:
    """The `count` nearest candidates of each target row, equal ones by id, and their distances; shape (M, count)."""
    by_id, similarity = context.by_id(), context.similarity()
    near = np.empty((len(targets), count), np.int64)
    distances = np.empty(near.shape)
    for i, target in enumerate(targets):
        cosines = similarity[by_id, target]
        lowest = np.partition(cosines, -count)[-count]
        above = np.flatnonzero(cosines > lowest)
        chosen = np.concatenate([above, np.flatnonzero(cosines == lowest)[: count - len(above)]])
        chosen = chosen[np.argsort(-cosines[chosen], kind="stable")]
        near[i], distances[i] = by_id[chosen], _distance(cosines[chosen])
    return near, distances


def _distance(cosines: npt.NDArray[np.floating]) -> Double:
    return np.sqrt(np.maximum(2 - 2 * cosines.astype(np.float64), 0))
