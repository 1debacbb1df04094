"""The path of one component: its members, and lazily what is known of every candidate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Trail"]

_FIRST_SLICE = 32  # members a fresh candidate meets at once: most conflicts show within a few
_LARGEST_SLICE = 1024  # bounds the memory of one gather of members
_LARGEST_BLOCK = 256  # candidates tested together


class Trail:
    """Members of one walk and the tests that a next member must pass.

    A candidate remembers how far along the members it has been compared, the sum of those dot products and
    whether one of them was a conflict, so that every pair is multiplied at most once. The sum gives the norm of
    the summed members without touching a vector: ``|s + x|² = |s|² + 2 s·x + 1``.

    Parameters
    ----------
    rows : ndarray of float32, shape (N, dim)
        Unit rows; never copied.
    core : ndarray, shape (N,)
        Cosine of every row with the core direction of this walk.
    delta : float
        Eq. 6: how much of the members' cosine with the core must survive a new member.
    tolerance : float
        Eq. 5: a dot product below ``-tolerance`` is a conflict.
    """

    def __init__(
        self, rows: npt.NDArray[np.float32], core: npt.NDArray[np.floating], *, delta: float, tolerance: float
    ) -> None:
        self.members: list[int] = []
        self.rejected_conflict = 0
        self.rejected_core = 0
        self.refused = np.zeros(len(rows), bool)
        """Candidates that were met and found in conflict: they can never join."""
        self._rows = rows
        self._core = core
        self._delta = delta
        self._tolerance = tolerance
        self._conflict = np.zeros(len(rows), bool)
        self._compared = np.zeros(len(rows), np.int64)
        self._dots = np.zeros(len(rows))
        self._norm2 = 0.0
        self._core_sum = 0.0

    def add(self, row: int) -> None:
        """Make `row` the next member, without testing it."""
        self._compare(np.array([row]), until_conflict=False)
        self._norm2 += 2.0 * float(self._dots[row]) + 1.0
        self._core_sum += float(self._core[row])
        self.members.append(row)

    def first_fit(self, candidates: npt.NDArray[np.int64]) -> int | None:
        """First of `candidates` that passes Eq. 5 and Eq. 6, tested in growing blocks; None if none does."""
        start, size = 0, 1
        while start < len(candidates):
            block = candidates[start : start + size]
            self._compare(block)
            fits = ~self._conflict[block]
            fits[fits] = self._keeps_core(block[fits])
            hit = int(fits.argmax()) if fits.any() else len(block)
            self._refuse(block[:hit])
            if hit < len(block):
                return int(block[hit])
            start, size = start + size, min(2 * size, _LARGEST_BLOCK)
        return None

    def _compare(self, candidates: npt.NDArray[np.int64], *, until_conflict: bool = True) -> None:
        """Bring `candidates` up to date with all members, or to their first conflicting slice of members."""
        while True:
            behind = self._compared[candidates] < len(self.members)
            if until_conflict:
                behind &= ~self._conflict[candidates]
            candidates = candidates[behind]
            if not len(candidates):
                return
            start = int(self._compared[candidates].min())
            group = candidates[self._compared[candidates] == start]
            stop = min(len(self.members), start + min(max(start, _FIRST_SLICE), _LARGEST_SLICE))
            dots = self._rows[group] @ self._rows[self.members[start:stop]].T
            self._dots[group] += dots.sum(axis=1, dtype=np.float64)
            self._conflict[group] |= dots.min(axis=1) < -self._tolerance
            self._compared[group] = stop

    def _keeps_core(self, candidates: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Eq. 6 for candidates that are up to date."""
        before = abs(self._core_sum) / np.sqrt(max(self._norm2, 1e-30))
        norm2 = self._norm2 + 2.0 * self._dots[candidates] + 1.0
        after = np.abs(self._core_sum + self._core[candidates]) / np.sqrt(np.maximum(norm2, 1e-30))
        return np.asarray(after >= self._delta * before)

    def _refuse(self, candidates: npt.NDArray[np.int64]) -> None:
        """Count rejected candidates by cause: a conflict once for each candidate, Eq. 6 each time."""
        conflict = self._conflict[candidates]
        self.rejected_core += int(np.count_nonzero(~conflict))
        self.rejected_conflict += int(np.count_nonzero(conflict & ~self.refused[candidates]))
        self.refused[candidates[conflict]] = True
