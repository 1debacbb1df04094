"""Colours that people with any kind of colour vision can tell apart, on light and on dark ground."""

from __future__ import annotations

__all__ = ["CHOSEN", "COLOURS", "MUTED", "OTHERS", "SCALE"]

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#44bb99")
"""Paul Tol's scheme "bright" and two of "light" (SRON technical note 09-002)."""
OTHERS = "#999999"
MUTED = "#a9b1bd"
CHOSEN = "#ee6677"
SCALE = ("#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725")
"""Stops of the colour map viridis, from low to high."""
