"""`gradstore.report`: a page and pictures of what a store holds."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradstore.errors import StoreWriteError, UsageError
from gradstore.graph.links import restricted
from gradstore.progress import Progress, silent
from gradstore.report.gather import Gathered, gather
from gradstore.report.numbers import composition, histogram, lengths, overlap, trace
from gradstore.report.sample import Shown, choose
from gradstore.select.output.earlier import check_folder
from gradstore.storage.complete import new_file

if TYPE_CHECKING:
    from gradstore.store import Store

__all__ = ["report"]

_MARK, _HEAD = b'<meta name="generator" content="gradstore ', 4096
"""By what a page is known as ours, and the bytes at its beginning that hold it."""
_NEEDED = {"page": ("bokeh", "igraph", "jinja2"), "pictures": ("igraph", "matplotlib")}


def report(
    store: Store | str | Path,
    out: str | Path | None = "report.html",
    *,
    png: str | Path | None = None,
    selections: Sequence[str] | None = None,
    graph: str | None = None,
    texts: bool = True,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Show a store, a graph and selections on a page that needs nothing else, and as pictures.

    No vectors are read: of a store that is elsewhere only columns, graphs, selections and texts are downloaded.

    Parameters
    ----------
    store : Store or path
    out : path, optional
        The page, which takes the place of an earlier one and of nothing else; None for none.
    png : path, optional
        Folder for pictures; made if it is not there.
    selections : sequence of str, optional
        Names; default: all, of very many the first.
    graph : str, optional
        Name; default: ``default``, or the only one.
    texts : bool, default True
        Whether the page holds the rows' texts. Pictures never do.
    seed : int, default 0
        Of the map, and of the rows drawn for it where there are more than 20 000.
    progress : callable, optional
        ``progress(total, unit, label)`` gives a bar.

    Returns
    -------
    dict
        JSON values: ``page``, its ``bytes``, ``pictures``, ``rows`` on the page, ``nodes`` on the map,
        ``selections``, ``graph`` (None without one) and ``notes`` about what could not be shown.

    Raises
    ------
    UsageError
        If neither a page nor pictures are asked for, or a package is missing.
    StoreNotFoundError
        If a store, graph or selection that was named is not there.
    IncompatibleError
        If a graph or selection that was named is older than its rows.
    StoreWriteError
        If something cannot be written, or what is in the page's place is no report.
    """
    from gradstore.store import open_store

    if out is None and png is None:
        raise UsageError("a report is a page or pictures: name at least one of both")
    for wanted, kind in ((out, "page"), (png, "pictures")):
        if wanted is not None:
            _check_installed(kind)
    place = _checked(out) if out is not None else None
    if png is not None:
        there = next(each for each in (Path(png), *Path(png).parents) if each.exists())
        check_folder(there / "map.png")
    opened = open_store(store) if isinstance(store, str | Path) else store
    found = gather(opened, selections, graph)
    shown = choose(found, seed)
    positions = _positions(found, shown, seed)
    result: dict[str, Any] = {
        "page": None,
        "bytes": 0,
        "pictures": [],
        "rows": len(shown.rows),
        "nodes": len(shown.nodes),
        "selections": [each.name for each in found.selections],
        "graph": found.graph_name or None,
        "notes": found.notes,
    }
    if place is not None:
        data = _page(found, shown, positions, texts, progress)
        with new_file(place) as file:
            file.write(data)
        result |= {"page": str(place), "bytes": len(data)}
    if png is not None:
        from gradstore.report.png import write_pictures

        result["pictures"] = [str(each) for each in write_pictures(Path(png), found, shown, positions)]
    return result


def _page(found: Gathered, shown: Shown, positions: Any, texts: bool, progress: Progress) -> bytes:
    from gradstore.report import charts
    from gradstore.report.context import context
    from gradstore.report.page import page
    from gradstore.report.palette import COLOURS, OTHERS, SCALE
    from gradstore.report.payload import compressed, payload

    scores = [histogram(each) for each in found.selections]
    steps = [trace(each) for each in found.selections]
    tokens = lengths(found.rows)
    drawn = {f"scores-{i}": charts.score_chart(each) for i, each in enumerate(scores) if each}
    drawn |= {f"trace-{i}": charts.trace_chart(each) for i, each in enumerate(steps) if each}
    if any(each.counts.any() for each in tokens):
        drawn["lengths-chart"] = charts.lengths_chart(tokens)
    words = context(
        found,
        shown,
        scores=scores,
        traces=steps,
        made_of=composition(found),
        common=overlap(found.selections),
        tokens=tokens,
        texts=texts,
    )
    palette = {"colours": COLOURS, "others": OTHERS, "scale": SCALE}
    rows = payload(found, shown, positions, texts=texts, progress=progress)
    items = {**drawn, "map": charts.map_chart(), "palette": palette}
    return page({**words, "drawn": set(drawn)}, items, compressed(rows) if len(shown.rows) else "").encode()


def _positions(found: Gathered, shown: Shown, seed: int) -> Any:
    """Of the map's nodes, by those of their links that end on the map."""
    if found.graph is None:
        return np.zeros((0, 2), np.float32)
    from gradstore.report.layout import layout

    inside = np.zeros(len(found.graph), np.bool_)
    inside[shown.nodes] = True
    return layout(*restricted(found.graph.neighbours, found.graph.cosines, inside), seed)


def _check_installed(kind: str) -> None:
    missing = [name for name in _NEEDED[kind] if find_spec(name) is None]
    if missing:
        raise UsageError(f"{kind} of a report need {', '.join(missing)}: pip install 'gradstore[report]'")


def _checked(out: str | Path) -> Path:
    """Refuse before the work what would fail after it."""
    place = Path(out)
    if place.is_dir():
        raise StoreWriteError(f"{place} is a folder: name a file for the page")
    check_folder(place)
    if place.exists() and not _is_page(place):
        raise StoreWriteError(
            f"{place} is there already and is no earlier report: give another name, or remove it"
        )
    return place


def _is_page(place: Path) -> bool:
    """Whether a file is a report: its head names what made it."""
    try:
        with place.open("rb") as file:
            return _MARK in file.read(_HEAD)
    except OSError:
        return False
