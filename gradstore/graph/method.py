"""Which method builds a graph: decided from its size and a short measurement, and said why."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gradstore.errors import UsageError
from gradstore.graph.exact import TILE, Wanted, exact_lists
from gradstore.graph.hnsw import Search, hnsw_lists, index_bytes
from gradstore.graph.sketch import SIZES, Sketch, choose_sketch
from gradstore.graph.vectors import Dense, Vectors

__all__ = ["Method", "choose_method"]

_SAMPLE = 2048
_KEPT = 6
"""Candidates that a sketch proposes for each neighbour; they are compared exactly."""
_SHORT = 30.0
"""Seconds that an exact build may take before it is worth measuring anything else."""
_GROWTH = 0.35
"""A row costs HNSW some ``N**0.35`` more in a larger index (deeper, and out of the processor's cache): fitted from
2 000 to 100 000 rows in benchmarks/graph.py."""


@dataclass(frozen=True, slots=True)
class Method:
    """How a graph will be built.

    Attributes
    ----------
    name : {"exact", "hnsw"}
    why : str
    sketch : Sketch or None
        Only HNSW: search by these, or by the rows themselves.
    search : Search
    """

    name: str
    why: str
    search: Search
    sketch: Sketch | None = None


def choose_method(
    vectors: Vectors,
    m: int,
    method: Literal["auto", "exact", "hnsw"],
    search: Search,
    *,
    sketch: int | None,
    memory: int,
) -> Method:
    """Settle the method, and for HNSW the sketch.

    Parameters
    ----------
    vectors : Vectors
    m : int
    method : {"auto", "exact", "hnsw"}
        ``auto`` takes the one that will be finished first, by a short measurement on some rows.
    search : Search
        With ``keep=0`` the number of candidates is chosen here.
    sketch : int or None
        Numbers of a sketch; 0 for none, None for the shortest that a sample finds good enough.
    memory : int
        Bytes that an index may take, half of them for its points.
    """
    if method == "exact":
        return Method("exact", "asked for", search)
    why = "asked for"
    if method == "auto":
        exact = _exact_seconds(vectors, m, memory)
        if exact <= _SHORT:
            return Method("exact", f"comparing all pairs takes about {_told(exact)}", search)
        approximate = _hnsw_seconds(vectors, m, search)
        told = f"HNSW takes about {_told(approximate)}, comparing all pairs {_told(exact)} (measured on {_SAMPLE} rows)"
        if exact <= approximate:
            return Method("exact", told, search)
        why = told
    chosen = _sketch(vectors, m, search, sketch, memory // 2)
    keep = search.keep or (_KEPT * m if chosen is not None else m + 8)
    return Method("hnsw", why, replace(search, keep=keep), chosen)


def _sketch(vectors: Vectors, m: int, search: Search, asked: int | None, room: int) -> Sketch | None:
    """The sketch to search by: as asked for, or the shortest that is good enough and whose index has room."""
    if asked is not None and asked >= vectors.dim:
        raise UsageError(f"sketch is {asked}; rows have {vectors.dim} numbers: choose fewer, or 0 for none")
    fitting = [size for size in SIZES if index_bytes(len(vectors), size, search.M) <= room]
    whole = index_bytes(len(vectors), vectors.dim, search.M) <= room
    if asked == 0:
        return None
    sizes = (asked,) if asked else fitting
    found = choose_sketch(vectors, m, keep=search.keep or _KEPT * m, seed=search.seed, sizes=sizes)
    if found is not None or whole:
        return found
    if not fitting:
        least = index_bytes(len(vectors), SIZES[0], search.M)
        raise UsageError(
            f"an index of {len(vectors):,} rows takes {least / 1e9:.1f} GB at least, and may take {room / 1e9:.1f} GB, "
            "half of the memory: allow more, or compare all pairs, which takes less"
        )
    return choose_sketch(vectors, m, keep=search.keep or _KEPT * m, seed=search.seed, sizes=fitting[-1:])


def _sample(vectors: Vectors) -> Dense:
    rows = np.unique(np.linspace(0, len(vectors) - 1, _SAMPLE).astype(np.int64))
    return Dense(vectors.take(rows), vectors.widths)


def _exact_seconds(vectors: Vectors, m: int, memory: int) -> float:
    """What an exact build will take: tiles grow with the square of the rows, the last comparison with the rows."""
    sample = _sample(vectors)
    if len(sample) < _SAMPLE:
        return 0.0
    times = []
    for rows in (TILE, _SAMPLE):
        part = Dense(sample.read(0, rows), vectors.widths)
        started = time.perf_counter()
        exact_lists(part, [Wanted(1, m)], memory=memory)
        times.append(time.perf_counter() - started)
    # One tile pair and 1 x the rows, against three pairs and 2 x the rows.
    pair = max(times[1] - 2 * times[0], 0.1 * times[0])
    tiles = math.ceil(len(vectors) / TILE)
    return pair * tiles * (tiles + 1) / 2 + max(times[0] - pair, 0.0) * tiles


def _hnsw_seconds(vectors: Vectors, m: int, search: Search) -> float:
    sample = _sample(vectors)
    sketch = choose_sketch(sample, m, keep=_KEPT * m, seed=search.seed)
    started = time.perf_counter()
    hnsw_lists(sample, [Wanted(1, m)], replace(search, keep=_KEPT * m), sketch)
    spent = time.perf_counter() - started
    times: float = (len(vectors) / len(sample)) ** (1 + _GROWTH)
    return spent * times


def _told(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
