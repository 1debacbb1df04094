"""How much may be chosen: rows, or tokens."""

from __future__ import annotations

from dataclasses import dataclass

from gradstore.errors import UsageError

__all__ = ["Purse", "purses", "rows_for", "wanted_rows"]


@dataclass
class Purse:
    """What is left of a budget.

    Attributes
    ----------
    rows : int
        Rows that may still be chosen.
    tokens : int or None
        Tokens that they may have together; None: any number.
    """

    rows: int
    tokens: int | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return self.rows < 1 or self.tokens == 0

    def wants(self, mean_tokens: float) -> int:
        """Rows to ask for next, if a row has `mean_tokens`; 0 if the budget is used up."""
        if self.tokens is None or self.empty:
            return 0 if self.empty else self.rows
        return min(self.rows, -(-self.tokens // max(1, int(mean_tokens))))

    def pay(self, tokens: int) -> bool:
        """Take one row of that many tokens, if it can be paid for; the first that cannot ends the choice."""
        if self.tokens is not None:
            if tokens > self.tokens:
                self.tokens = 0
                return False
            self.tokens -= tokens
        self.rows -= 1
        return True


def purses(rows: int, tokens: int | None, parts: int) -> list[Purse]:
    """The budget in `parts` equal parts, the first ones larger by one where it does not come out even."""
    if tokens is not None:
        return [Purse(rows, tokens // parts + (i < tokens % parts)) for i in range(parts)]
    return [Purse(rows // parts + (i < rows % parts)) for i in range(parts)]


def rows_for(budget: int | float, *, rows: int, candidates: int) -> int:
    """Number of rows that `budget` means: a whole number as it is, a float as a share of `rows`, at least 1.

    Raises
    ------
    UsageError
        If it is none of both, or more than there are candidates.
    """
    if isinstance(budget, float):
        if not 0 < budget <= 1:
            raise UsageError(
                f"the fraction is {budget}; choose above 0 and up to 1, or a whole number of rows"
            )
        wanted = max(1, int(rows * budget))
    else:
        wanted = budget
    if isinstance(budget, bool) or wanted < 1:
        raise UsageError(f"the budget is {budget}; choose at least 1 row")
    if wanted > candidates:
        raise UsageError(f"the budget is {wanted} rows, but only {candidates} of {rows} rows have a gradient")
    return wanted


def wanted_rows(budget: int | float | None, tokens: int | None, *, rows: int, candidates: int) -> int:
    """Most rows that a budget of rows or of tokens allows.

    Raises
    ------
    UsageError
        If both or none of them are given, or as `rows_for`.
    """
    if (budget is None) is (tokens is None):
        raise UsageError("give a budget of rows or one of tokens, and only one of them")
    if tokens is not None and tokens < 1:
        raise UsageError(f"the budget is {tokens} tokens; choose at least 1")
    return candidates if budget is None else rows_for(budget, rows=rows, candidates=candidates)
