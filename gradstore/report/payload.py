"""Rows of the page, and what its script knows of them, as compressed JSON."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.data.turns import Turn
from gradstore.progress import Progress, silent
from gradstore.report.gather import Chosen, Gathered
from gradstore.report.sample import NEAREST, OPPOSED, Links, Shown, links
from gradstore.report.texts import name, turns, visible
from gradstore.select.gate import VERDICTS

__all__ = ["CHARACTERS", "compressed", "payload", "text_lengths"]

CHARACTERS = 7_000_000
"""Characters of texts on a page."""
_SHORTEST, _LONGEST = 20, 2000
_GRID = 9999
"""Steps of a position on the map."""


def payload(
    found: Gathered,
    shown: Shown,
    positions: npt.NDArray[np.float32],
    *,
    texts: bool,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Columns of the page's rows as JSON values.

    Parameters
    ----------
    found : Gathered
    shown : Shown
    positions : ndarray of float32, shape (m, 2)
        Of the nodes on the map, from 0 to 1.
    texts : bool
        Whether to read the rows' texts.
    progress : Progress
    """
    rows, every = shown.rows, found.rows
    sources, places = every.codes("sources")
    reasons, why = every.codes("reasons")
    graph = found.graph
    near = links(found, shown, graph.neighbours, graph.cosines, NEAREST) if graph else None
    against = links(found, shown, graph.conflicts, graph.conflict_cosines, OPPOSED) if graph else None
    across, up = (np.rint(positions.T * _GRID).astype(int)).tolist() if len(positions) else ([], [])
    return {
        "sets": [name(each) for each in every.names],
        "targets": [bool(each.attributes.get("target", False)) for each in every.datasets],
        "sources": [name(each) for each in sources],
        "reasons": [name(each) for each in reasons],
        "verdicts": list(VERDICTS),
        "id": [name(each) for each in every.column("ids")[rows]],
        "set": every.sets[rows].tolist(),
        "source": places[rows].tolist(),
        "reason": why[rows].tolist(),
        "tokens": every.column("tokens")[rows].tolist(),
        "loss": _figures(every.column("loss")[rows]),
        "truncated": np.flatnonzero(every.column("truncated")[rows]).tolist(),
        "text": _texts(found, shown, progress) if texts else None,
        "x": across,
        "y": up,
        "near": _pairs(near),
        "against": _pairs(against),
        "selections": [_selection(each, found, shown) for each in found.selections],
    }


def compressed(value: Any) -> str:
    """JSON, gzip and base64: the same bytes for the same value."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def text_lengths(rows: int, first: int) -> tuple[int, int]:
    """Characters of each of the `first` rows and of each of the others.

    Together at most `CHARACTERS`; where that is short, two thirds are for the first rows.
    """
    whole = min(CHARACTERS // max(rows, 1), _LONGEST)
    if whole == _LONGEST or first in (0, rows):
        return max(whole, _SHORTEST), max(whole, _SHORTEST)
    others = max(CHARACTERS // 3 // (rows - first), _SHORTEST)
    return min(CHARACTERS * 2 // 3 // first, _LONGEST), min(others, _LONGEST)


def _texts(found: Gathered, shown: Shown, progress: Progress) -> list[list[Turn]]:
    """The texts of the page's rows, an empty list where the store does not hold a row."""
    texts: list[list[Turn]] = [[] for _ in shown.rows]
    places = shown.place_of(len(found.rows))
    longest, shorter = text_lengths(len(shown.rows), len(shown.nodes))
    with progress(len(shown.rows), "rows", "reading texts") as bar:
        for number, record in found.rows.records(shown.rows, bar.update):
            place = int(places[number])
            texts[place] = turns(record, longest if place < len(shown.nodes) else shorter)
    return texts


def _selection(chosen: Chosen, found: Gathered, shown: Shown) -> dict[str, Any]:
    kept, total = chosen.kept, len(found.rows)
    places = shown.place_of(total)
    ranks = np.full(len(kept.ids), -1, np.int64)
    ranks[kept.picks] = np.arange(len(kept.picks))
    out = len(VERDICTS)  # the code of a row that was no candidate
    twins = {
        int(places[chosen.numbers[row]]): [int(places[chosen.numbers[of]]), round(cosine, 3)]
        for row, (of, cosine) in kept.twins.items()
        if places[chosen.numbers[row]] >= 0
    }
    return {
        "name": name(chosen.name),
        "selector": name(kept.config["selector"]),
        "shared": kept.config["balance"] == "shared",
        "score": _figures(chosen.spread(kept.scores, total, np.nan)[shown.rows]),
        "rank": chosen.spread(ranks, total, -1)[shown.rows].tolist(),
        "verdict": chosen.spread(kept.verdicts.astype(np.int64), total, out)[shown.rows].tolist(),
        "picks": places[chosen.picks].tolist(),
        "serves": [name(each) for each in kept.serves],
        "because": {name(key): _plain(values) for key, values in kept.columns.items()},
        "twins": twins,
    }


def _pairs(found: Links | None) -> list[list[int]]:
    """For each row the places it is linked to, each followed by its cosine in thousandths."""
    if found is None:
        return []
    cosines = np.rint(found.cosines * 1000).astype(int)
    both = np.stack([found.ends, cosines], axis=2)
    counts = (found.ends >= 0).sum(axis=1)
    return [pairs[:count].ravel().tolist() for pairs, count in zip(both, counts, strict=True)]


def _figures(values: npt.NDArray[np.floating]) -> list[float | None]:
    """Numbers with four digits, None where unknown."""
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values.tolist()]


def _plain(values: npt.NDArray[Any]) -> list[Any]:
    found: list[Any] = [visible(value, 80) if isinstance(value, str) else value for value in values.tolist()]
    return [
        (float(f"{value:.4g}") if np.isfinite(value) else None) if isinstance(value, float) else value
        for value in found
    ]
