"""LESS: the rows whose gradients agree most with the target's."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from gradstore.records import Selection
from gradstore.select.context import SelectionContext
from gradstore.select.target import Target

__all__ = ["Less"]


class Less:
    """Highest gradient similarity to the target (LESS, Xia et al., ICML 2024).

    Parameters
    ----------
    aggregate : {"less-code", "less-paper", "mean"}
        From similarities to one score. ``less-code``: for each subtask the mean cosine with its rows, then the
        best subtask. ``less-paper``: the cosine with each subtask's mean gradient, then the best subtask.
        ``mean``: the mean cosine with all target rows.
    center : bool, default False
        Remove the mean of the candidates' unit rows first.

    References
    ----------
    Xia et al., "LESS: Selecting Influential Data for Targeted Instruction Tuning", arXiv 2402.04333.
    """

    name = "less"

    def __init__(
        self, *, aggregate: Literal["less-code", "less-paper", "mean"] = "less-code", center: bool = False
    ) -> None:
        self.aggregate = aggregate
        self.center = center

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """The `budget` candidates of highest score, equal scores by row id."""
        groups = context.target.groups()
        seen = context.centred() if self.center else context
        by_group = seen.project(_directions(context.target, groups, self.aggregate))
        scores = by_group.max(axis=1)
        picks = context.ranked(scores)[:budget]
        report = {"subtasks": len(groups), "lowest_picked_score": float(scores[picks[-1]])}
        columns = {"subtask": _best(context.target, groups, by_group[picks])} if by_group.shape[1] > 1 else {}
        return Selection(picks, scores, report, columns)


def _directions(
    target: Target, groups: list[npt.NDArray[np.int64]], aggregate: str
) -> npt.NDArray[np.float32]:
    """Vectors whose inner products with a candidate are the scores to take the best of.

    The mean of cosines with some rows is the inner product with the mean of these rows.
    """
    if aggregate == "mean":
        return np.asarray(target.vectors.mean(axis=0, keepdims=True))
    if aggregate == "less-paper":
        return target.unit(np.stack([target.raw[rows].mean(axis=0) for rows in groups]))
    return np.stack([target.vectors[rows].mean(axis=0) for rows in groups])


def _best(target: Target, groups: list[npt.NDArray[np.int64]], scores: npt.NDArray[np.float32]) -> list[str]:
    """Name of the subtask that gave each row its score."""
    names = [str(target.subtasks[rows[0]]) for rows in groups]
    return [names[i] for i in scores.argmax(axis=1)]
