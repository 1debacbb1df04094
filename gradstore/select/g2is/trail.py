"""The path of one component: its members, and the two tests that a next member must pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from gradstore.graph.dots import row_dots
from gradstore.graph.vectors import Float, Vectors
from gradstore.select.g2is.order import Rows

__all__ = ["ROUNDING", "Trail", "exact_dots"]

ROUNDING = 4e-6
"""What a float32 product of two unit rows may be off, by whatever shape of product it was found."""


class Trail(ABC):
    """Members of one walk and the tests that a next member must pass.

    An engine says how candidates are compared with members and which are nearest. Whatever is within rounding of a
    threshold is computed again in float64 and in one fixed way, so that every engine decides alike.

    Parameters
    ----------
    rows : Vectors
        Unit rows.
    core : ndarray, shape (N,)
        Cosine of every row with the core direction of this walk.
    used : ndarray of bool, shape (N,)
        Rows that may not become members.
    delta : float
        Eq. 6: how much of the members' cosine with the core must survive a new member.
    tolerance : float
        Eq. 5: a cosine below ``-tolerance`` is a conflict.

    Attributes
    ----------
    dead : ndarray of bool, shape (N,)
        Rows that can never join: used, or met and found in conflict.
    size : int
        Members.
    last : int
        The newest member.
    """

    def __init__(
        self,
        rows: Vectors,
        core: npt.NDArray[np.floating],
        used: npt.NDArray[np.bool_],
        *,
        delta: float,
        tolerance: float,
    ) -> None:
        self.dead = used.copy()
        self.size, self.last = 0, -1
        self.rejected_conflict = self.rejected_core = 0
        self._rows, self._core = rows, core
        self._delta, self._tolerance = delta, tolerance
        self._conflict = np.zeros(len(rows), bool)
        self._dots = np.zeros(len(rows))
        self._sum = np.zeros(rows.dim)
        self._norm2 = self._core_sum = 0.0

    def add(self, row: int) -> None:
        """Make `row` the next member, without testing it."""
        self.dead[row] = True
        self.size, self.last = self.size + 1, row
        self._vector: Float = self._rows.take([row])[0]
        self._sum += self._vector
        self._norm2 = float(self._sum @ self._sum)
        self._core_sum += float(self._core[row])
        self._joined(self._vector)

    def first_fit(self, blocks: Iterable[Rows]) -> int | None:
        """First live row of `blocks` that passes Eq. 5 and Eq. 6; None if none does."""
        for block in blocks:
            self._compare(block)
            fits = ~self._conflict[block]
            fits[fits] = self._keeps_core(block[fits])
            hit = int(fits.argmax()) if fits.any() else len(block)
            self._refuse(block[:hit])
            if hit < len(block):
                return int(block[hit])
        return None

    def cosines(self, candidates: Rows) -> Float:
        """Cosines of `candidates` with the newest member, bit for bit those by which graphs are sorted."""
        return row_dots(self._rows.take(candidates), self._vector).clip(-1, 1)

    @abstractmethod
    def nearest(self) -> Iterator[Rows]:
        """Neighbours of the newest member by descending cosine, dead ones among them."""

    @abstractmethod
    def _joined(self, vector: Float) -> None:
        """Take notice of a new member."""

    @abstractmethod
    def _compare(self, candidates: Rows) -> None:
        """Bring ``_conflict`` of `candidates` up to date, and ``_dots`` of those without a conflict."""

    def _keeps_core(self, candidates: Rows) -> npt.NDArray[np.bool_]:
        """Eq. 6 from sums of dot products alone: ``|s + x|² = |s|² + 2 s·x + 1``."""
        enough = self._delta * abs(self._core_sum) / np.sqrt(max(self._norm2, 1e-30))
        found, norm2 = self._core_after(candidates, self._dots[candidates])
        error = found * (self.size * ROUNDING / norm2) + 1e-12
        doubtful = np.abs(found - enough) <= error
        if doubtful.any():
            again = candidates[doubtful]
            found[doubtful], _ = self._core_after(again, exact_dots(self._rows.take(again), self._sum))
        return np.asarray(found >= enough)

    def _core_after(
        self, candidates: Rows, dots: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Absolute cosine of members and each candidate together with the core, and their squared norm."""
        norm2 = np.maximum(self._norm2 + 2.0 * dots + 1.0, 1e-30)
        return np.abs(self._core_sum + self._core[candidates]) / np.sqrt(norm2), norm2

    def _refuse(self, candidates: Rows) -> None:
        """Count rejected candidates by cause: a conflict once for each candidate, Eq. 6 each time."""
        conflict = self._conflict[candidates]
        self.rejected_core += int(np.count_nonzero(~conflict))
        self.rejected_conflict += int(np.count_nonzero(conflict & ~self.dead[candidates]))
        self.dead[candidates[conflict]] = True


def exact_dots(left: Float, right: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Inner product of each row of `left` with that of `right`, or with the only one; one at a time, in float64."""
    return row_dots(left.astype(np.float64), right.astype(np.float64))
