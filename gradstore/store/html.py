"""How a store and a data set look in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from gradstore.progress import counted
from gradstore.store.layout import bytes_text

__all__ = ["dataset_html", "store_html"]

_HEADER = ("checkpoint", "data set", "rows", "valid", "directions", "size", "")


def store_html(info: Mapping[str, Any]) -> str:
    """A table with a line for each data set, from `Store.info`; names in it may be anybody's."""
    lines = [
        (checkpoint["name"], *_cells(dataset))
        for checkpoint in info["checkpoints"]
        for dataset in checkpoint["datasets"]
    ]
    on = f" on {info['base']}" if info["base"] else ""
    caption = f"gradstore store {info['location']}{on}, {bytes_text(info['bytes'])}"
    made = "".join(
        f"<p>{kind}: {escape(', '.join(info[kind]))}</p>" for kind in ("graphs", "selections") if info[kind]
    )
    return f"{_table(caption, _HEADER, lines)}{made}"


def dataset_html(info: Mapping[str, Any], checkpoint: str) -> str:
    """A table with a line for each direction, from `dataset_info`."""
    caption = (
        f"data set {info['name']} of {checkpoint}: {counted(info['rows'], 'row')}, {info['valid']:,} valid"
    )
    lines = [
        (name, f"{each['dim']:,}", each["encoding"], bytes_text(each["bytes"]))
        for name, each in info["directions"].items()
    ]
    return _table(caption, ("direction", "numbers a row", "encoding", "size"), lines)


def _cells(dataset: Mapping[str, Any]) -> tuple[str, ...]:
    if "problem" in dataset:
        return (dataset["name"], "", "", "", "", f"damaged: {dataset['problem']}")
    if not dataset["sealed"]:
        done = f"{dataset['chunks_done']:,} of {dataset['chunks']:,} chunks"
        return (dataset["name"], f"{dataset['rows']:,}", "", "", "", f"not finished: {done}")
    kinds = ", ".join(f"{name} ({each['encoding']})" for name, each in dataset["directions"].items())
    note = "target" if dataset["target"] else ""
    counts = (f"{dataset['rows']:,}", f"{dataset['valid']:,}")
    return (dataset["name"], *counts, kinds, bytes_text(dataset["bytes"]), note)


def _table(caption: str, header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in lines)
    titles = "".join(f"<th>{escape(title)}</th>" for title in header)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"
