"""BIDS: influence standardised for each target row, and the least served one chooses."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradstore.records import Selection
from gradstore.select.context import SelectionContext
from gradstore.select.turns import Wishes

__all__ = ["BIDS"]


class BIDS:
    """Balanced over target rows: the one served least so far takes its best unused row (BIDS, 2025).

    Influence is the similarity of LESS, standardised over the candidates for each target row, so that a row that
    everything resembles does not decide. Holds N times the number of target rows, 8 bytes each.

    References
    ----------
    Dai et al., "Improving Influence-based Instruction Tuning Data Selection for Balanced Learning of Diverse
    Capabilities", arXiv 2501.12147.
    """

    name = "bids"

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """The candidates in the order in which they were taken; the score is the highest standardised influence."""
        influence = context.similarity().astype(np.float64)
        influence -= influence.mean(axis=0)
        spread = influence.std(axis=0)
        influence /= np.where(spread > 1e-9, spread, np.inf)
        wishes = Wishes(influence, context.by_id())
        names = [str(name) for name in context.target.ids]
        order = np.array(sorted(range(len(names)), key=names.__getitem__))
        served = np.zeros(len(names))
        picks, targets = [], []
        for _ in range(budget):
            target = int(order[served[order].argmin()])
            row = wishes.take(target)
            served += influence[row]
            picks.append(row)
            targets.append(target)
        columns: dict[str, list[Any]] = {
            "target_row": [names[target] for target in targets],
            "influence": [float(influence[row, target]) for row, target in zip(picks, targets, strict=True)],
        }
        report = {"least_served": float(served.min() / budget), "most_served": float(served.max() / budget)}
        return Selection(np.array(picks, np.int64), influence.max(axis=1).astype(np.float32), report, columns)
