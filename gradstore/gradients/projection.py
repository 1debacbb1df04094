"""From a gradient of D numbers to a row of k: the same on every device.

All randomness comes from generators that are defined by their algorithm (Philox words, or torch's CPU generator for
the layout of LESS), never from a device's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from gradstore.errors import UsageError
from gradstore.records import PROJECTIONS, ProjectionSpec
from gradstore.registry import unknown_name

__all__ = ["Projector", "make_projector", "total_size"]

Parameters = Sequence[tuple[str, tuple[int, ...]]]

SPARSEST = 4
"""A block that fills at least one bucket in so many is gathered, which takes half the time of scattering or less."""


class Projector(Protocol):
    """A linear map fed parameter by parameter, so that no gradient is ever held whole unless the kind needs it."""

    dim: int

    def begin(self, rows: int) -> torch.Tensor:
        """A zeroed working buffer for `rows` gradients."""

    def add(self, buffer: torch.Tensor, parameter: int, values: torch.Tensor) -> None:
        """Add one parameter's gradients, shape (rows, d), to the buffer."""

    def finish(self, buffer: torch.Tensor) -> torch.Tensor:
        """The projected rows, shape (rows, dim), once every parameter was added."""


def make_projector(spec: ProjectionSpec, parameters: Parameters, device: str = "cpu") -> Projector:
    """The projector that `spec` describes, for these parameters in this order."""
    if spec.kind not in PROJECTIONS:
        raise UsageError(unknown_name("projection", spec.kind, PROJECTIONS))
    if spec.kind in ("sjlt", "kron+sjlt"):
        return BlockSketch(spec, parameters, device)
    if spec.kind == "rademacher":
        return Rademacher(spec, parameters, device)
    return Unprojected(parameters, device, spec.dim if spec.kind == "kron" else None)


def total_size(parameters: Parameters) -> int:
    """D: how many numbers a raw gradient has."""
    return sum(int(np.prod(shape)) for _, shape in parameters)


class BlockSketch:
    """``sjlt``: a sparse Johnson-Lindenstrauss map with one nonzero a column, in balanced form.

    The flattened gradient of each parameter is cut into blocks of k entries. Each block has its own signs and its own
    permutation of the k buckets, so a bucket gets at most one entry of a block and there are no collisions to order:
    a gather, a product and a sum in fixed order.
    """

    def __init__(self, spec: ProjectionSpec, parameters: Parameters, device: str) -> None:
        self.dim = spec.dim
        self.device = device
        self._blocks = [
            [self._block(spec, name, start, size) for start in range(0, size, spec.dim)]
            for name, size in ((name, int(np.prod(shape))) for name, shape in parameters)
        ]

    def _block(
        self, spec: ProjectionSpec, name: str, start: int, size: int
    ) -> tuple[int, torch.Tensor, torch.Tensor]:
        length = min(spec.dim, size - start)
        buckets, signs = block_randomness(spec.seed, name, start // spec.dim, spec.dim)
        if length * SPARSEST < spec.dim:
            return start, self._index(buckets[:length]), torch.from_numpy(signs[:length]).to(self.device)
        # Read entry by bucket, which is a gather; a bucket that no entry hits takes the first one zero times.
        order = np.argsort(buckets)
        there = order < length
        factors = np.where(there, signs[order], np.float32(0))
        return start, self._index(np.where(there, order, 0)), torch.from_numpy(factors).to(self.device)

    def _index(self, places: npt.NDArray[np.int64]) -> torch.Tensor:
        """Half the memory of int64: with the signs, 8 bytes for each bucket or each number of a gradient."""
        return torch.from_numpy(places.astype(np.int32)).to(self.device)

    def begin(self, rows: int) -> torch.Tensor:
        return torch.zeros(rows, self.dim, dtype=torch.float32, device=self.device)

    def add(self, buffer: torch.Tensor, parameter: int, values: torch.Tensor) -> None:
        for start, index, signs in self._blocks[parameter]:
            piece = values[:, start : start + len(index)]
            if len(index) == self.dim:
                buffer.addcmul_(piece.index_select(1, index), signs)
            else:
                buffer[:, index] += piece * signs

    def finish(self, buffer: torch.Tensor) -> torch.Tensor:
        return buffer


def block_randomness(
    seed: int, name: str, block: int, dim: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Bucket and sign of each of the `dim` entries of a block.

    Philox-4x64 words keyed by SHA-256(seed, name, block): the ranks of `dim` words give the permutation, the lowest
    bits of `dim` more give the signs. Nothing depends on NumPy's distributions, whose streams may change.
    """
    key = hashlib.sha256(f"{seed}\0{name}\0{block}".encode()).digest()[:16]
    words = np.random.Philox(key=np.frombuffer(key, dtype="<u8")).random_raw(2 * dim)
    buckets = np.argsort(words[:dim], kind="stable")
    signs = (words[dim:] & np.uint64(1)).astype(np.float32) * 2 - 1
    return buckets.astype(np.int64), signs


class Unprojected:
    """``none``: the raw gradient, concatenated in parameter order; ``kron``: the same of sketches, zeros after it."""

    def __init__(self, parameters: Parameters, device: str, dim: int | None = None) -> None:
        sizes = [int(np.prod(shape)) for _, shape in parameters]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int).tolist()
        self.size = self._starts[-1]
        self.dim = self.size if dim is None else dim
        self.device = device

    def begin(self, rows: int) -> torch.Tensor:
        return torch.zeros(rows, max(self.size, self.dim), dtype=torch.float32, device=self.device)

    def add(self, buffer: torch.Tensor, parameter: int, values: torch.Tensor) -> None:
        buffer[:, self._starts[parameter] : self._starts[parameter + 1]] = values

    def finish(self, buffer: torch.Tensor) -> torch.Tensor:
        return buffer


class Rademacher(Unprojected):
    """``rademacher``: the dense signs of LESS and TRAK (``BasicProjector``), column by column the same.

    Block b of 128 columns is drawn over all D rows from ``Generator("cpu").manual_seed(seed + 1000 b)``; nothing is
    scaled. Signs are kept as int8 while they fit in `keep_bytes`, and drawn again for every batch beyond that.
    """

    width = 128
    keep_bytes = 2**31

    def __init__(self, spec: ProjectionSpec, parameters: Parameters, device: str) -> None:
        super().__init__(parameters, device, spec.dim)
        self.seed = spec.seed
        self._kept: dict[int, torch.Tensor] | None = {} if self.size * self.dim <= self.keep_bytes else None

    def finish(self, buffer: torch.Tensor) -> torch.Tensor:
        columns = range(0, self.dim, self.width)
        parts = [buffer[:, : self.size] @ self._signs(i).float() for i in range(len(columns))]
        return torch.cat(parts, dim=1)[:, : self.dim].contiguous()

    def _signs(self, block: int) -> torch.Tensor:
        if self._kept is not None and block in self._kept:
            return self._kept[block]
        generator = torch.Generator("cpu").manual_seed(self.seed + 1000 * block)
        signs = torch.empty(self.size, self.width).bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
        signs = signs.to(torch.int8).to(self.device)
        if self._kept is not None:
            self._kept[block] = signs
        return signs
