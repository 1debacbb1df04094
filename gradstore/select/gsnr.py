"""GSNR: rows on whose gradient the checkpoints agree."""

from __future__ import annotations

from typing import Literal

import numpy as np

from gradstore.errors import UsageError
from gradstore.records import Selection
from gradstore.select.context import SelectionContext

__all__ = ["GSNR"]

_LARGEST = 1e6


class GSNR:
    """Highest signal-to-noise ratio of the gradient over checkpoints; needs no target.

    The score of a row with gradients g_t at T checkpoints is ``‖mean_t g_t‖² / mean_t ‖g_t − mean_t g_t‖²``. Rows are
    read once, memory N.

    Parameters
    ----------
    scale : {"unit", "stored"}
        ``unit`` compares directions only; ``stored`` keeps the size that a gradient has at each checkpoint.

    References
    ----------
    After arXiv 2601.13697, whose own formula is not public.
    """

    name = "gsnr"
    directions = ("sgd", None)

    def __init__(self, *, scale: Literal["unit", "stored"] = "unit") -> None:
        self.scale = scale

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """The `budget` candidates of highest ratio, equal ones by id; a ratio above 1e6 counts as 1e6."""
        count, width = len(context.widths), context.widths[0]
        if count < 2:
            raise UsageError(
                "gsnr compares checkpoints, and there is only one; extract the rows with several: --checkpoint with a "
                "run's folder takes all of them"
            )
        if set(context.widths) != {width}:
            raise UsageError(f"gsnr needs rows of one length at all checkpoints, not {context.widths}")
        scores = np.empty(len(context), np.float32)
        for start, block in context.blocks():
            rows = block.reshape(len(block), count, width).astype(np.float64)
            lengths = np.linalg.norm(rows, axis=2, keepdims=True)
            rows /= np.where(lengths > 0, lengths, 1)  # without the checkpoints' weights
            if self.scale == "stored":
                rows *= context.norms[start : start + len(block), :, None]
            signal = (rows.mean(axis=1) ** 2).sum(axis=1)
            noise = (rows**2).sum(axis=2).mean(axis=1) - signal
            scores[start : start + len(block)] = signal / np.maximum(noise, signal / _LARGEST)
        report = {"checkpoints": count, "median_ratio": float(np.median(scores))}
        return Selection(context.ranked(scores)[:budget], scores, report)
