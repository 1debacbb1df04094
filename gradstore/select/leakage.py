"""Target rows among the candidates: what would be measured on them later means nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gradstore.graph.nodes import Nodes, Part

__all__ = ["leak_note", "leaked"]

_NAMED = 5
_LOSS = 1e-4
"""Share of itself by which the loss of one row differs between two extractions at most."""


def leaked(nodes: Nodes, targets: Sequence[Part]) -> npt.NDArray[np.int64]:
    """Candidates that are rows of a target too.

    They have the same content, or the same id, number of tokens and loss: a copy of a row that got another field.
    """
    found = np.zeros(len(nodes), np.bool_)
    contents = _whole(nodes.column("contents"))
    tokens, loss = nodes.column("tokens"), nodes.column("loss")
    for part in targets:
        aim = part.datasets[0]
        found |= np.isin(contents, _whole(np.asarray(aim.contents)))
        place = {name: row for row, name in enumerate(aim.ids)}
        row = np.fromiter((place.get(name, -1) for name in nodes.ids), np.int64, len(nodes))
        same = np.flatnonzero(row >= 0)
        equal_tokens = tokens[same] == np.asarray(aim.tokens)[row[same]]
        found[
            same[equal_tokens & np.isclose(loss[same], np.asarray(aim.loss)[row[same]], rtol=_LOSS, atol=0)]
        ] = True
    return np.flatnonzero(found)


def leak_note(nodes: Nodes, leaks: npt.NDArray[np.int64]) -> str:
    """One line that names some of the leaked rows and the way out."""
    names = ", ".join(map(str, nodes.ids[leaks[:_NAMED]])) + (", …" if len(leaks) > _NAMED else "")
    return (
        f"{len(leaks)} of the candidates are rows of the target itself ({names}): leave them out with --exclude, "
        "or what is measured on the target means little"
    )


def _whole(contents: npt.NDArray[np.uint8]) -> npt.NDArray[np.void]:
    """Each row's bytes as one value."""
    rows = np.ascontiguousarray(contents)
    return rows.view(np.dtype((np.void, rows.shape[1]))).reshape(-1)
