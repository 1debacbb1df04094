"""Figures of the page as Bokeh documents (JSON); the page's script gives them the colours of the reader's scheme."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.embed import json_item
from bokeh.models import (
    ColumnDataSource,
    FixedTicker,
    NumeralTickFormatter,
    PanTool,
    Range1d,
    Span,
    TapTool,
    WheelZoomTool,
)
from bokeh.plotting import figure

from gradstore.report.numbers import Histogram, Lengths, Trace
from gradstore.report.palette import CHOSEN, COLOURS, MUTED
from gradstore.report.texts import name

__all__ = ["lengths_chart", "map_chart", "score_chart", "trace_chart"]

_HEIGHT = 240
_LEAST = 0.6
"""Where bars begin on a logarithmic axis: below one row."""
_DASHES = ("solid", "dashed", "dotted")


def score_chart(scores: Histogram) -> dict[str, Any]:
    """Candidates and chosen rows in each bin of scores, and the lowest chosen score."""
    left, right = scores.edges[:-1], scores.edges[1:]
    top = float(max(scores.candidates.max(initial=1), 1)) * 1.6
    plot = _figure("score", "rows (log scale)", y_axis_type="log", y_range=Range1d(_LEAST, top))
    plot.yaxis.ticker = FixedTicker(ticks=_ticks(top))
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
    for counts, colour, label in (
        (scores.candidates, MUTED, "candidates"),
        (scores.chosen, CHOSEN, "chosen"),
    ):
        some = counts > 0
        data = {"left": left[some], "right": right[some], "top": counts[some]}
        plot.quad(
            "left", "right", "top", _LEAST,
            source=ColumnDataSource(data), fill_color=colour, line_color=None, legend_label=label,
        )  # fmt: skip
    if scores.cut is not None:
        plot.add_layout(Span(location=scores.cut, dimension="height", line_dash="dashed", line_width=1.5))
    return _item(plot)


def _ticks(most: float) -> list[int]:
    """Few places on a logarithmic axis of whole numbers, so that no label meets the next."""
    every = [10**power * step for power in range(1 + int(np.log10(most))) for step in (1, 3)]
    return [tick for tick in every if tick <= most]


def trace_chart(steps: Trace) -> dict[str, Any]:
    """Score of each pick in pick order, coloured by how it was found."""
    plot = _figure("pick", "score")
    kinds = list(dict.fromkeys(steps.kinds))
    for place, kind in enumerate(kinds):
        some = np.array([each == kind for each in steps.kinds])
        data = {"x": steps.ranks[some], "y": steps.scores[some]}
        colour = CHOSEN if kinds == ["chosen"] else COLOURS[place % len(COLOURS)]
        plot.scatter(
            "x", "y", source=ColumnDataSource(data), size=4, color=colour, alpha=0.8,
            **({"legend_label": _label(kind)} if len(kinds) > 1 else {}),
        )  # fmt: skip
    return _item(plot)


def lengths_chart(sets: list[Lengths]) -> dict[str, Any]:
    """Share of each data set's rows by number of tokens."""
    plot = _figure("tokens of a row", "share of rows", x_axis_type="log")
    plot.yaxis.formatter = NumeralTickFormatter(format="0 %")
    largest = max(float(each.edges[-1]) for each in sets)
    plot.xaxis.ticker = FixedTicker(ticks=_ticks(3 * largest))
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
    for place, each in enumerate(sets):
        shares = each.counts / max(int(each.counts.sum()), 1)
        data = {"x": np.repeat(each.edges, 2)[1:-1], "y": np.repeat(shares, 2)}
        plot.line(
            "x", "y", source=ColumnDataSource(data), line_width=2, color=COLOURS[place % len(COLOURS)],
            line_dash=_DASHES[place // len(COLOURS) % len(_DASHES)], legend_label=_label(each.name),
        )  # fmt: skip
    return _item(plot)


def map_chart() -> dict[str, Any]:
    """An empty map; the page's script fills its sources with the rows that the page holds."""
    plot = _figure(
        "", "",
        tools=[PanTool(), WheelZoomTool(), TapTool()],
        x_range=Range1d(0, 1), y_range=Range1d(0, 1), sizing_mode="stretch_both", min_border=0,
    )  # fmt: skip
    plot.axis.visible = plot.grid.visible = False
    wheel = plot.select_one(WheelZoomTool)
    wheel.modifiers = {"ctrl": True}  # without it the wheel scrolls the page
    plot.toolbar.active_scroll = wheel
    ends = _empty("near", "x0", "y0", "x1", "y1"), _empty("against", "x0", "y0", "x1", "y1")
    for source, dash, colour in zip(ends, ("solid", "dashed"), (MUTED, CHOSEN), strict=True):
        plot.segment("x0", "y0", "x1", "y1", source=source, line_dash=dash, color=colour)
    plot.line("x", "y", source=_empty("path", "x", "y"), color=MUTED, line_alpha=0.7)
    points = plot.scatter(
        "x", "y", source=_empty("points", "x", "y", "color", "size", "marker"),
        color="color", size="size", marker="marker", alpha=0.8, line_width=0.4,
    )  # fmt: skip
    points.selection_glyph = points.nonselection_glyph = None
    plot.scatter("x", "y", source=_empty("focus", "x", "y"), size=14, color=None, line_width=2)
    plot.select_one(TapTool).renderers = [points]
    return _item(plot)


def _empty(name: str, *columns: str) -> ColumnDataSource:
    return ColumnDataSource({column: [] for column in columns}, name=name)


def _label(text: str) -> str:
    """A legend's text in which Bokeh reads no formula: it would ask for a library that is not on the page."""
    return (
        name(text).replace("$", "\N{FULLWIDTH DOLLAR SIGN}").replace("\\", "\N{FULLWIDTH REVERSE SOLIDUS}")
        or " "
    )


def _figure(across: str, up: str, **options: Any) -> figure:
    given: dict[str, Any] = {"tools": [], "height": _HEIGHT, "sizing_mode": "stretch_width", **options}
    plot = figure(toolbar_location=None, x_axis_label=across or None, y_axis_label=up or None, **given)
    plot.outline_line_color = plot.border_fill_color = plot.background_fill_color = None
    return plot


def _item(plot: figure) -> dict[str, Any]:
    if plot.legend:
        plot.legend.location = "top_right"
        plot.legend.orientation = "horizontal"
        plot.add_layout(plot.legend[0], "above")
    return dict(json_item(plot))
