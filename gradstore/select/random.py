"""Random choice."""

from __future__ import annotations

import numpy as np

from gradstore.records import Selection
from gradstore.select.context import SelectionContext
from gradstore.select.shares import proportional_shares

__all__ = ["Random"]


class Random:
    """Uniform random choice: the baseline that every method must beat.

    Parameters
    ----------
    stratified : bool, default False
        Draw from each source in proportion to its candidates, by largest remainder.
    """

    name = "random"

    def __init__(self, *, stratified: bool = False) -> None:
        self.stratified = stratified

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """Draw `budget` candidates; the same ones however rows are ordered and chunked."""
        shuffled = context.rng.permutation(context.by_id())
        if not self.stratified:
            return Selection(shuffled[:budget])
        sources, place, counts = np.unique(
            context.sources.astype(str), return_inverse=True, return_counts=True
        )
        shares = proportional_shares(counts, budget)
        drawn = np.zeros(len(sources), np.int64)
        picks = []
        for row in shuffled:
            if drawn[place[row]] < shares[place[row]]:
                drawn[place[row]] += 1
                picks.append(row)
        return Selection(
            np.array(picks, np.int64),
            report={"shares": dict(zip(map(str, sources), map(int, shares), strict=True))},
        )
