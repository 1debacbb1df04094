"""From what an engine gives to the rows that are stored, for several directions in one pass."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from gradstore.gradients.directions import Direction
from gradstore.gradients.kron import KroneckerForm
from gradstore.gradients.observe import Form, weight_gradients
from gradstore.gradients.projection import Projector

__all__ = ["Exact", "Kronecker", "Making", "RowMaker"]


class Source(Protocol):
    """Which values of a layer belong to which direction."""

    @property
    def form(self) -> Form:
        """What is made of a layer."""

    def values(self, layer: int, formed: torch.Tensor, name: str) -> torch.Tensor:
        """What direction `name` stores of a layer, shape (batch, numbers)."""


class Exact:
    """Directions made of each example's whole weight gradient."""

    def __init__(self, directions: Sequence[Direction]) -> None:
        self._directions = {direction.name: direction for direction in directions}
        self.form: Form = weight_gradients

    def values(self, layer: int, formed: torch.Tensor, name: str) -> torch.Tensor:
        """See `Source`."""
        return self._directions[name].transform(layer, formed)


class Kronecker:
    """Directions made of weight gradients that are sketched from both sides and never formed."""

    def __init__(self, form: KroneckerForm, names: Sequence[str]) -> None:
        self.form: Form = form.form
        self._names = tuple(names)

    def values(self, layer: int, formed: torch.Tensor, name: str) -> torch.Tensor:  # noqa: ARG002
        """See `Source`."""
        return formed[self._names.index(name)]


class RowMaker:
    """Makes the rows of a batch.

    Parameters
    ----------
    source : Source
    projector : Projector
    dims : mapping from direction to int
        Length of each direction's rows, those included that are no gradients.

    Attributes
    ----------
    dims : mapping from direction to int
    """

    def __init__(self, source: Source, projector: Projector, dims: Mapping[str, int]) -> None:
        self.source, self.projector, self.dims = source, projector, dims

    def begin(self, rows: int, names: Collection[str]) -> Making:
        """Begin the rows of one batch, for these directions."""
        return Making(self, rows, names)


class Making:
    """The rows of one batch while its layers come in."""

    def __init__(self, maker: RowMaker, rows: int, names: Collection[str]) -> None:
        self._source, self._projector = maker.source, maker.projector
        self._buffers = {name: self._projector.begin(rows) for name in names}
        self._largest: list[torch.Tensor] = []

    def take(self, layer: int, formed: torch.Tensor) -> None:
        """Add one layer to every direction."""
        largest = formed.abs().amax(-1)
        self._largest.append(largest if largest.dim() == 1 else largest.amax(0))
        for name, buffer in self._buffers.items():
            self._projector.add(buffer, layer, self._source.values(layer, formed, name))

    def finish(self) -> dict[str, npt.NDArray[np.float32]]:
        """Rows of each direction, shape (rows, dim)."""
        return {name: self._projector.finish(buffer).cpu().numpy() for name, buffer in self._buffers.items()}

    def largest(self) -> npt.NDArray[np.float32]:
        """Largest magnitude in each example's gradient, before any direction: zero or not finite is a defect.

        A gradient of exact zeros would be stored as pure momentum under ``adam``, and look like data.
        """
        found: npt.NDArray[np.float32] = torch.stack(self._largest).amax(0).cpu().numpy()
        return found
