"""What is selected for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gradstore.graph.nodes import Nodes, Part
from gradstore.graph.vectors import Float

__all__ = ["Target", "served", "targets_of"]

_BLOCK = 1024


@dataclass(frozen=True)
class Target:
    """The rows to select for.

    Parameters
    ----------
    name : str
    nodes : Nodes
        Valid rows of the target set.
    labels : tuple of str, optional
        For each part of `nodes` the target that it belongs to, if these are several targets.
    """

    name: str
    nodes: Nodes
    labels: tuple[str, ...] = ()

    @property
    def ids(self) -> npt.NDArray[np.object_]:
        """Row ids."""
        return self.nodes.ids

    @cached_property
    def members(self) -> npt.NDArray[np.object_]:
        """The target that each row belongs to."""
        names = self.labels or (self.name,) * len(self.nodes.parts)
        return np.repeat(np.array(names, object), [len(part.rows) for part in self.nodes.parts])

    @cached_property
    def subtasks(self) -> npt.NDArray[np.object_]:
        """Subtask of each row, of several targets with the target's name before it; LESS scores each on its own."""
        own = self.nodes.column("subtasks")
        if not self.labels:
            return own
        pairs = zip(self.members, own, strict=True)
        return np.array([f"{name}/{task}" if task else name for name, task in pairs], object)

    @cached_property
    def vectors(self) -> Float:
        """Unit vectors, shape (n, dim): comparable with those of the candidates."""
        return self.nodes.take(np.arange(len(self.nodes)))

    @cached_property
    def raw(self) -> Float:
        """Rows as they are stored, not normalised, each checkpoint's part times the root of its weight."""
        return self.nodes.take_raw(np.arange(len(self.nodes))) * self.nodes.scale

    def unit(self, rows: Float) -> Float:
        """Copies of `rows` (means of `raw`, say), normalised and weighted like `vectors`.

        Parameters
        ----------
        rows : ndarray of float32, shape (n, dim)
            Rows as `raw` has them.

        Returns
        -------
        ndarray of float32, shape (n, dim)
        """
        return self.nodes.unit(rows.copy())

    def groups(self) -> list[npt.NDArray[np.int64]]:
        """Rows of each subtask."""
        return [np.flatnonzero(self.subtasks == name) for name in sorted(set(self.subtasks))]


def targets_of(both: Nodes, names: Sequence[str], *, shared: bool) -> list[Target]:
    """The targets `names` among the parts of `both`: one of them all if they are `shared`, else each its own.

    A part that continues a named one (``NAME.2``) belongs to its target.
    """
    parts = [part for part in both.parts if part.target]
    labels = tuple(_name_of(part, names) for part in parts)
    if shared and len(names) > 1:
        return [Target("+".join(names), Nodes(parts, both.weights), labels)]
    own = {name: [part for part, label in zip(parts, labels, strict=True) if label == name] for name in names}
    return [Target(name, Nodes(own[name], both.weights)) for name in names]


def served(nodes: Nodes, picks: npt.NDArray[np.int64], target: Target) -> list[str]:
    """For each pick the member of a shared target that it agrees with most, by mean cosine."""
    names = list(dict.fromkeys(target.members))
    if len(names) == 1:
        return [names[0]] * len(picks)
    means = np.stack([target.vectors[target.members == name].mean(axis=0) for name in names])
    found: list[str] = []
    for start in range(0, len(picks), _BLOCK):
        best = (nodes.take(picks[start : start + _BLOCK]) @ means.T).argmax(axis=1)
        found += [names[i] for i in best]
    return found


def _name_of(part: Part, names: Sequence[str]) -> str:
    own = part.datasets[0]
    return own.name if own.name in names else str(own.attributes["continues"])
