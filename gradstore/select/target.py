"""What is selected for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gradstore.graph.nodes import Nodes
from gradstore.graph.vectors import Float

__all__ = ["Target"]


@dataclass(frozen=True)
class Target:
    """The rows to select for.

    Parameters
    ----------
    name : str
    nodes : Nodes
        Valid rows of the target set.
    """

    name: str
    nodes: Nodes

    @property
    def ids(self) -> npt.NDArray[np.object_]:
        """Row ids."""
        return self.nodes.ids

    @property
    def subtasks(self) -> npt.NDArray[np.object_]:
        """Subtask of each row; LESS scores each on its own."""
        return self.nodes.column("subtasks")

    @cached_property
    def vectors(self) -> Float:
        """Unit vectors, shape (n, dim): comparable with those of the candidates."""
        return self.nodes.take(np.arange(len(self.nodes)))

    @cached_property
    def raw(self) -> Float:
        """Rows as they are stored, not normalised, each checkpoint's part times the root of its weight."""
        return self.nodes.take_raw(np.arange(len(self.nodes))) * self.nodes.scale

    def unit(self, rows: Float) -> Float:
        """Copies of `rows` (means of `raw`, say), normalised and weighted like `vectors`."""
        return self.nodes.unit(rows.copy())

    def groups(self) -> list[npt.NDArray[np.int64]]:
        """Rows of each subtask."""
        return [np.flatnonzero(self.subtasks == name) for name in sorted(set(self.subtasks))]
