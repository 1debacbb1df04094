"""RDS+: similarity of hidden states instead of gradients."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from gradstore.records import Selection
from gradstore.select.context import SelectionContext
from gradstore.select.turns import take_turns

__all__ = ["RDS"]


class RDS:
    """Rows whose hidden states resemble the target's (RDS+, Ivison et al., 2025); needs no gradients.

    A row's vector is the mean of the last hidden states, weighted by position (``extract --direction rds``).

    Parameters
    ----------
    aggregate : {"round-robin", "max", "mean"}
        How target rows come to a choice: in turns, as published, by the best of their cosines, or by the mean.

    References
    ----------
    Ivison et al., "Large-Scale Data Selection for Instruction Tuning", arXiv 2503.01807.
    """

    name = "rds"
    directions = ("rds", "rds")

    def __init__(self, *, aggregate: Literal["round-robin", "max", "mean"] = "round-robin") -> None:
        self.aggregate = aggregate

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """The candidates of highest cosine; the score is the best one, or the mean."""
        similarity = context.similarity()
        scores = np.asarray(similarity.mean(axis=1) if self.aggregate == "mean" else similarity.max(axis=1))
        if self.aggregate == "round-robin":
            picks, targets = take_turns(context, similarity, budget)
        else:
            picks = context.ranked(scores)[:budget]
            targets = similarity[picks].argmax(axis=1)
        columns: dict[str, list[Any]] = {
            "target_row": [str(context.target.ids[row]) for row in targets],
            "cosine": [float(value) for value in similarity[picks, targets]],
        }
        return Selection(picks, scores, {"target_rows": similarity.shape[1]}, columns)
