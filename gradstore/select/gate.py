"""Lets proposed rows into the choice, one by one, as long as the limits are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.graph.cached import cached
from gradstore.graph.nodes import Nodes
from gradstore.graph.vectors import Vectors
from gradstore.select.budget import Purse
from gradstore.select.limits import Limits

__all__ = ["VERDICTS", "Gate"]

VERDICTS = (
    "not chosen",
    "chosen",
    "excluded",
    "too short",
    "too long for the token budget",
    "its source is full",
    "near-duplicate of a chosen row",
    "over the token budget",
)
"""What can come of a candidate; `Gate.verdicts` holds places in this list."""
_OPEN, _CHOSEN, _EXCLUDED, _SHORT, _LONG, _FULL, _NEAR, _OVER = range(len(VERDICTS))
_BLOCK = 1024


class Gate:
    """Keeps the limits.

    Parameters
    ----------
    nodes : Nodes
        The candidates.
    limits : Limits
    budget : int
        Rows to choose.
    longest : int or None
        Most tokens that a row may have.
    memory : int
        Bytes that may be held of vectors.

    Attributes
    ----------
    verdicts : ndarray of uint8, shape (N,)
        What came of each candidate so far, see `VERDICTS`.
    twins : dict from int to (int, float)
        For each near-duplicate the chosen row that it resembles most, and their cosine.
    """

    def __init__(
        self, nodes: Nodes, limits: Limits, *, budget: int, longest: int | None, memory: int
    ) -> None:
        self.verdicts = np.zeros(len(nodes), np.uint8)
        self.twins: dict[int, tuple[int, float]] = {}
        self._near = limits.near_duplicate
        self._most = limits.most(budget)
        self._sources = nodes.column("sources").astype(str) if self._most is not None else None
        self._counts: Counter[str] = Counter()
        self._vectors = cached(nodes, memory // 2) if self._near is not None else None
        self._chosen: list[int] = []
        tokens = self._tokens = nodes.column("tokens")
        if (limits.min_tokens or longest is not None) and not tokens.any():
            raise UsageError(
                "the store does not know how many tokens its rows have: give a budget of rows and no least length"
            )
        self.verdicts[tokens < limits.min_tokens] = _SHORT
        if longest is not None:
            self.verdicts[tokens > longest] = _LONG
        if limits.exclude:
            self.verdicts[_named(nodes, set(limits.exclude))] = _EXCLUDED

    @property
    def open(self) -> npt.NDArray[np.int64]:
        """Candidates that may still be chosen."""
        return np.flatnonzero(self.verdicts == _OPEN)

    def admit(self, proposed: Sequence[int], purse_of: Callable[[int], Purse]) -> list[int]:
        """Choose the proposed candidates in order, without those that a limit keeps out.

        Parameters
        ----------
        proposed : sequence of int
        purse_of : callable
            What pays for the candidate at this place of `proposed`.

        Returns
        -------
        list of int
            Places in `proposed` of those that were chosen.
        """
        chosen: list[int] = []
        for start in range(0, len(proposed), _BLOCK):
            block = [int(each) for each in proposed[start : start + _BLOCK]]
            resemblance = (
                _Resemblance(self._vectors, block, self._chosen) if self._vectors is not None else None
            )
            for place, candidate in enumerate(block):
                purse = purse_of(start + place)
                if purse.empty:
                    continue
                twin = resemblance.of(place) if resemblance is not None else None
                if self._is_full(candidate):
                    self.verdicts[candidate] = _FULL
                elif twin is not None and self._near is not None and twin[1] > self._near:
                    self.verdicts[candidate] = _NEAR
                    self.twins[candidate] = twin
                elif not purse.pay(int(self._tokens[candidate])):
                    self.verdicts[candidate] = _OVER
                else:
                    self._choose(candidate)
                    chosen.append(start + place)
                    if resemblance is not None:
                        resemblance.keep(place)
        return chosen

    def counts(self) -> dict[str, int]:
        """How many candidates each limit kept out."""
        found = Counter(self.verdicts.tolist())
        return {VERDICTS[code]: found[code] for code in range(_EXCLUDED, len(VERDICTS)) if found[code]}

    def _is_full(self, candidate: int) -> bool:
        return self._sources is not None and self._counts[self._sources[candidate]] == self._most

    def _choose(self, candidate: int) -> None:
        self.verdicts[candidate] = _CHOSEN
        self._chosen.append(candidate)
        if self._sources is not None:
            source = self._sources[candidate]
            self._counts[source] += 1
            if self._counts[source] == self._most:
                self.verdicts[(self.verdicts == _OPEN) & (self._sources == source)] = _FULL


class _Resemblance:
    """Cosines of a block of proposed rows with the chosen ones, those of the same block included."""

    def __init__(self, vectors: Vectors, block: list[int], chosen: list[int]) -> None:
        self._block = block
        rows = vectors.take(block)
        self._inside = rows @ rows.T
        self._twin = np.full(len(block), -1)
        self._cosine = np.full(len(block), -np.inf)
        for first in range(0, len(chosen), _BLOCK):
            some = np.array(chosen[first : first + _BLOCK])
            cosines = rows @ vectors.take(some).T
            top = cosines.argmax(axis=1)
            self._improve(np.arange(len(block)), some[top], cosines.max(axis=1))

    def of(self, place: int) -> tuple[int, float] | None:
        """The chosen row that the one at this place resembles most, and their cosine; None if none is chosen."""
        return (int(self._twin[place]), float(self._cosine[place])) if self._twin[place] >= 0 else None

    def keep(self, place: int) -> None:
        """Count the row at this place as chosen."""
        later = np.arange(place + 1, len(self._block))
        self._improve(later, np.full(len(later), self._block[place]), self._inside[later, place])

    def _improve(
        self, places: npt.NDArray[np.int64], twins: npt.NDArray[np.int64], cosines: npt.NDArray[np.float32]
    ) -> None:
        better = cosines > self._cosine[places]
        self._twin[places[better]] = twins[better]
        self._cosine[places[better]] = cosines[better]


def _named(nodes: Nodes, names: set[str]) -> npt.NDArray[np.bool_]:
    """Which candidates are among `names`, by id or by the hash of their content."""
    by_id = np.fromiter((name in names for name in nodes.ids), np.bool_, len(nodes))
    contents = nodes.column("contents")
    by_content = np.fromiter((row.tobytes().hex() in names for row in contents), np.bool_, len(nodes))
    return by_id | by_content
