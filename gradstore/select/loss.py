"""Lowest and highest loss: cheap baselines."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.records import Selection
from gradstore.select.context import SelectionContext

__all__ = ["HighLoss", "LowLoss"]


class LowLoss:
    """Lowest loss: what the model knows best; a cheap baseline that needs no target.

    The loss is the mean over a row's learned tokens at the first checkpoint. No vector is read.
    """

    name = "low-loss"

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """The `budget` candidates of lowest loss, equal ones by id; the score is the negative loss."""
        return _ranked(context, -_losses(context, self.name), budget)


class HighLoss:
    """Highest loss: what the model knows least; a cheap baseline that needs no target.

    The loss is the mean over a row's learned tokens at the first checkpoint. No vector is read.
    """

    name = "high-loss"

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """The `budget` candidates of highest loss, equal ones by id."""
        return _ranked(context, _losses(context, self.name), budget)


def _ranked(context: SelectionContext, scores: npt.NDArray[np.float32], budget: int) -> Selection:
    picks = context.ranked(scores)[:budget]
    return Selection(picks, scores, {"mean_loss_of_picks": float(np.mean(context.loss[picks]))})


def _losses(context: SelectionContext, name: str) -> npt.NDArray[np.float32]:
    missing = int(np.isnan(context.loss).sum())
    if missing:
        raise UsageError(
            f"{name} goes by the loss, which the store lacks for {missing} of {len(context)} rows; extract them with "
            "gradstore, or give import_arrays their loss"
        )
    return context.loss
