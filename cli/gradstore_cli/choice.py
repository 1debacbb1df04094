"""A choice as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gradstore_cli import console

if TYPE_CHECKING:
    from gradstore.select import Picked

__all__ = ["choice_text"]


def choice_text(picked: Picked) -> str:
    """Sources, figures and tables of what the selector reports."""
    header = ("source", "chosen", "share", "in pool", "ratio")
    lines = [
        (
            part.source,
            console.count(part.chosen),
            console.percent(part.share),
            console.percent(part.base_share),
            f"{part.ratio:.2f}",
        )
        for part in picked.composition()
    ]
    report = picked.report()["report"]
    tables = {name: rows for name, rows in report.items() if _is_table(rows)}
    counts = {name.replace("_", " "): _figure(value) for name, value in report.items() if name not in tables}
    parts = [console.table(header, lines, right=header[1:]), console.facts(counts)]
    for name, rows in tables.items():
        columns = tuple(rows[0])
        cells = [tuple(_figure(row[column]) for column in columns) for row in rows]
        parts.append(f"{name}\n{console.table(columns, cells, right=columns[1:])}")
    return "\n\n".join(filter(None, parts))


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _figure(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_figure(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "; ".join(map(_figure, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return console.count(value)
    return str(value)
