"""How good a graph is: measured on its rows, not told by how it was built."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.graph.dots import row_dots
from gradstore.graph.exact import Lists, Wanted, listed_among
from gradstore.graph.links import components, in_degrees
from gradstore.graph.vectors import Float, Vectors
from gradstore.progress import Progress, silent

if TYPE_CHECKING:
    from gradstore.graph.graph import Graph
    from gradstore.store import Store

__all__ = ["GOOD_RECALL", "graph_quality", "interval", "stored_quality"]

GOOD_RECALL = 0.95
"""Recall below which a walk over the graph picks clearly other rows than over an exact one (docs/graph.md)."""
SAMPLE = 1000
"""Rows that are compared with all others."""

_TIE = 1e-6
_HELD = 1 << 23
"""Numbers of rows that are read at once: 32 MiB of float32."""

Links = npt.NDArray[np.int32]
Index = npt.NDArray[np.int64]


def graph_quality(
    vectors: Vectors,
    neighbours: Links,
    cosines: Float,
    *,
    conflicts: Lists | None = None,
    seed: int = 0,
    sample: int = SAMPLE,
    noise: float | None = None,
    copies: int | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Figures that tell whether to trust a graph, as JSON values.

    ``rows`` random rows are compared with all others. Reads every row once, and keeps of them `sample` rows and 32 MiB.

    Parameters
    ----------
    vectors : Vectors
        Unit rows of all nodes.
    neighbours : ndarray of int32, shape (n, m)
        Listed neighbours, -1 behind the last one.
    cosines : ndarray of float32, shape (n, m)
        Their cosines.
    conflicts : (conflicts, cosines), optional
        Lists of the most negative cosines.
    seed : int, default 0
        Draws the rows.
    sample : int, default 1000
        Rows to draw, at most n.
    noise : float, optional
        Cosine that projection alone may give two rows that have none. Default: ``2/sqrt(k)``, two standard deviations
        of a projection to k numbers. Several checkpoints do not make it smaller: their errors are much the same.
    copies : int, optional
        Rows that are exact copies of an earlier one, if that was counted.

    Returns
    -------
    dict
        - ``recall``: share of the true neighbours of the drawn rows that are listed; ``recall_low``, ``recall_high``:
          its 95 % interval (see `interval`); ``rows``: rows drawn;
        - ``conflict_recall``: the same share of the true conflicts; None without conflicts;
        - ``cosine_error``: largest difference of a drawn row's listed cosine from that of the two rows;
        - ``in_degree_median``, ``in_degree_max``: rows that list a row; ``unlisted_share``: rows that nobody lists;
        - ``components``, ``largest_component``: parts that no link connects, and rows in the largest;
        - ``negative_pairs``, ``noise_pairs``: share of the pairs of drawn rows whose cosine is negative, or within
          ±``noise``; ``negative_links``, ``noise_links``: the same of all listed neighbours;
        - ``noise``, ``copies``: as given.
    """
    noise = 2 / math.sqrt(min(vectors.widths)) if noise is None else noise
    rows = _drawn(len(neighbours), seed, sample)
    points = vectors.take(rows)
    true_cosines = _listed_cosines(vectors, points, neighbours[rows])
    shares = _found(vectors, rows, neighbours, true_cosines, 1, progress)
    recall = float(shares.mean()) if len(shares) else 1.0
    low, high = interval(shares, len(neighbours), neighbours.shape[1])
    upper = np.triu_indices(len(points), 1)
    pairs = (points @ points.T)[upper]
    links, faint = neighbours >= 0, (cosines < noise) & (cosines > -noise)
    degrees = in_degrees(neighbours)
    parts = components(neighbours)
    return {
        "recall": recall,
        "recall_low": low,
        "recall_high": high,
        "conflict_recall": _conflict_recall(vectors, rows, points, conflicts, progress),
        "rows": len(rows),
        "cosine_error": float(np.abs(cosines[rows] - true_cosines).max(initial=0)),
        "in_degree_median": float(np.median(degrees)) if len(degrees) else 0.0,
        "in_degree_max": int(degrees.max(initial=0)),
        "unlisted_share": _share(degrees == 0),
        "components": len(parts),
        "largest_component": int(parts.max(initial=0)),
        "negative_pairs": _share(pairs < 0),
        "negative_links": _share(cosines < 0, links),
        "noise": float(noise),
        "noise_pairs": _share(np.abs(pairs) < noise),
        "noise_links": _share(faint, links),
        "copies": copies,
    }


