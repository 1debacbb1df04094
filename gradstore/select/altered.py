"""A store as it would be with other rows: kept with fewer bits, or projected to fewer numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.graph.vectors import Float

if TYPE_CHECKING:
    from gradstore.store import Dataset, Store

__all__ = ["altered", "encoded_as", "folded_to"]

Change = Callable[[Float], Float]


def altered(store: Store, change: Change) -> Store:
    """A view of `store` whose rows have gone through `change`; it cannot be written to."""
    return cast("Store", _AlteredStore(store, change))


def encoded_as(name: str) -> Change:
    """Rows as they come back from an encoding."""
    from gradstore.store.encodings import encoding

    kind = encoding(name)
    return lambda rows: kind.decode(*kind.encode(np.ascontiguousarray(rows)), rows.shape[1])


def folded_to(dim: int) -> Change:
    """Rows as a projection to `dim` numbers would have made them, if theirs is a sparse one.

    Entries that are `dim` apart are added up. What a CountSketch has put into k buckets lies thereby in `dim` of them,
    with the same signs, which is a CountSketch again.

    Raises
    ------
    UsageError
        When rows are of a length that `dim` does not divide.
    """

    def fold(rows: Float) -> Float:
        if rows.shape[1] % dim:
            raise UsageError(f"rows of {rows.shape[1]} numbers cannot be folded to {dim}")
        summed: Float = rows.reshape(len(rows), rows.shape[1] // dim, dim).sum(axis=1)
        return summed

    return fold


class _AlteredStore:
    """Everything of a store but its rows, its place and the right to write."""

    writable = False

    def __init__(self, store: Store, change: Change) -> None:
        self._store, self._change = store, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def dataset(self, name: str, checkpoint: str | None = None) -> Dataset:
        return cast("Dataset", _AlteredDataset(self._store.dataset(name, checkpoint), self._change))


class _AlteredDataset:
    """Everything of a data set but its rows; norms are the stored ones, since directions are what is compared."""

    def __init__(self, dataset: Dataset, change: Change) -> None:
        self._dataset, self._change = dataset, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def __len__(self) -> int:
        return len(self._dataset)

    def dim(self, direction: str) -> int:
        return int(self._change(self._dataset.read(direction, 0, 0)).shape[1])

    def read(self, direction: str, start: int, stop: int) -> Float:
        return self._change(self._dataset.read(direction, start, stop))

    def take(self, direction: str, rows: npt.NDArray[np.int64]) -> Float:
        return self._change(self._dataset.take(direction, rows))

    def blocks(self, direction: str) -> Iterator[tuple[int, Float]]:
        return ((start, self._change(rows)) for start, rows in self._dataset.blocks(direction))
