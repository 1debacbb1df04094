"""What a walk returns, and its record while it goes on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gradstore.progress import Bar
from gradstore.select.g2is.trail import Trail

__all__ = ["Log", "WalkResult"]


@dataclass(slots=True)
class WalkResult:
    """Rows that a walk picked, and why.

    Attributes
    ----------
    picks : ndarray of int64, shape (n,)
        In pick order.
    how : list of str, length n
        ``"anchor"`` (closest to the core), ``"local"`` (a neighbour of the pick before), ``"fallback"`` (searched
        among all rows) or, with the preset ``robust``, ``"fill"`` (best remaining score).
    component : ndarray of int64, shape (n,)
        Component that each pick belongs to; -1 for ``"fill"``.
    budgets : ndarray of int64, shape (components,)
        Rows that each component was to pick.
    rejected_conflict : int
        Candidates refused for a conflict with a member (Eq. 5), once for each component.
    rejected_core : int
        Tests that failed because the members would turn from the core (Eq. 6).
    shortfall : int
        Rows of the budget that no component could fill.
    """

    picks: npt.NDArray[np.int64]
    how: list[str]
    component: npt.NDArray[np.int64]
    budgets: npt.NDArray[np.int64]
    rejected_conflict: int = 0
    rejected_core: int = 0
    shortfall: int = 0

    @property
    def local(self) -> int:
        """Picks that are neighbours of the pick before."""
        return self.how.count("local")

    @property
    def fallback(self) -> int:
        """Picks found by searching all rows."""
        return self.how.count("fallback")

    def counts(self) -> dict[str, int]:
        """The figures worth reporting, by name."""
        how = Counter(self.how)
        return {
            **{name: how[name] for name in ("anchor", "local", "fallback", "fill")},
            "rejected_conflict": self.rejected_conflict,
            "rejected_core": self.rejected_core,
            "shortfall": self.shortfall,
        }


@dataclass(slots=True)
class Log:
    """Picks while they are made, over all components."""

    used: npt.NDArray[np.bool_]
    bar: Bar
    picks: list[int] = field(default_factory=list)
    how: list[str] = field(default_factory=list)
    component: list[int] = field(default_factory=list)
    rejected_conflict: int = 0
    rejected_core: int = 0

    def add(self, row: int, how: str, component: int) -> None:
        """Record a pick; the row is used from now on, in every component."""
        self.used[row] = True
        self.picks.append(row)
        self.how.append(how)
        self.component.append(component)
        self.bar.update(1)

    def close(self, trail: Trail) -> None:
        """Take over the counts of a finished component."""
        self.rejected_conflict += trail.rejected_conflict
        self.rejected_core += trail.rejected_core

    def result(self, budgets: npt.NDArray[np.int64]) -> WalkResult:
        """The finished walk."""
        return WalkResult(
            np.array(self.picks, np.int64),
            self.how,
            np.array(self.component, np.int64),
            budgets,
            self.rejected_conflict,
            self.rejected_core,
            int(budgets.sum()) - len(self.picks),
        )
