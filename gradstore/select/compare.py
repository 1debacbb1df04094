"""Selections side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.graph.nodes import Nodes
from gradstore.select.kept import Kept, load_kept
from gradstore.store.fidelity import spearman

if TYPE_CHECKING:
    from gradstore.store import Store

__all__ = ["compare"]

_LEVELS = (10, 50, 90)


def compare(store: Store, selections: Sequence[str]) -> dict[str, Any]:
    """Overlap, composition, lengths and scores of kept selections.

    Parameters
    ----------
    store : Store
    selections : sequence of str
        At least one name of a selection in the store.

    Returns
    -------
    dict
        JSON values: ``selections``, a list of dict with ``name``, ``selector``, ``target``, ``rows``, ``tokens``
        (total, mean, p10, p50, p90; a row's), ``scores`` (p10, p50, p90 of all candidates and of the chosen),
        ``serves`` (rows for each target); ``pool``: ``rows`` and ``tokens``; ``sources``: for each source the share of
        the pool and of each selection; ``pairs``: for each two selections ``common`` rows, ``jaccard``,
        ``order_correlation`` (Spearman of the ranks of common rows) and ``score_correlation`` (of the scores of all
        candidates); None where there are too few.

    Raises
    ------
    UsageError
        If nothing is named, or a selection is named twice.
    StoreNotFoundError, IncompatibleError
        If there is no such selection, or its rows have changed.
    """
    if not selections or len(set(selections)) < len(selections):
        raise UsageError("name the selections to compare, each once; `gradstore store ls` lists them")
    kept = [load_kept(store, name) for name in selections]
    nodes = [each.nodes(store)[0] for each in kept]
    keys = [np.char.add(np.char.add(each.datasets.astype(str), "\n"), each.ids.astype(str)) for each in kept]
    largest = max(nodes, key=len)
    return {
        "pool": {"rows": len(largest), "tokens": _tokens(largest.column("tokens"))},
        "selections": [_one(each, pool) for each, pool in zip(kept, nodes, strict=True)],
        "sources": _sources(kept, nodes, largest),
        "pairs": [
            {"first": kept[i].name, "second": kept[j].name, **_pair(kept[i], keys[i], kept[j], keys[j])}
            for i in range(len(kept))
            for j in range(i + 1, len(kept))
        ],
    }


def _one(kept: Kept, pool: Nodes) -> dict[str, Any]:
    names, counts = np.unique(kept.serves.astype(str), return_counts=True)
    return {
        "name": kept.name,
        "selector": kept.config["selector"],
        "target": kept.config["target"],
        "rows": len(kept.picks),
        "tokens": _tokens(pool.column("tokens")[kept.picks]),
        "scores": {"candidates": _quantiles(kept.scores), "chosen": _quantiles(kept.scores[kept.picks])},
        "serves": {name: int(count) for name, count in zip(names, counts, strict=True) if name},
    }


def _tokens(tokens: npt.NDArray[np.int32]) -> dict[str, float]:
    return {
        "total": int(tokens.sum()),
        "mean": float(tokens.mean()) if len(tokens) else 0.0,
        **(_quantiles(tokens.astype(np.float64)) or {}),
    }


def _quantiles(values: npt.NDArray[np.floating]) -> dict[str, float] | None:
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    return {
        f"p{level}": float(value) for level, value in zip(_LEVELS, np.percentile(known, _LEVELS), strict=True)
    }


def _sources(kept: Sequence[Kept], nodes: Sequence[Nodes], pool: Nodes) -> list[dict[str, Any]]:
    """Share of each source in the pool and in the selections, the pool's most frequent first."""
    whole = pool.column("sources").astype(str)
    names, counts = np.unique(whole, return_counts=True)
    chosen = [some.column("sources").astype(str)[each.picks] for each, some in zip(kept, nodes, strict=True)]
    return [
        {
            "source": str(names[i]),
            "pool": float(counts[i] / len(whole)),
            "selections": [float((some == names[i]).mean()) if len(some) else 0.0 for some in chosen],
        }
        for i in np.argsort(-counts, kind="stable")
    ]


def _pair(one: Kept, ones: npt.NDArray[np.str_], other: Kept, others: npt.NDArray[np.str_]) -> dict[str, Any]:
    chosen, chosen_too = ones[one.picks], others[other.picks]
    _, rank, rank_too = np.intersect1d(chosen, chosen_too, return_indices=True)
    union = len(chosen) + len(chosen_too) - len(rank)
    _, here, there = np.intersect1d(ones, others, return_indices=True)
    return {
        "common": len(rank),
        "jaccard": len(rank) / union if union else 1.0,
        "order_correlation": _correlation(rank, rank_too),
        "score_correlation": _correlation(one.scores[here], other.scores[there]),
    }


def _correlation(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float | None:
    """Rank correlation where both are known; None if it means nothing."""
    known = np.isfinite(one) & np.isfinite(other)
    return spearman(one[known], other[known]) if known.sum() > 2 else None
