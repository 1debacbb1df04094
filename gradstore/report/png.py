"""The figures that make sense on paper, as PNG files."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from gradstore.errors import StoreWriteError
from gradstore.report import texts
from gradstore.report.gather import Gathered
from gradstore.report.numbers import composition, histogram, overlap
from gradstore.report.palette import CHOSEN, COLOURS, MUTED, OTHERS
from gradstore.report.sample import Shown
from gradstore.storage.complete import new_file

__all__ = ["write_pictures"]

Positions = npt.NDArray[np.float32]

_DPI = 200
_COLOURS = 96
_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "text.parse_math": False,  # a dollar in a name is a dollar
}
_SOURCES = 16
_LONGEST = 28
"""Characters of a name: longer ones would leave no room for what they name."""


def write_pictures(folder: Path, found: Gathered, shown: Shown, positions: Positions) -> list[Path]:
    """Write those of ``scores.png``, ``composition.png``, ``map.png`` and ``overlap.png`` that there is data for.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    found : Gathered
    shown : Shown
    positions : ndarray of float32, shape (m, 2)
        Of the nodes on the map.

    Raises
    ------
    StoreWriteError
        If the system refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreWriteError(f"{folder} cannot be made: {error.strerror or error}") from error
    drawings: dict[str, Callable[[], Figure | None]] = {
        "scores": lambda: _scores(found),
        "composition": lambda: _composition(found),
        "map": lambda: _map(found, shown, positions),
        "overlap": lambda: _overlap(found),
    }
    written = []
    with rc_context(_STYLE):
        for kind, draw in drawings.items():
            drawn = draw()
            if drawn is not None:
                written.append(folder / f"{kind}.png")
                with new_file(written[-1]) as file:
                    file.write(_png(drawn))
    return written


def name(text: object) -> str:
    """A name that fits beside an axis."""
    found = texts.name(text)
    return found if len(found) <= _LONGEST else f"{found[: _LONGEST - 1]}…"


def _png(drawn: Figure) -> bytes:
    """A picture of some colours, a third as large as one of all."""
    FigureCanvasAgg(drawn)
    whole, small = io.BytesIO(), io.BytesIO()
    drawn.savefig(whole, dpi=_DPI, format="png", bbox_inches="tight", pad_inches=0.1)
    with Image.open(whole) as image:
        few = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
        few.save(small, "PNG", optimize=True, dpi=(_DPI, _DPI))
    return small.getvalue()


