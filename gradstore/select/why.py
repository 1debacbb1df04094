"""Why a row was chosen, or was not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.data.turns import line
from gradstore.graph.nodes import Nodes
from gradstore.select.gate import VERDICTS
from gradstore.select.kept import Kept, load_kept

if TYPE_CHECKING:
    from gradstore.store import Store

__all__ = ["why"]

_BLOCK = 1024
_SHOWN = 200


def why(
    store: Store, selection: str | Kept, row: str, *, dataset: str | None = None, nearest: int = 3
) -> dict[str, Any]:
    """What brought a row into a selection, or kept it out.

    Parameters
    ----------
    store : Store
    selection : str or Kept
        Name of a selection in the store, or the selection itself.
    row : str
        Id of the row.
    dataset : str, optional
        Its data set; needed where several have a row of that id.
    nearest : int, default 3
        How many target rows and chosen rows to name.

    Returns
    -------
    dict
        JSON values: ``id``, ``dataset``, ``source``, ``tokens``, ``text``; ``verdict`` (`VERDICTS`); ``rank`` in pick
        order from 0, None if not chosen; ``score``, its ``place`` among all ``candidates`` from 1, and the
        ``lowest_chosen`` score, where all candidates are scored alike; ``target`` that it serves; ``because``: the
        selector's own explanation; ``near_duplicate`` of which chosen row; ``target_rows`` and ``chosen_rows`` most
        similar to it, with cosines.

    Raises
    ------
    StoreNotFoundError
        If there is no such selection or candidate.
    IncompatibleError
        If the store's rows have changed since.
    """
    kept = selection if isinstance(selection, Kept) else load_kept(store, selection)
    place = kept.place_of(row, dataset)
    nodes, targets = kept.nodes(store)
    vector = nodes.take([place])[0]
    ranks = {int(pick): rank for rank, pick in enumerate(kept.picks)}
    rank = ranks.get(place)
    twin = kept.twins.get(place)
    others = kept.picks[kept.picks != place]
    return {
        "id": row,
        "dataset": str(kept.datasets[place]),
        "source": str(nodes.column("sources")[place]),
        "tokens": int(nodes.column("tokens")[place]),
        "text": _text(nodes, place),
        "selection": kept.name,
        "selector": kept.config["selector"],
        "verdict": VERDICTS[kept.verdicts[place]],
        "rank": rank,
        **_score(kept, place),
        "target": str(kept.serves[rank]) if rank is not None else "",
        "because": {name: _plain(values[rank]) for name, values in kept.columns.items()}
        if rank is not None
        else {},
        "near_duplicate": {"id": str(kept.ids[twin[0]]), "cosine": twin[1]} if twin else None,
        "target_rows": _nearest(targets, np.arange(len(targets)), vector, nearest) if targets else [],
        "chosen_rows": [
            {**found, "rank": ranks[found.pop("node")]}
            for found in _nearest(nodes, others, vector, nearest, node=True)
        ],
    }


def _score(kept: Kept, place: int) -> dict[str, Any]:
    score = float(kept.scores[place])
    chosen = kept.scores[kept.picks]
    if np.isnan(score) or kept.config["balance"] != "shared":  # each target has its own scores
        return {"score": None, "place": None, "candidates": len(kept.ids), "lowest_chosen": None}
    return {
        "score": score,
        "place": 1 + int((kept.scores > kept.scores[place]).sum()),
        "candidates": len(kept.ids),
        "lowest_chosen": float(np.nanmin(chosen)) if len(chosen) else None,
    }


def _nearest(
    nodes: Nodes,
    some: npt.NDArray[np.int64],
    vector: npt.NDArray[np.float32],
    count: int,
    *,
    node: bool = False,
) -> list[dict[str, Any]]:
    """Of some nodes those with the highest cosine, equal ones in their order."""
    blocks = [nodes.take(some[start : start + _BLOCK]) @ vector for start in range(0, len(some), _BLOCK)]
    cosines = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    best = np.argsort(-cosines, kind="stable")[:count]
    ids, subtasks = nodes.ids, nodes.column("subtasks")
    return [
        {
            "id": str(ids[some[i]]),
            "dataset": str(nodes.datasets[some[i]]),
            "subtask": str(subtasks[some[i]]),
            "cosine": float(cosines[i]),
            "text": _text(nodes, int(some[i])),
            **({"node": int(some[i])} if node else {}),
        }
        for i in best
    ]


def _text(nodes: Nodes, place: int) -> str:
    """The beginning of what a row says; empty if the store does not hold the rows."""
    if not nodes.has_records([place]):
        return ""
    text = line(nodes.records([place])[0])
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
