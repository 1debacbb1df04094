"""Target rows that choose in turns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gradstore.select.context import SelectionContext

__all__ = ["Wishes", "take_turns"]

_LISTED = 1024


class Wishes:
    """For each target row the candidates it would choose, best first, equal ones by id; sorted only as far as asked.

    Parameters
    ----------
    influence : ndarray, shape (N, n)
        How much each candidate serves each target row.
    by_id : ndarray of int64, shape (N,)
        Candidates in order of their ids.
    """

    def __init__(self, influence: npt.NDArray[np.floating], by_id: npt.NDArray[np.int64]) -> None:
        self._influence, self._by_id = influence, by_id
        self._lists: dict[int, npt.NDArray[np.int64]] = {}
        self._next = np.zeros(influence.shape[1], np.int64)
        self.taken = np.zeros(len(influence), np.bool_)

    def take(self, target: int) -> int:
        """The best candidate for a target row that nobody has taken; it is taken now. There must be one."""
        while True:
            wishes = self._lists.get(target)
            if wishes is None or self._next[target] == len(wishes):
                self._lists[target] = wishes = self._list(target, 2 * (0 if wishes is None else len(wishes)))
            row = int(wishes[self._next[target]])
            self._next[target] += 1
            if not self.taken[row]:
                self.taken[row] = True
                return row

    def _list(self, target: int, count: int) -> npt.NDArray[np.int64]:
        """The best `count` candidates at least, and all that are as good as the last of them."""
        values = self._influence[self._by_id, target]
        count = max(count, _LISTED)
        if count < len(values):
            least = np.partition(values, len(values) - count)[len(values) - count]
            some = np.flatnonzero(values >= least)
        else:
            some = np.arange(len(values))
        return self._by_id[some[np.argsort(-values[some], kind="stable")]]


def take_turns(
    context: SelectionContext, influence: npt.NDArray[np.floating], budget: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Candidates in the order in which the target rows, by id and over and over, take their best unused one.

    Returns
    -------
    picks, targets : ndarray of int64, shape (budget,)
        Candidates, and the target row that took each.
    """
    wishes = Wishes(influence, context.by_id())
    order = sorted(range(influence.shape[1]), key=lambda row: str(context.target.ids[row]))
    targets = np.resize(np.array(order, np.int64), budget)
    return np.array([wishes.take(int(target)) for target in targets], np.int64), targets
