"""How much a choice owes to what should not matter: seed, checkpoint, encoding and width of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradstore.errors import UsageError
from gradstore.graph.graph import EXACT
from gradstore.progress import Progress, silent
from gradstore.select.altered import altered, encoded_as, folded_to
from gradstore.select.kept import Kept
from gradstore.select.output.record import select_arguments
from gradstore.select.run import select
from gradstore.store.fidelity import spearman

if TYPE_CHECKING:
    from gradstore.graph.nodes import Nodes
    from gradstore.select.picked import Picked
    from gradstore.store import Store

__all__ = ["stability"]

_SEEDS = 3
_FOLDS = (2, 4, 8)
_COARSER = ("half", "int8", "int4", "sign")
"""Encodings, each of which loses more than those before it."""


class _Variation(NamedTuple):
    """One thing that is changed, and the choice made anew with it."""

    varied: str
    value: str
    store: Store
    changes: dict[str, Any]


def stability(
    store: Store, kept: Kept, *, progress: Progress = silent, **options: Any
) -> list[dict[str, Any]]:
    """Make a kept choice again with one thing changed at a time.

    Seeds other than the recorded one; each checkpoint alone, if there are several; coarser encodings than the stored
    one; and rows folded to a half, a quarter and an eighth of their numbers (`gradstore.select.altered.folded_to`).
    A graph is that of the rows as they are, so neighbours of changed ones are computed where they are needed; a choice
    that walked on a stored graph is made again without it first, and the changed rows are compared with that one.

    Parameters
    ----------
    store : Store
    kept : Kept
        See `load_kept`.
    progress : Progress, optional
    **options
        For `gradstore.select`: `selector`, where it is not installed, and `memory`.

    Returns
    -------
    list of dict
        JSON values: ``varied`` (``graph`` where computing neighbours alone changes the choice) and ``value``; ``rows``
        chosen, ``common`` ones, their ``jaccard`` index, and ``score_correlation`` (Spearman, of the candidates of
        both; None where they have no scores). ``refused`` and nothing else where the selector cannot do with one
        checkpoint.

    Raises
    ------
    IncompatibleError
        If the store's rows have changed since the choice was made.
    """
    nodes, _ = kept.nodes(store)  # refuses other rows
    known = {**select_arguments(kept.config), **options}
    variations = list(_variations(store, kept, nodes))
    found: list[dict[str, Any]] = []
    computed = kept  # the choice, had its neighbours been computed
    if kept.config["graph"] in store.graphs:
        picked = select(store, **{**known, "graph": EXACT}, keep=False)
        computed, likeness = Kept.of(picked), _likeness(kept, picked)
        if likeness["jaccard"] < 1:
            found.append({"varied": "graph", "value": EXACT, **likeness})
    with progress(len(variations), "choices", "varying") as bar:
        for each in variations:
            line: dict[str, Any] = {"varied": each.varied, "value": each.value}
            try:
                picked = select(each.store, **{**known, **each.changes}, keep=False)
                line |= _likeness(computed if "graph" in each.changes else kept, picked)
            except UsageError as error:
                if each.varied != "checkpoint":
                    raise
                line["refused"] = str(error)
            found.append(line)
            bar.update(1)
    return found


def _variations(store: Store, kept: Kept, nodes: Nodes) -> Iterator[_Variation]:
    seed, keys = int(kept.config["seed"]), list(kept.config["checkpoints"])
    for other in range(seed + 1, seed + 1 + _SEEDS):
        yield _Variation("seed", str(other), store, {"seed": other})
    if len(keys) > 1:
        for key in keys:
            yield _Variation("checkpoint", key, store, {"checkpoints": [key], "graph": EXACT})
    for kind in _coarser({dataset.encoding(direction) for dataset, direction in nodes.vectors}):
        yield _Variation("encoding", kind, altered(store, encoded_as(kind)), {"graph": EXACT})
    for parts in _FOLDS:
        dim = min(nodes.widths) // parts
        if dim and not any(width % dim for width in nodes.widths):
            yield _Variation("k", str(dim), altered(store, folded_to(dim)), {"graph": EXACT})


def _coarser(stored: set[str]) -> tuple[str, ...]:
    """Encodings that lose more than any of those that the rows have gone through."""
    known = [_COARSER.index(name) for name in stored if name in _COARSER]
    return _COARSER[max(known, default=-1) + 1 :]


def _likeness(kept: Kept, picked: Picked) -> dict[str, Any]:
    before = {(kept.datasets[row], kept.ids[row]) for row in kept.picks}
    after = set(zip(picked.datasets, picked.ids, strict=True))
    union = len(before | after)
    scores = picked.selection.scores
    correlation = None
    if scores is not None and len(scores) == len(kept.scores):
        known = np.isfinite(scores) & np.isfinite(kept.scores)
        correlation = spearman(scores[known], kept.scores[known]) if known.sum() > 2 else None
    return {
        "rows": len(after),
        "common": len(before & after),
        "jaccard": len(before & after) / union if union else 1.0,
        "score_correlation": correlation,
    }
