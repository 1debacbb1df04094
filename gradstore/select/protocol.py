"""What a selector is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from gradstore.records import Selection
from gradstore.select.context import SelectionContext

__all__ = ["Selector"]


@runtime_checkable
class Selector(Protocol):
    """A rule that chooses rows.

    A class with keyword-only constructor parameters, stored unchanged under their names, and the method `select`.
    Parameters annotated with str, int, float, bool, None, Literal or unions of them become options
    ``-p name=value``; the class's docstring describes it in its first line, and each parameter under
    ``Parameters`` (numpydoc).

    A class may also have these, which select uses where they are there:

    ``directions`` : (str, str)
        Stored directions of train and target rows that it is made for, in place of ``adam`` and ``sgd``.
    """

    name: str

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """Choose at most `budget` candidates of `context`, each at most once.

        Parameters
        ----------
        context : SelectionContext
            The candidates, their vectors, and the target.
        budget : int
            Rows to choose.
        """
