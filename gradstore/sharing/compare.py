"""How two parts of the same chunk differ."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from gradstore.store.parts import Part

__all__ = ["difference"]


def difference(mine: Part, theirs: Part, first: int = 0) -> str:
    """The first difference of two parts of one chunk, with both values; empty if there is none.

    Parameters
    ----------
    mine, theirs : Part
        With the same arrays.
    first : int
        Number of the chunk's first row.

    Examples
    --------
    >>> difference(Part({"norm": np.ones(2)}), Part({"norm": np.array([1.0, 2.0])}), first=8)
    'norm of row 9 is 1.0 there, 2.0 here'
    """
    for column in dict.fromkeys(name.partition("/")[0] for name in mine.arrays):
        ours, others = _rows(mine, column), _rows(theirs, column)
        for row, (one, other) in enumerate(zip(ours, others, strict=True)):
            if _bytes(one) != _bytes(other):
                return f"{column} of row {first + row} is {_shown(one)} there, {_shown(other)} here"
    for name, entry in mine.objects.items():
        found = theirs.objects.get(name)
        if found != entry:
            return f"{name} is {entry.sha256[:12]} there, {found.sha256[:12] if found else 'nothing'} here"
    if mine.fidelity != theirs.fidelity:
        return f"fidelity is {mine.fidelity} there, {theirs.fidelity} here"
    return ""


def _rows(part: Part, column: str) -> Sequence[Any]:
    if column in part.arrays:
        return part.arrays[column]  # type: ignore[return-value]
    data = part.arrays[f"{column}/data"].tobytes()
    return [data[start:stop] for start, stop in pairwise(part.arrays[f"{column}/offsets"].tolist())]


def _bytes(value: Any) -> bytes:
    """Of a number too: a NaN is the same as itself."""
    return value if isinstance(value, bytes) else np.asarray(value).tobytes()


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
        return repr(value if len(value) <= 60 else f"{value[:57]}…")
    return value.tobytes().hex() if isinstance(value, np.ndarray) else str(value)
