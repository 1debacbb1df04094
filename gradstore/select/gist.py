"""GIST: similarity within the subspace that the target's gradients span."""

from __future__ import annotations

import numpy as np

from gradstore.errors import UsageError
from gradstore.records import Selection
from gradstore.select.context import SelectionContext

__all__ = ["GIST"]


class GIST:
    """Highest cosine with the target within the main subspace of its gradients (GIST, 2026).

    ``V_k`` are the right singular vectors of the target rows (not centred) that hold a share of their squares. The
    score of a row with gradient g is the highest cosine of ``V_kᵀ g`` and ``V_kᵀ m`` over the mean gradients m of the
    subtasks. Rows are read once; time N·dim·k, memory N·k.

    Parameters
    ----------
    variance : float, default 0.95
        Share of the squared singular values that the subspace holds, above 0 and up to 1.

    References
    ----------
    arXiv 2602.18584.
    """

    name = "gist"
    directions = ("sgd", "sgd")

    def __init__(self, *, variance: float = 0.95) -> None:
        self.variance = variance

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """The `budget` candidates of highest score, equal ones by id."""
        if not 0 < self.variance <= 1:
            raise UsageError(f"variance is {self.variance}; choose above 0 and up to 1")
        rows = context.target.raw.astype(np.float64)
        rows /= np.linalg.norm(rows)  # gradients may be tiny; cosines do not know
        _, sizes, directions = np.linalg.svd(rows, full_matrices=False)
        shares = np.cumsum(sizes**2) / np.sum(sizes**2)
        count = min(int(np.searchsorted(shares, self.variance * (1 - 1e-12))) + 1, int((sizes > 0).sum()))
        if count < 2:
            raise UsageError(
                f"{self.variance:.0%} of the target's gradients lie on one line, on which every cosine is 1 or -1; "
                "raise -p variance, or use the selector less"
            )
        basis = directions[:count]
        groups = context.target.groups()
        means = np.stack([rows[group].mean(axis=0) for group in groups]) @ basis.T
        inside = context.project(basis.astype(np.float32)).astype(np.float64)
        cosines = _unit(inside) @ _unit(means).T
        scores = cosines.max(axis=1).astype(np.float32)
        picks = context.ranked(scores)[:budget]
        names = [str(context.target.subtasks[group[0]]) for group in groups]
        report = {"dimensions": count, "explained": float(shares[count - 1]), "subtasks": len(groups)}
        columns = {"subtask": [names[i] for i in cosines[picks].argmax(axis=1)]} if len(groups) > 1 else {}
        return Selection(picks, scores, report, columns)


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)
