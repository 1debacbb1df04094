"""What keeps a row out, whichever selector chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gradstore.errors import UsageError

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Limits that every choice keeps.

    Attributes
    ----------
    exclude : sequence of str
        Ids and content hashes of rows that may not be chosen.
    min_tokens : int
        A row with fewer is not chosen.
    per_source : int, float or None
        Most rows of one source; a float is a share of the budget.
    near_duplicate : float or None
        A row whose cosine with a chosen one is above this is not chosen.

    Examples
    --------
    >>> Limits(min_tokens=8, per_source=0.2).most(1000)
    200
    """

    exclude: Sequence[str] = field(default=(), repr=False)
    min_tokens: int = 0
    per_source: int | float | None = None
    near_duplicate: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no choice can keep."""
        if self.near_duplicate is not None and not -1 <= self.near_duplicate <= 1:
            raise UsageError(f"a near-duplicate's cosine is {self.near_duplicate}; choose between -1 and 1")
        if self.min_tokens < 0:
            raise UsageError(f"the least number of tokens is {self.min_tokens}; choose 0 or more")
        share = self.per_source
        if share is not None and (share <= 0 or (isinstance(share, float) and share > 1)):
            raise UsageError(f"per source is {share}; choose at least 1 row, or a share above 0 and up to 1")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values of the limits that are set."""
        values = {**asdict(self), "exclude": sorted(self.exclude)}
        unset = {**asdict(Limits()), "exclude": []}
        return {name: value for name, value in values.items() if value != unset[name]}

    def most(self, budget: int) -> int | None:
        """Most rows of one source, of `budget` rows; None: any number.

        Parameters
        ----------
        budget : int
            Rows to choose.

        Returns
        -------
        int or None
        """
        if isinstance(self.per_source, float):
            return max(1, int(self.per_source * budget))
        return self.per_source
