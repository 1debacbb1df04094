"""What a store holds, for programs and for people; reads manifests, never columns."""

from __future__ import annotations

from typing import Any

from gradstore.errors import CorruptError
from gradstore.progress import counted
from gradstore.storage import Folder
from gradstore.store.dataset import Dataset
from gradstore.store.folder import DatasetFolder
from gradstore.store.layout import ARTEFACTS, METADATA, bytes_text

__all__ = ["dataset_info", "overview", "unfinished_info"]


def dataset_info(dataset: Dataset) -> dict[str, Any]:
    """A finished data set as JSON values; its unfinished directions with the number of their finished chunks."""
    facts = dataset.manifest.facts
    return {
        "name": dataset.name,
        "sealed": True,
        "rows": len(dataset),
        "valid": facts.get("valid", 0),
        "truncated": facts.get("truncated", 0),
        "reasons": facts.get("reasons", {}),
        "target": bool(dataset.attributes.get("target", False)),
        "directions": {each: _direction(dataset, each) for each in dataset.directions},
        "chunks": len(dataset.chunks),
        "unfinished": dataset.unfinished(),
        "bytes": dataset.size,
        "digest": dataset.digest,
        "attributes": dict(dataset.attributes),
    }


def _direction(dataset: Dataset, name: str) -> dict[str, Any]:
    return {
        "dim": dataset.dim(name),
        "encoding": dataset.encoding(name),
        "compression": dataset.compression(name),
        "fidelity": dataset.fidelity(name),
        "bytes": dataset.size_of(name),
        "digest": dataset.digest_of(name),
    }


def unfinished_info(folder: Folder) -> dict[str, Any]:
    """How far a data set has come of which nothing can be read yet."""
    state = DatasetFolder.read(folder)
    if state is None:
        raise CorruptError(f"{folder.where(METADATA)} is gone: restore it from a copy of the store")
    chunks = len(state.settings.chunks)
    return {
        "name": str(folder).rpartition("/")[2],
        "sealed": False,
        "rows": state.settings.rows,
        "chunks": chunks,
        "chunks_done": chunks - len(state.missing(state.vectors)),
        "unfinished": state.unfinished(),
    }


def overview(info: dict[str, Any]) -> str:
    """What `Store.info` tells as aligned lines, one for each data set."""
    lines = [f"Store {info['location']} (format {info['format']}, {bytes_text(info['bytes'])})"]
    if info["base"]:
        lines.append(f"  on {info['base']}")
    for checkpoint in info["checkpoints"]:
        lines.append(f"  {checkpoint['name']}: {_identity_text(checkpoint)}")
        lines += _aligned([_cells(dataset) for dataset in checkpoint["datasets"]])
    lines += [f"  {kind}: {', '.join(info[kind])}" for kind in ARTEFACTS if info[kind]]
    return "\n".join(lines)


def _identity_text(checkpoint: dict[str, Any]) -> str:
    if "problem" in checkpoint:
        return f"damaged: {checkpoint['problem']}"
    identity = checkpoint["identity"]
    projection = identity["projection"]
    revision = f" at {identity['base_revision'][:12]}" if "base_revision" in identity else ""
    base = f"{identity['base']}{revision}, step {identity['step']}, " if identity["base"] else ""
    return f"{base}projection {projection['kind']} to {projection['dim']:,}"


def _cells(dataset: dict[str, Any]) -> list[str]:
    if "problem" in dataset:
        return [dataset["name"], f"damaged: {dataset['problem']}"]
    if not dataset["sealed"]:
        return [dataset["name"], f"not finished: {dataset['chunks_done']} of {dataset['chunks']} chunks"]
    directions = dataset["directions"]
    unfinished = [
        f"{name} not finished: {done} of {dataset['chunks']} chunks"
        for name, done in dataset["unfinished"].items()
    ]
    return [
        dataset["name"],
        counted(dataset["rows"], "row"),
        f"{dataset['valid']:,} valid",
        ", ".join(directions),
        ", ".join(dict.fromkeys(each["encoding"] for each in directions.values())),
        bytes_text(dataset["bytes"]),
        ", ".join([*(["target"] if dataset["target"] else []), *unfinished]),
    ]


def _aligned(rows: list[list[str]]) -> list[str]:
    """Rows as columns of equal width; the last cell of a row does not widen its column."""
    widths: dict[int, int] = {}
    for row in rows:
        for place, cell in enumerate(row[:-1]):
            widths[place] = max(widths.get(place, 0), len(cell))
    return [
        ("    " + "  ".join(cell.ljust(widths.get(place, 0)) for place, cell in enumerate(row))).rstrip()
        for row in rows
    ]