def _scores(found: Gathered) -> Figure | None:
    drawn = [(each, scores) for each in found.selections if (scores := histogram(each))]
    if not drawn:
        return None
    figure = Figure(figsize=(6.4, 0.4 + 2.0 * len(drawn)), layout="constrained")
    axes = figure.subplots(len(drawn), squeeze=False)[:, 0]
    for axis, (selection, scores) in zip(axes, drawn, strict=True):
        widths = np.diff(scores.edges)
        for counts, colour, label in (
            (scores.candidates, MUTED, "candidates"),
            (scores.chosen, CHOSEN, "chosen"),
        ):
            axis.bar(scores.edges[:-1], counts, widths, align="edge", color=colour, label=label)
        if scores.cut is not None:
            axis.axvline(scores.cut, color="black", linestyle="dashed", linewidth=1, label="lowest chosen")
        axis.set(title=name(selection.name), xlabel="score", ylabel="rows (log scale)", yscale="log")
        axis.yaxis.set_major_formatter(lambda rows, _: f"{rows:,.0f}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return figure


def _composition(found: Gathered) -> Figure | None:
    made_of = composition(found)
    if not made_of.sources:
        return None
    sources = made_of.sources[:_SOURCES]
    bars = [("the pool", MUTED, made_of.shares())] + [
        (name(each.name), COLOURS[place % len(COLOURS)], made_of.shares(place))
        for place, each in enumerate(found.selections)
    ]
    thick = 0.8 / len(bars)
    figure = Figure(figsize=(6.4, 1.2 + len(sources) * max(0.3, 0.11 * len(bars))), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(sources))
    for rank, (label, colour, shares) in enumerate(bars):
        axis.barh(places + rank * thick, 100 * shares[:_SOURCES], thick, color=colour, label=label)
    axis.set_yticks(places + 0.4 - thick / 2, [name(each) or "unnamed" for each in sources])
    axis.invert_yaxis()
    axis.set(xlabel="share of the rows, %", title="Composition by source" + _left_out(made_of.sources))
    axis.legend(loc="lower right")
    return figure


def _left_out(sources: list[str]) -> str:
    more = len(sources) - _SOURCES
    return f", without {more} rarer ones" if more > 0 else ""


def _map(found: Gathered, shown: Shown, positions: Positions) -> Figure | None:
    if not len(positions):
        return None
    sources, places = found.rows.codes("sources")
    rows = shown.rows[: len(shown.nodes)]
    of, aims = places[rows], found.rows.is_target[rows]
    picked = [each.picks for each in found.selections]
    panels: list[tuple[str, list[tuple[str, str, npt.NDArray[np.bool_], bool]]]] = [
        ("by source", _groups(sources, of, aims)),
        *(
            (name(selection.name), _chosen(np.isin(rows, picks), aims))
            for selection, picks in zip(found.selections[:3], picked, strict=False)
        ),
    ]
    wide = min(len(panels), 2)
    high = -(-len(panels) // wide)
    figure = Figure(figsize=(3.6 * wide, 4.1 * high), layout="constrained")
    for axis, (title, groups) in zip(figure.subplots(high, wide, squeeze=False).flat, panels, strict=False):
        for label, colour, some, stands in groups:
            axis.scatter(
                *positions[some].T,
                s=7 if stands else 2.5,
                color=colour,
                label=label,
                linewidths=0,
                marker="^" if label == "target" else "o",
                alpha=0.9 if stands else 0.5,
                rasterized=True,
            )
        axis.set(title=title, xticks=[], yticks=[], aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axis.spines[["left", "bottom"]].set_visible(False)
        axis.legend(
            loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3, fontsize=7, markerscale=2, handletextpad=0
        )
    for axis in figure.axes[len(panels) :]:
        axis.remove()
    return figure


def _groups(
    sources: list[str], of: npt.NDArray[np.int64], aims: npt.NDArray[np.bool_]
) -> list[tuple[str, str, npt.NDArray[np.bool_], bool]]:
    named = [
        (name(source) or "unnamed", colour, of == place, False)
        for place, (source, colour) in enumerate(zip(sources, COLOURS, strict=False))
    ]
    rest = [("others", OTHERS, of >= len(COLOURS), False)] if len(sources) > len(COLOURS) else []
    return [each for each in [*named, *rest] if each[2].any()] + _targets(aims)


def _chosen(
    chosen: npt.NDArray[np.bool_], aims: npt.NDArray[np.bool_]
) -> list[tuple[str, str, npt.NDArray[np.bool_], bool]]:
    return [
        ("not chosen", "#d5d9de", ~chosen & ~aims, False),
        *_targets(aims),
        ("chosen", CHOSEN, chosen, True),
    ]


def _targets(aims: npt.NDArray[np.bool_]) -> list[tuple[str, str, npt.NDArray[np.bool_], bool]]:
    return [("target", "black", aims, True)] if aims.any() else []


def _overlap(found: Gathered) -> Figure | None:
    if len(found.selections) < 2:
        return None
    names = [name(each.name) for each in found.selections]
    common = overlap(found.selections)
    side = 1.8 + 0.7 * len(names)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axis = figure.subplots()
    image: Any = axis.imshow(common.jaccard, vmin=0, vmax=1, cmap="Blues")
    for (i, j), share in np.ndenumerate(common.jaccard):
        text = f"{share:.2f}\n{common.common[i, j]:,}"
        axis.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if share > 0.6 else "black")
    axis.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set_title("Common rows over rows that either chose")
    axis.spines[:].set_visible(False)
    figure.colorbar(image, ax=axis, shrink=0.7)
    return figure
