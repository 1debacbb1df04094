"""D2 pruning: scores that neighbours raise, and picks that lower their neighbours."""

from __future__ import annotations

import heapq
from typing import Literal

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.records import Selection
from gradstore.select.context import Neighbours, SelectionContext

__all__ = ["D2", "pick", "with_messages"]

Double = npt.NDArray[np.float64]


class D2:
    """Best rows by a score that the graph spreads and each pick takes away around it (D2, Maharana et al., ICLR 2024).

    ``x_i = s_i + sum_j exp(-gamma_forward · d_ij²) s_j`` over the neighbours j of i in the graph. Then, again and
    again, the highest x_i is picked, and ``exp(-gamma_reverse · d_ij²) x_i`` is taken from each of its neighbours;
    ``d² = 2 - 2 cos``. Memory grows with N times the neighbours of a row.

    Parameters
    ----------
    score : {"less", "loss", "norm"} or None, default None
        What a row is worth by itself: ``less`` its mean similarity to the target on a scale from 0 to 1, ``loss`` its
        loss, ``norm`` the norm of its gradient; none: ``less`` with a target, ``loss`` without.
    gamma_forward : float, default 1.0
        How fast a neighbour's share in a row's score falls with distance; at 0 all neighbours count in full.
    gamma_reverse : float, default 1.0
        How fast what a pick takes from its neighbours falls with distance; the smaller, the more varied the picks.

    References
    ----------
    Maharana, Yadav, Bansal, "D2 Pruning: Message Passing for Balancing Diversity and Difficulty in Data Pruning",
    arXiv 2310.07931.
    """

    name = "d2"

    def __init__(
        self,
        *,
        score: Literal["less", "loss", "norm"] | None = None,
        gamma_forward: float = 1.0,
        gamma_reverse: float = 1.0,
    ) -> None:
        self.score = score
        self.gamma_forward = gamma_forward
        self.gamma_reverse = gamma_reverse

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """The `budget` candidates, one after the other, equal ones by id."""
        for name in ("gamma_forward", "gamma_reverse"):
            if not 0 <= getattr(self, name) < np.inf:
                raise UsageError(f"{name} is {getattr(self, name)}; choose a number from 0 up")
        kind = self.score or ("less" if context.has_target else "loss")
        own = _score(context, kind)
        links = context.graph, context.cosines
        spread = with_messages(own, links, self.gamma_forward)
        picks, left = pick(spread, links, self.gamma_reverse, budget, context.by_id())
        report = {
            "score": kind,
            "mean_score": float(own.mean()),
            "mean_score_of_picks": float(own[picks].mean()),
            "neighbours": float((links[0] >= 0).sum(axis=1).mean()),
            "picks_below_zero": int((left < 0).sum()),
        }
        columns = {
            "score": own[picks].tolist(),
            "with_messages": spread[picks].tolist(),
            "when_picked": left.tolist(),
        }
        return Selection(picks, spread.astype(np.float32), report, columns)


def _score(context: SelectionContext, kind: str) -> Double:
    """What each candidate is worth by itself, shape (N,)."""
    if kind == "norm":
        return np.asarray(context.norms.mean(axis=1, dtype=np.float64))
    if kind == "loss":
        if np.isnan(context.loss).any():
            raise UsageError(
                f"{int(np.isnan(context.loss).sum())} of {len(context)} candidates have no stored loss; "
                "choose a target, or -p score=norm"
            )
        return context.loss.astype(np.float64)
    vectors = context.target.vectors[np.argsort(context.target.ids.astype(str), kind="stable")]
    mean = vectors.mean(axis=0, dtype=np.float64, keepdims=True).astype(np.float32)
    found = context.project(mean)[:, 0].astype(np.float64)
    lowest, highest = found.min(), found.max()
    return (found - lowest) / (highest - lowest) if highest > lowest else np.ones(len(found))


def with_messages(scores: Double, links: Neighbours, gamma: float) -> Double:
    """Every score with what its neighbours add, shape (N,)."""
    found = scores.copy()
    for nodes, cosines in zip(links[0].T, links[1].T, strict=True):
        found += np.where(nodes >= 0, _kept(cosines, gamma) * scores[nodes], 0)
    return found


def pick(
    scores: Double, links: Neighbours, gamma: float, budget: int, by_id: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], Double]:
    """Pick the highest score again and again, and lower those of its neighbours.

    A heap holds every value that a score ever had; one that is not the row's value of now is passed over.

    Returns
    -------
    picks : ndarray of int64, shape (budget,)
    values : ndarray, shape (budget,)
        The score of each pick when it was picked.
    """
    now = scores.copy()
    place = np.argsort(by_id)
    heap = list(zip((-now[by_id]).tolist(), range(len(now)), strict=True))
    heapq.heapify(heap)
    waiting = np.ones(len(now), np.bool_)
    picks, values = np.empty(budget, np.int64), np.empty(budget)
    done = 0
    while done < budget:
        value, position = heapq.heappop(heap)
        node = by_id[position]
        if not waiting[node] or now[node] != -value:
            continue
        waiting[node] = False
        picks[done], values[done] = node, -value
        done += 1
        around = links[0][node]
        real = around >= 0
        around = around[real]
        now[around] -= _kept(links[1][node][real], gamma) * -value
        touched = around[waiting[around]]
        for entry in zip((-now[touched]).tolist(), place[touched].tolist(), strict=True):
            heapq.heappush(heap, entry)
    return picks, values


def _kept(cosines: npt.NDArray[np.float32], gamma: float) -> Double:
    """What arrives of a message over links of these cosines."""
    return np.exp(-gamma * np.maximum(2 - 2 * cosines.astype(np.float64), 0))
