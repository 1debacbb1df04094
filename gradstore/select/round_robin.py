"""Round-robin: each target row in turn takes the candidate most similar to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradstore.records import Selection
from gradstore.select.context import SelectionContext
from gradstore.select.turns import take_turns

__all__ = ["RoundRobin"]


class RoundRobin:
    """Each target row in turn takes its most similar unused row.

    So every row of the target is served alike, where the mean of LESS favours what most of them share.
    Holds the similarities of all candidates with all target rows, 4 bytes each.

    Parameters
    ----------
    center : bool, default False
        Remove the mean of the candidates' unit rows first.

    References
    ----------
    arXiv 2602.14696, in whose comparison it is the strongest cheap rule.
    """

    name = "round-robin"

    def __init__(self, *, center: bool = False) -> None:
        self.center = center

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """The candidates in the order in which they were taken; the score is the similarity with the best row."""
        seen = context.centred() if self.center else context
        similarity = seen.similarity()
        picks, targets = take_turns(context, similarity, budget)
        columns: dict[str, list[Any]] = {
            "target_row": [str(context.target.ids[row]) for row in targets],
            "cosine": [float(value) for value in similarity[picks, targets]],
        }
        report = {"target_rows": similarity.shape[1], "turns": -(-budget // similarity.shape[1])}
        return Selection(picks, np.asarray(similarity.max(axis=1)), report, columns)
