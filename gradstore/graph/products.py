"""Products of blocks of unit rows, each engine as exact as it says."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from gradstore.graph.vectors import Float

__all__ = ["Cuda", "Engine", "Float32", "Int8", "Loaded", "choose_engine", "engines"]

_ROUNDING = 4e-6
"""What float32 sums of products of unit rows may be off."""
_LEAST = 16
_WORTH = 2e-3
"""An engine less exact than this leaves more pairs to compare exactly than it saves."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Rows as an engine multiplies them.

    Attributes
    ----------
    data : object
        The engine's own.
    error : float
        How far their products with other unit rows are off at most, as far as these rows are to blame.
    """

    data: Any
    error: float


class Engine(Protocol):
    """Multiplies blocks of unit rows."""

    name: str
    width: int
    """Bytes that a number of a loaded row takes."""

    def load(self, rows: Float) -> Loaded:
        """`rows` of shape (n, dim) in the engine's own form."""

    def multiply(self, left: Loaded, right: Loaded) -> Float:
        """Products of all pairs, shape (n, n'), each within ``left.error + right.error`` of the true one."""


class Float32:
    """NumPy's float32, which is always there."""

    name = "float32"
    width = 4

    def load(self, rows: Float) -> Loaded:  # noqa: D102
        return Loaded(rows, _ROUNDING / 2)

    def multiply(self, left: Loaded, right: Loaded) -> Float:  # noqa: D102
        product: Float = left.data @ right.data.T
        return product


class Int8:
    """Whole numbers of 8 bits with a scale for each row and checkpoint, by torch on the processor.

    Rows that the store holds as ``int8`` lose nothing: their own codes come back, and sums of whole numbers are exact.

    Parameters
    ----------
    widths : sequence of int
        Length of each checkpoint's part of a row.
    """

    name = "int8"
    width = 1

    def __init__(self, widths: Sequence[int]) -> None:
        self._stops = np.cumsum(widths)
        self._starts = self._stops - np.asarray(widths)

    def load(self, rows: Float) -> Loaded:  # noqa: D102
        import torch

        parts, lost = [], np.zeros(len(rows), np.float32)
        for start, stop in zip(self._starts, self._stops, strict=True):
            part = rows[:, start:stop]
            scale = np.maximum(np.abs(part).max(axis=1, keepdims=True), np.float32(1e-30)) / np.float32(127)
            codes = np.rint(part / scale)
            rest = part - codes * scale
            lost += np.einsum("ij,ij->i", rest, rest)
            parts.append((torch.from_numpy(codes.astype(np.int8)), torch.from_numpy(scale)))
        error = float(np.sqrt(lost.max(initial=0))) * 1.01 + _ROUNDING / 2
        return Loaded(parts, error)

    def multiply(self, left: Loaded, right: Loaded) -> Float:  # noqa: D102
        import torch

        # Products lie in NumPy's memory: torch asks for aligned memory, which glibc before 2.38 does not use again
        # while anything small lives beside it, so that a long run would grow by every product.
        shape = (len(left.data[0][0]), len(right.data[0][0]))
        found, sums = np.empty(shape, np.float32), torch.from_numpy(np.empty(shape, np.int32))
        total = torch.from_numpy(found)
        for k, ((a, s), (b, t)) in enumerate(zip(left.data, right.data, strict=True)):
            torch._int_mm(a, b.T, out=sums)
            if k:
                total.add_(sums.to(torch.float32).mul_(t.T).mul_(s))
            else:
                total.copy_(sums).mul_(t.T).mul_(s)
        return found


class Cuda:
    """Float32 by torch on a graphics processor.

    Parameters
    ----------
    device : str
        What torch calls it.
    """

    width = 4

    def __init__(self, device: str = "cuda") -> None:
        self._device = device
        self.name = f"float32 on {device}"

    def load(self, rows: Float) -> Loaded:  # noqa: D102
        import torch

        return Loaded(torch.from_numpy(np.ascontiguousarray(rows)).to(self._device), _ROUNDING / 2)

    def multiply(self, left: Loaded, right: Loaded) -> Float:  # noqa: D102
        product: Float = (left.data @ right.data.T).cpu().numpy()
        return product


def engines(widths: Sequence[int]) -> list[Engine]:
    """What can multiply on this machine."""
    found: list[Engine] = [Float32()]
    if importlib.util.find_spec("torch") is not None:
        import torch

        # Sums must fit into 32 bits; for rows of one number torch 2.13 multiplies wrongly.
        if hasattr(torch, "_int_mm") and min(widths) >= _LEAST and max(widths) * 127**2 < 2**31:
            found.append(Int8(widths))
        if torch.cuda.is_available() and torch.get_float32_matmul_precision() == "highest":
            found.append(Cuda())
    return found


def choose_engine(sample: Float, widths: Sequence[int]) -> Engine:
    """The fastest engine that is exact enough for such rows.

    The choice moves time, not results: whatever an engine finds is compared again in one fixed way. An engine that
    multiplies `sample` wrongly, as some do for odd shapes or on odd machines, is left out.
    """
    loaded = [(engine, engine.load(sample)) for engine in engines(widths)]
    true = sample @ sample.T
    fit = [
        (engine, rows)
        for engine, rows in loaded
        if 2 * rows.error <= _WORTH and np.abs(engine.multiply(rows, rows) - true).max() <= 2 * rows.error
    ]
    return min(fit, key=lambda each: _seconds(*each))[0]


def _seconds(engine: Engine, rows: Loaded) -> float:
    """Time of the faster of two products after one that warms up."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        engine.multiply(rows, rows)
        times.append(time.perf_counter() - started)
    return min(times[1:])
