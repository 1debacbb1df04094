"""Contexts made of arrays, for tests of selectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.graph import Nodes, Part
from gradstore.select import SelectionContext, Target
from gradstore.testing import ArrayDataset


def context_of(
    train: list[npt.NDArray[np.floating]],
    target: list[npt.NDArray[np.floating]],
    weights: list[float],
    subtasks: list[str] | None = None,
    **more: Any,
) -> SelectionContext:
    """A context over one checkpoint for each array."""
    pool = Part.of([ArrayDataset(x, checkpoint=f"c{i}") for i, x in enumerate(train)], None, target=False)
    aim = Part.of([ArrayDataset(v, name="aim", subtasks=subtasks) for v in target], None, target=True)
    return SelectionContext(Nodes([pool], weights), target=Target("aim", Nodes([aim], weights)), **more)