def stored_quality(
    store: Store, graph: Graph, *, seed: int = 1, sample: int = SAMPLE, progress: Progress = silent
) -> dict[str, Any]:
    """`graph_quality` of a stored graph, measured again on the rows that the store holds.

    Parameters
    ----------
    store : Store
    graph : Graph
        As `load_graph` gives it, with all of its nodes.
    seed : int, default 1
        Draws the rows: others than a build draws, whose seed is 0 by default.
    sample : int, default 1000
        Rows to draw, at most n.

    Raises
    ------
    UsageError
        If nodes were left out (`Graph.among`): what was built and stored is measured.
    StoreNotFoundError
        If the rows are not there any more.
    """
    from gradstore.graph.nodes import Nodes, Part

    ours = graph.attributes
    names = (*ours["train"], *ours["targets"])
    parts = [
        Part.of(
            [store.dataset(name, key) for key in ours["checkpoints"]],
            ours["directions"][name],
            target=name in ours["targets"],
        )
        for name in names
    ]
    nodes = Nodes(parts, ours["weights"])
    if len(nodes) != len(graph):
        raise UsageError(f"the graph has {len(graph)} of {len(nodes)} rows: measure the whole one")
    kept = ours.get("quality", {})
    return graph_quality(
        nodes,
        graph.neighbours,
        graph.cosines,
        conflicts=(graph.conflicts, graph.conflict_cosines),
        seed=seed,
        sample=sample,
        noise=kept.get("noise"),
        copies=kept.get("copies"),
        progress=progress,
    )


def interval(shares: npt.NDArray[np.float64], count: int, m: int) -> tuple[float, float]:
    """95 % confidence interval of the mean share of `count` rows, of which `shares` are a random sample.

    That of E. B. Wilson (J. Am. Stat. Assoc. 22, 1927), which holds near 1 too, for as many independent links as tell
    as much as the sample does (the effective sample size of E. L. Korn and B. I. Graubard, Survey Methodology 24,
    1998): links of one row are found or missed together. Rows that all agree count once each. A sample of all rows
    leaves nothing open.

    Parameters
    ----------
    shares : ndarray of float64, shape (s,)
        Share of each drawn row's links that count.
    count, m : int
        Rows, and links of a row.
    """
    drawn, mean = len(shares), float(shares.mean()) if len(shares) else 1.0
    if drawn >= count:
        return mean, mean
    spread = float(shares.var(ddof=1)) if drawn > 1 else 0.0
    size = drawn * min(mean * (1 - mean) / spread, m) if spread > 0 else drawn
    size /= 1 - drawn / count
    z = 1.96
    middle = (mean + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * math.sqrt(mean * (1 - mean) / size + z**2 / (4 * size**2))
    return min(max(middle - half, 0.0), mean), max(min(middle + half, 1.0), mean)


def _drawn(count: int, seed: int, sample: int) -> Index:
    return np.sort(np.random.default_rng(seed).choice(count, min(sample, count), replace=False))


def _found(
    vectors: Vectors, rows: Index, lists: Links, cosines: Float, sign: int, progress: Progress
) -> npt.NDArray[np.float64]:
    """Share of the true neighbours of each of `rows` that it lists; `cosines` are those of the listed ones.

    A listed row counts if its cosine reaches that of the true m-th one (less 1e-6, the rounding of float32): of equally
    near rows any will do.
    """
    expected = min(lists.shape[1], len(lists) - 1)
    if expected < 1:
        return np.ones(len(rows))
    _, true = listed_among(vectors, rows, Wanted(sign, expected), progress=progress)
    found = (lists[rows] >= 0) & (sign * cosines >= sign * true[:, -1:] - _TIE)
    return np.asarray(found.sum(axis=1) / expected, np.float64)


def _conflict_recall(
    vectors: Vectors, rows: Index, points: Float, conflicts: Lists | None, progress: Progress
) -> float | None:
    if conflicts is None or not conflicts[0].shape[1]:
        return None
    cosines = _listed_cosines(vectors, points, conflicts[0][rows])
    shares = _found(vectors, rows, conflicts[0], cosines, -1, progress)
    return float(shares.mean()) if len(shares) else 1.0


def _listed_cosines(vectors: Vectors, points: Float, listed: Links) -> Float:
    """Cosines of `points` with the rows that they list, which are read in order, so that each chunk is read once."""
    flat = listed.ravel()
    order = np.argsort(flat, kind="stable")
    order = order[np.searchsorted(flat[order], 0) :]
    found = np.zeros(flat.shape, np.float32)
    step = max(1, _HELD // max(1, points.shape[1]))
    for start in range(0, len(order), step):
        part = order[start : start + step]
        used, place = np.unique(flat[part], return_inverse=True)
        others = vectors.take(used)[place]
        found[part] = row_dots(points[part // listed.shape[1]], others)
    return found.reshape(listed.shape)


def _share(which: npt.NDArray[np.bool_], of: npt.NDArray[np.bool_] | None = None) -> float:
    """Share of the entries of `which` that are true, or of those where `of` is."""
    all_of_them = which.size if of is None else int(of.sum())
    return float((which if of is None else which & of).sum()) / max(all_of_them, 1)
