"""The numbers behind the figures, the same for the page and for pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.report.gather import Chosen, Gathered
from gradstore.report.rows import Rows

__all__ = [
    "Composition",
    "Histogram",
    "Lengths",
    "Overlap",
    "Trace",
    "composition",
    "histogram",
    "lengths",
    "overlap",
    "stretches",
    "trace",
]

Counts = npt.NDArray[np.int64]

_BINS = 40
_TRACED = 4000
"""Picks of a selection that are drawn, at equal distances in pick order."""


@dataclass(frozen=True)
class Histogram:
    """Scores of a selection.

    Attributes
    ----------
    edges : ndarray, shape (bins + 1,)
    candidates, chosen : ndarray of int64, shape (bins,)
        Rows in each bin; those that were chosen are among the candidates.
    cut : float or None
        The lowest score among the chosen.
    """

    edges: npt.NDArray[np.float64]
    candidates: Counts
    chosen: Counts
    cut: float | None


@dataclass(frozen=True)
class Composition:
    """Of what the pool and the selections consist.

    Attributes
    ----------
    sources : list of str
        The pool's most frequent first.
    pool : ndarray of int64, shape (sources,)
        Rows that could be chosen.
    chosen : ndarray of int64, shape (selections, sources)
    """

    sources: list[str]
    pool: Counts
    chosen: Counts

    def shares(self, selection: int | None = None) -> npt.NDArray[np.float64]:
        """Share of each source in a selection, or in the pool."""
        counts = self.pool if selection is None else self.chosen[selection]
        return counts / max(int(counts.sum()), 1)


@dataclass(frozen=True)
class Overlap:
    """What selections have in common.

    Attributes
    ----------
    common : ndarray of int64, shape (selections, selections)
        Rows that both chose.
    jaccard : ndarray of float64, shape (selections, selections)
        Common rows over those that either chose.
    """

    common: Counts
    jaccard: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lengths:
    """Tokens of the rows of a data set.

    Attributes
    ----------
    edges : ndarray, shape (bins + 1,)
    counts : ndarray of int64, shape (bins,)
    quantiles : Mapping from str to float
    truncated, rows, valid : int
    reasons : dict from str to int
        Why rows have no gradient.
    """

    name: str
    target: bool
    edges: npt.NDArray[np.float64]
    counts: Counts
    quantiles: dict[str, float]
    truncated: int
    rows: int
    valid: int
    reasons: dict[str, int]


@dataclass(frozen=True)
class Trace:
    """The scores of the picks in the order in which they were made.

    Attributes
    ----------
    ranks : ndarray of int64, shape (n,)
        From 1.
    scores : ndarray of float32, shape (n,)
    kinds : list of str, length n
        The selector's word for how each was found, or ``"chosen"``.
    """

    ranks: Counts
    scores: npt.NDArray[np.float32]
    kinds: list[str]


def histogram(selection: Chosen) -> Histogram | None:
    """Scores of the candidates and of the chosen; None if the selector did not score."""
    scores = selection.kept.scores
    known = scores[np.isfinite(scores)].astype(np.float64)
    if not len(known):
        return None
    chosen = scores[selection.kept.picks].astype(np.float64)
    edges = np.histogram_bin_edges(known, _BINS)
    return Histogram(
        edges,
        np.histogram(known, edges)[0],
        np.histogram(chosen[np.isfinite(chosen)], edges)[0],
        selection.cut,
    )


def composition(found: Gathered) -> Composition:
    """Sources of what could be chosen, and of what was."""
    sources, places = found.rows.codes("sources")
    pool = ~found.rows.is_target & found.rows.column("valid").astype(bool)
    if found.selections:
        pool = np.zeros(len(found.rows), bool)
        for each in found.selections:
            pool[each.numbers] = True
    counts = np.bincount(places[pool], minlength=len(sources))
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    chosen = [np.bincount(places[each.picks], minlength=len(sources))[order] for each in found.selections]
    return Composition([sources[i] for i in order], counts[order], np.array(chosen, np.int64))


def overlap(selections: Sequence[Chosen]) -> Overlap:
    """Rows that each two selections share."""
    sets = [np.sort(each.picks) for each in selections]
    size = len(sets)
    common = np.zeros((size, size), np.int64)
    for i, one in enumerate(sets):
        for j, other in enumerate(sets[i:], i):
            common[i, j] = common[j, i] = len(np.intersect1d(one, other, assume_unique=True))
    sizes = common.diagonal()
    union = sizes[:, None] + sizes - common
    return Overlap(common, np.divide(common, union, out=np.ones((size, size)), where=union > 0))


def lengths(rows: Rows) -> list[Lengths]:
    """Tokens, truncation and validity of each data set, in common bins that grow by a constant factor."""
    every = rows.column("tokens")
    known = every[every > 0]
    low, high = (int(known.min()), int(known.max())) if len(known) else (1, 2)
    edges = np.unique(np.geomspace(low, max(high, low + 1) + 1, _BINS + 1).round())
    return [_lengths(rows, place, edges) for place in range(len(rows.datasets))]


def trace(selection: Chosen) -> Trace | None:
    """Scores along the picks, at most some thousands of them; None without scores."""
    picks = selection.kept.picks
    drawn = np.unique(np.linspace(0, len(picks) - 1, min(len(picks), _TRACED)).round().astype(np.int64))
    scores = selection.kept.scores[picks[drawn]]
    if not np.isfinite(scores).any():
        return None
    how = selection.kept.columns.get("how")
    kinds = ["chosen"] * len(drawn) if how is None else [str(how[i]) for i in drawn]
    return Trace(drawn + 1, scores, kinds)


def stretches(steps: Trace) -> list[dict[str, float]]:
    """Tenths of the picks in pick order: the first and the last pick of each, and quantiles of their scores."""
    return [
        {"first": int(ranks[0]), "last": int(ranks[-1]), **quantiles(scores)}
        for ranks, scores in zip(
            *(np.array_split(each, 10) for each in (steps.ranks, steps.scores)), strict=True
        )
        if np.isfinite(scores).any()
    ]


def quantiles(values: npt.NDArray[Any]) -> dict[str, float]:
    """Some quantiles of numbers, by name; empty if there are none."""
    known = values[np.isfinite(values)]
    if not len(known):
        return {}
    levels = {"least": 0, "p10": 10, "median": 50, "p90": 90, "most": 100}
    return dict(zip(levels, np.percentile(known, list(levels.values())).tolist(), strict=True))


def _lengths(rows: Rows, place: int, edges: npt.NDArray[np.float64]) -> Lengths:
    dataset = rows.datasets[place]
    tokens = np.asarray(dataset.tokens)
    reasons, counts = np.unique(
        np.asarray(dataset.reasons)[~np.asarray(dataset.valid, bool)].astype(str), return_counts=True
    )
    known = tokens[tokens > 0]
    return Lengths(
        dataset.name,
        bool(dataset.attributes.get("target", False)),
        edges,
        np.histogram(known, edges)[0],
        quantiles(known.astype(np.float64)),
        int(np.count_nonzero(dataset.truncated)),
        len(dataset),
        int(np.count_nonzero(dataset.valid)),
        {str(reason): int(count) for reason, count in zip(reasons, counts, strict=True)},
    )
