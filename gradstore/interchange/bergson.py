"""Index folders of bergson: ``gradients.bin``, all rows end to end, and ``info.json``.

Source: ``bergson/data.py`` of bergson 2.5.1 (``create_index``, ``load_gradients``). A row is the concatenation of its
modules' projected gradients, in the order of ``grad_sizes``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from gradstore.errors import DataError
from gradstore.interchange.source import Raw, Source, member, read_json

__all__ = ["read_bergson"]

_OPTIMIZER = re.compile(r"^\s*optimizer_state:[ \t]*(.*)$", re.MULTILINE)


def read_bergson(path: Path, key: str | None) -> Source:  # noqa: ARG001 (a Reader)
    """A folder that ``bergson build`` wrote."""
    if not path.is_dir():
        raise DataError(f"{path}: name the folder that bergson wrote, not a file of it")
    info = read_json(member(path, "info.json"))
    where = path / "info.json"
    if not isinstance(info, dict):
        raise DataError(f"{where}: does not describe an index of bergson")
    if info.get("attribute_tokens"):
        raise DataError(f"{path}: has a row for each token; build it without --attribute_tokens")
    sizes, count = info.get("grad_sizes"), info.get("num_grads", 0)
    whole = isinstance(sizes, dict) and all(
        type(size) is int and size > 0 for size in (count, *sizes.values())
    )
    if not whole or not sizes:
        raise DataError(f"{where}: does not describe an index of bergson: num_grads {count!r}, grad_sizes")
    rows = Raw(member(path, "gradients.bin"), (count, sum(sizes.values())), _dtype(info, where))
    direction, notes = _made_with(path)
    return Source(rows, "bergson", path, {}, None, direction, notes)


def _dtype(info: dict[str, Any], where: Path) -> str:
    """``base_dtype``; indexes of earlier versions have a structured type of equal fields instead."""
    kind = info.get("base_dtype")
    if kind is None:
        fields = info.get("dtype")
        formats = fields.get("formats") if isinstance(fields, dict) else None
        first = formats[0] if isinstance(formats, list) and formats else None
        kind = re.sub(r"^\(\d+,?\)", "", first) if isinstance(first, str) else None
    if not isinstance(kind, str):
        raise DataError(f"{where}: does not say what type its numbers have")
    return kind


def _made_with(path: Path) -> tuple[str | None, tuple[str, ...]]:
    """Raw gradients, unless the configuration kept beside them names an optimizer's state."""
    if not (path / "config.yaml").exists():
        return "sgd", ()
    text = member(path, "config.yaml").read_text(encoding="utf-8", errors="replace")
    used = [value.strip().strip("'\"") for value in _OPTIMIZER.findall(text)]
    if any(value not in ("", "null", "~") for value in used):
        return None, ("made with an optimizer's state, in a way of its own: choose --direction with care",)
    return "sgd", ()
