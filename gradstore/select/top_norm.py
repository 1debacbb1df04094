"""Largest gradients: a cheap baseline."""

from __future__ import annotations

import numpy as np

from gradstore.records import Selection
from gradstore.select.context import SelectionContext

__all__ = ["TopNorm"]


class TopNorm:
    """Largest gradient norm, a cheap baseline that needs no target.

    The norm is the mean over checkpoints of each row's norm as a share of the checkpoint's mean norm. No vector is
    read.
    """

    name = "top-norm"

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """The `budget` candidates of largest norm, equal ones by id."""
        norms = context.norms.astype(np.float64)
        scores = (norms / norms.mean(axis=0)).mean(axis=1).astype(np.float32)
        picks = context.ranked(scores)[:budget]
        return Selection(picks, scores, {"least_norm_of_picks": float(scores[picks[-1]])})
