"""What a data set's numbers must be, beyond bytes that match their checksums; read a chunk at a time."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from gradstore.store.encodings import encoding
from gradstore.store.layout import STRING_COLUMNS
from gradstore.store.manifest import Manifest
from gradstore.store.packed import row_lengths
from gradstore.store.parts import Part
from gradstore.store.settings import VectorSettings
from gradstore.store.source_counts import MEMBER, SourceCounts

__all__ = ["ColumnCheck", "row_problems"]

Norms = npt.NDArray[np.float64]

_ROUNDING = 1e-5
_SUBNORMAL = float(np.finfo(np.float32).smallest_subnormal)


class ColumnCheck:
    """Looks at a data set's columns chunk by chunk; of earlier chunks it keeps eight bytes of each row.

    Parameters
    ----------
    rows : int
    """

    def __init__(self, rows: int) -> None:
        self._hashes = np.zeros(rows, np.uint64)
        self._reasons: Counter[str] = Counter()
        self._sources = SourceCounts()
        self._counts = {"valid": 0, "truncated": 0}
        self._done = 0

    def problems(self, part: Part, rows: range) -> Iterator[str]:
        """What is wrong in one chunk."""
        texts = {}
        for name in STRING_COLUMNS:
            found = _strings(part, name)
            try:
                texts[name] = [each.decode() for each in found]
            except UnicodeDecodeError:
                yield f"has text in column {name} that is no UTF-8"
        arrays = part.arrays
        for name in self._counts:
            self._counts[name] += int(arrays[name].sum())
        yield from _numbers(part, rows)
        for row, text in enumerate(texts.get("record", ())):
            if text and not _is_object(text):
                yield f"has a record in row {rows[row]} that is no JSON object"
                break
        reasons = texts.get("reason", [])
        self._reasons.update(filter(None, reasons))
        self._sources.add(texts.get("source", []))
        told = np.array([bool(each) for each in reasons] or [False] * len(rows))
        yield from _first(told & arrays["valid"], rows, "is valid and has a reason why not")
        for place, text in zip(rows, texts.get("id", ()), strict=False):
            self._hashes[place] = _hash(text)
        self._done += len(rows)

    def closing(self, manifest: Manifest) -> Iterator[str]:
        """What is wrong with all chunks together."""
        facts = manifest.facts
        for name, count in self._counts.items():
            if facts.get(name) != count:
                yield f"has {count} {name} rows, and its manifest says {facts.get(name)}"
        if facts.get("reasons") != dict(self._reasons):
            yield "has other reasons for invalid rows than its manifest says"
        if MEMBER in facts and facts[MEMBER] != self._sources.found:
            yield "has other sources than its manifest says"
        order = np.argsort(self._hashes, kind="stable")
        same = np.flatnonzero(np.diff(self._hashes[order]) == 0)
        if len(same):
            one, other = sorted(order[same[0] : same[0] + 2].tolist())
            yield f"has the same id in rows {one} and {other}"


def row_problems(
    rows: range,
    vectors: VectorSettings,
    codes: npt.NDArray[np.generic],
    scalars: dict[str, npt.NDArray[np.float32]],
    valid: npt.NDArray[np.bool_],
    *,
    original: bool,
) -> Iterator[str]:
    """What is wrong with the vectors of one chunk.

    The norm of each decoded row must be what is stored as its norm, as nearly as the encoding keeps it.

    Parameters
    ----------
    rows : range
        Rows of the chunk.
    vectors : VectorSettings
    codes : ndarray, shape (n, width of a row)
    scalars : dict
        ``norm`` and, of encodings that have one, ``scale``, each of shape (n,).
    valid : ndarray of bool, shape (n,)
    original : bool
        Whether the rows were never in another encoding, which may have kept their lengths less well.
    """
    for name, values in scalars.items():
        yield from _first(~(np.isfinite(values) & (values >= 0)), rows, f"has a {name} that is none")
    if codes.dtype == np.int8:
        yield from _first((codes == -128).any(axis=1), rows, "has a code of -128, which int8 does not use")
    norm, scale = scalars["norm"].astype(np.float64), scalars.get("scale")
    with np.errstate(over="ignore", invalid="ignore"):
        decoded = row_lengths(encoding(vectors.encoding).decode(codes, scale, vectors.dim))
    finite = np.isfinite(decoded)
    yield from _first(~finite, rows, "holds numbers that are not finite")
    zero = ~valid & (codes.astype(bool).any(axis=1) | (norm != 0))
    yield from _first(zero, rows, "is invalid and not zero")
    least, most = _bounds(vectors, norm, scale, original)
    apart = valid & finite & np.isfinite(norm) & ~((least <= decoded) & (decoded <= most))
    yield from _first(apart, rows, "has another length than its norm says")


def _bounds(
    vectors: VectorSettings, norm: Norms, scale: npt.NDArray[np.float32] | None, original: bool
) -> tuple[Norms, Norms]:
    """Between which lengths a decoded row lies whose norm was `norm`; the smallest numbers have few bits."""
    slack = norm * _ROUNDING + 2 * _SUBNORMAL * np.sqrt(vectors.dim)
    if not original:
        return np.zeros_like(norm), 2 * norm + slack
    if vectors.encoding == "int8" and scale is not None:
        error = scale.astype(np.float64) / 2 * np.sqrt(vectors.dim) + slack
        return norm - error, norm + error
    if vectors.encoding == "int4":  # what it loses stands at a right angle to what it keeps
        return np.where(norm > 4 * slack, _SUBNORMAL, 0), norm + slack
    return norm - slack, norm + slack


def _numbers(part: Part, rows: range) -> Iterator[str]:
    arrays = part.arrays
    loss, valid = arrays["loss"], arrays["valid"]
    yield from _first(np.isinf(loss), rows, "has an infinite loss")
    yield from _first(~valid & ~np.isnan(loss), rows, "is invalid and has a loss")
    yield from _first(arrays["tokens"] < 0, rows, "has fewer than no tokens")


def _first(wrong: npt.NDArray[np.bool_], rows: range, what: str) -> Iterator[str]:
    if wrong.any():
        more = int(wrong.sum()) - 1
        yield f"row {rows[int(wrong.argmax())]}{f' and {more} more of its chunk' if more else ''} {what}"


def _strings(part: Part, name: str) -> list[bytes]:
    data = part.arrays[f"{name}/data"].tobytes()
    return [data[start:stop] for start, stop in pairwise(part.arrays[f"{name}/offsets"].tolist())]


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
