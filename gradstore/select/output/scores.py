"""A choice as a table: what came of every candidate, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradstore.select.gate import VERDICTS
from gradstore.storage.complete import new_file

if TYPE_CHECKING:
    from gradstore.select.picked import Picked

__all__ = ["score_table", "write_scores"]


def score_table(picked: Picked) -> dict[str, Any]:
    """One entry for each candidate, in the store's order.

    Returns
    -------
    dict from column to array or list
        ``id``, ``source``, ``score`` (NaN without one), ``rank`` (place in pick order from 0; -1 if not chosen),
        ``chosen``, ``target`` (whom it serves) and ``why``.
    """
    nodes, choice = picked.nodes, picked.choice
    picks = choice.selection.picks
    ranks = np.full(len(nodes), -1, np.int32)
    ranks[picks] = np.arange(len(picks))
    scores = choice.selection.scores
    targets = [""] * len(nodes)
    whys = [VERDICTS[code] for code in choice.verdicts]
    for row, (twin, cosine) in choice.twins.items():
        whys[row] = f"near-duplicate of {nodes.ids[twin]}: cosine {cosine:.4f}"
    columns = choice.selection.columns
    for place, row in enumerate(picks):
        targets[row] = choice.serves[place]
        whys[row] = (
            ", ".join(f"{name} {_text(values[place])}" for name, values in columns.items()) or "chosen"
        )
    return {
        "id": list(map(str, nodes.ids)),
        "source": list(map(str, nodes.column("sources"))),
        "score": np.full(len(nodes), np.nan, np.float32)
        if scores is None
        else np.asarray(scores, np.float32),
        "rank": ranks,
        "chosen": ranks >= 0,
        "target": targets,
        "why": whys,
    }


def write_scores(picked: Picked, path: Path) -> None:
    """Write `score_table` as a parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(score_table(picked))
    with new_file(path) as file:
        pq.write_table(table, file, compression="zstd")


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
