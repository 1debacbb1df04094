"""What is known of each row without reading it again."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

from gradstore.data.identity import copy_numbers
from gradstore.records import HASH_LENGTH

__all__ = ["Ids", "Index", "IndexBuilder"]

_WIDTH = HASH_LENGTH // 2
_Integers = npt.NDArray[np.int64]


class Ids(Sequence[str]):
    """The ids of rows: given ones in one piece of memory, the others told by the content hash.

    Parameters
    ----------
    text : bytearray
        Given ids in UTF-8, one after another.
    starts, lengths : ndarray of int64, shape (n,)
        Where in `text` each begins, and its length in bytes; 0 where none is given.
    contents : ndarray of uint8, shape (n, 12)
    copies : ndarray of int32, shape (n,)
        2, 3, … for rows whose id is that of an earlier one, with that number after ``#``; else 1.
    """

    def __init__(
        self,
        text: bytearray,
        starts: _Integers,
        lengths: _Integers,
        contents: npt.NDArray[np.uint8],
        copies: npt.NDArray[np.int32],
    ) -> None:
        self._text, self._starts, self._lengths = text, starts, lengths
        self._contents, self._copies = contents, copies

    def base(self, row: SupportsIndex) -> str:
        """The id without a copy's number."""
        start, length = self._starts[row], self._lengths[row]
        if not length:
            return bytes(self._contents[row]).hex()
        return self._text[start : start + length].decode()

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        number = self._copies[index]
        return self.base(index) if number == 1 else f"{self.base(index)}#{number}"

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def take(self, rows: _Integers) -> Ids:
        """Ids of some rows."""
        return Ids(
            self._text, self._starts[rows], self._lengths[rows], self._contents[rows], self._copies[rows]
        )


@dataclass(frozen=True, slots=True)
class Index:
    """Where rows stand and what identifies them.

    Attributes
    ----------
    starts, sizes : ndarray of int64, shape (n,)
        Place of each row's JSON text in its source, and the length in bytes.
    numbers : ndarray of int64, shape (n,)
        Line, or number of the row, in the file it came from.
    contents : ndarray of uint8, shape (n, 12)
        Content hashes.
    ids : Ids
    """

    starts: _Integers
    sizes: _Integers
    numbers: _Integers
    contents: npt.NDArray[np.uint8]
    ids: Ids

    def take(self, rows: _Integers) -> Index:
        """The index of some rows."""
        return Index(
            _fixed(self.starts[rows]),
            _fixed(self.sizes[rows]),
            _fixed(self.numbers[rows]),
            _fixed(self.contents[rows]),
            self.ids.take(rows),
        )

    @property
    def duplicates(self) -> int:
        """Rows whose content repeats an earlier one."""
        void = np.ascontiguousarray(self.contents).view(f"V{_WIDTH}").ravel()
        return len(void) - len(np.unique(void))


class IndexBuilder:
    """An index that grows row by row, without a Python object for each."""

    def __init__(self) -> None:
        self._columns = [array("q") for _ in range(6)]
        self._contents = bytearray()
        self._text = bytearray()

    def __len__(self) -> int:
        return len(self._columns[0])

    def add(self, number: int, start: int, size: int, content: str, given: bytes) -> None:
        """Add a row with its content hash and the id it gives itself (empty: none)."""
        base = hash(given.decode() if given else content)
        values = (start, size, number, len(self._text), len(given), base)
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)
        self._contents += bytes.fromhex(content)
        self._text += given

    def finish(self, where: Callable[[int], str]) -> Index:
        """The index, with unique ids.

        Parameters
        ----------
        where : callable
            The place of a line or row number, for messages.

        Raises
        ------
        DataError
            If one id stands for two different contents.
        """
        starts, sizes, numbers, begins, lengths, hashes = (
            _fixed(np.frombuffer(column, np.int64)) for column in self._columns
        )
        contents = _fixed(np.frombuffer(self._contents, np.uint8).reshape(-1, _WIDTH))
        plain = Ids(self._text, begins, lengths, contents, np.ones(len(starts), np.int32))
        copies = copy_numbers(hashes, contents, plain.base, lambda row: where(int(numbers[row])))
        return Index(starts, sizes, numbers, contents, Ids(self._text, begins, lengths, contents, copies))


def _fixed(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    values.setflags(write=False)
    return values
