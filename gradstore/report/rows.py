"""The rows of a store's data sets as one list, numbered through: what every part of a report points at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from gradstore.store import Dataset

__all__ = ["Codes", "Index", "Rows"]

Index = npt.NDArray[np.int64]
Codes = tuple[list[str], npt.NDArray[np.int64]]
"""Names, the most frequent first, and the place in them for each row."""

_BATCH = 1024


class Rows:
    """All rows of some data sets, one set after the other.

    Parameters
    ----------
    datasets : sequence of Dataset
        Each name once.

    Attributes
    ----------
    datasets : tuple of Dataset
    starts : ndarray of int64, shape (datasets + 1,)
        Number of each data set's first row; the last entry is the number of all rows.
    """

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self.datasets = tuple(datasets)
        self.starts = np.cumsum([0, *map(len, datasets)])
        self._columns: dict[str, npt.NDArray[Any]] = {}

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def names(self) -> list[str]:
        """Names of the data sets."""
        return [dataset.name for dataset in self.datasets]

    @property
    def sets(self) -> Index:
        """Place of its data set for each row."""
        return np.repeat(np.arange(len(self.datasets)), np.diff(self.starts))

    @property
    def is_target(self) -> npt.NDArray[np.bool_]:
        """Whether each row belongs to a target set."""
        flags = [bool(dataset.attributes.get("target", False)) for dataset in self.datasets]
        return np.repeat(np.array(flags, np.bool_), np.diff(self.starts))

    def numbers(self, names: npt.NDArray[np.object_], rows: npt.NDArray[np.int64]) -> Index:
        """Numbers of rows that are known by data set and row."""
        begin = {dataset.name: int(start) for dataset, start in zip(self.datasets, self.starts, strict=False)}
        starts = np.fromiter((begin[name] for name in names), np.int64, len(names))
        return starts + rows

    def column(self, name: str) -> npt.NDArray[Any]:
        """A column of the data sets for each row, such as ``"sources"``; read once."""
        if name not in self._columns:
            found = [np.asarray(getattr(dataset, name)) for dataset in self.datasets]
            self._columns[name] = np.concatenate(found) if found else np.zeros(0)
        return self._columns[name]

    def codes(self, name: str) -> Codes:
        """A column of strings as places in the list of its values."""
        values, places, counts = np.unique(
            self.column(name).astype(str), return_inverse=True, return_counts=True
        )
        order = np.argsort(-counts, kind="stable")
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        return [str(each) for each in values[order]], rank[places]

    def records(self, numbers: Index, done: Callable[[int], object]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (number, original row) for those of `numbers` whose data set holds its rows, in ascending order.

        `done` hears how many of `numbers` were looked at.
        """
        wanted = np.sort(numbers)
        for dataset, start, stop in zip(self.datasets, self.starts, self.starts[1:], strict=False):
            mine = wanted[(wanted >= start) & (wanted < stop)]
            if not (len(mine) and dataset.has_records):
                done(len(mine))
                continue
            for first in range(0, len(mine), _BATCH):
                some = mine[first : first + _BATCH]
                yield from zip(some.tolist(), dataset.records(some - start), strict=True)
                done(len(some))
