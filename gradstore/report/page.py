"""The page: one file that needs nothing else and may load nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import bokeh
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from gradstore.report.texts import visible

__all__ = ["page"]

_SCRIPTS = ("rows.js", "map.js", "explore.js", "page.js")
_LONGEST = 2000


def page(context: dict[str, Any], charts: dict[str, Any], rows: str) -> str:
    """The whole page.

    Parameters
    ----------
    context : dict
        What the template shows, see `gradstore.report.context`.
    charts : dict
        What the script draws, as JSON values.
    rows : str
        What `gradstore.report.payload.compressed` returns; ``""`` for a page without rows.
    """
    library = Path(bokeh.__file__).with_name("server").joinpath("static", "js", "bokeh.min.js")
    scripts = [library.read_text(encoding="utf-8"), "\n".join(map(_asset, _SCRIPTS))]
    template = _environment().from_string(_asset("page.html"))
    return template.render(
        **context,
        policy=Markup(_policy(scripts)),  # noqa: S704 (digests and our own words)
        style=Markup(_asset("style.css")),  # noqa: S704
        scripts=[Markup(script) for script in scripts],  # noqa: S704
        charts=Markup(_json(charts)),  # noqa: S704 (escaped there)
        rows=Markup(rows),  # noqa: S704 (base64)
    )


def _environment() -> Environment:
    """Templates that escape everything, with figures written alike."""
    made = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_plain
    )
    made.filters |= {
        "count": lambda number: f"{number:,}",
        "percent": lambda share: f"{100 * share:.1f} %",
        "figure": lambda number: f"{number:.4g}",
    }
    return made


def _plain(value: Any) -> Any:
    """What a template prints of a value: no text acts on the page or turns the direction of writing."""
    return visible(value, _LONGEST) if type(value) is str else value


def _policy(scripts: list[str]) -> str:
    """Nothing is loaded from anywhere, and only these scripts run.

    Styles may stand in the page, because charts bring theirs; a style loads nothing either.
    """
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    run = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {run}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _json(value: Any) -> str:
    """JSON in which no character ends the element that it stands in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _asset(name: str) -> str:
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")
