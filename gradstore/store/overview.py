"""What a store holds, for programs and for people; reads manifests, never columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradstore.errors import GradstoreError, IncompleteError
from gradstore.store.layout import ARTEFACTS, CHECKPOINTS, FORMAT, bytes_text
from gradstore.store.parts import chunk_progress

if TYPE_CHECKING:
    from gradstore.store.store import Store

__all__ = ["store_info", "store_text"]


def store_info(store: Store) -> dict[str, Any]:
    """Checkpoints, data sets, graphs and selections as JSON values."""
    checkpoints = [_checkpoint(store, name) for name in store.checkpoints]
    return {
        "path": str(store.path),
        "format": FORMAT,
        "bytes": sum(dataset.get("bytes", 0) for each in checkpoints for dataset in each["datasets"]),
        "checkpoints": checkpoints,
        "graphs": list(store.graphs),
        "selections": list(store.selections),
    }


def _checkpoint(store: Store, name: str) -> dict[str, Any]:
    try:
        identity: dict[str, Any] = {"identity": store.identity(name).to_json()}
    except GradstoreError as error:
        identity = {"problem": str(error)}
    return {
        "name": name,
        **identity,
        "datasets": [_dataset(store, name, each) for each in store.datasets(name)],
    }


def _dataset(store: Store, checkpoint: str, name: str) -> dict[str, Any]:
    """One data set; an unfinished one has its progress instead of numbers, a damaged one a ``problem``."""
    try:
        dataset = store.dataset(name, checkpoint)
    except IncompleteError:
        done, chunks = chunk_progress(store.folder.at(f"{CHECKPOINTS}/{checkpoint}/{name}"))
        return {"name": name, "sealed": False, "chunks_done": done, "chunks": chunks}
    except GradstoreError as error:
        return {"name": name, "problem": str(error)}
    return {
        "name": name,
        "sealed": True,
        "rows": len(dataset),
        "valid": dataset.manifest.facts.get("valid", 0),
        "target": bool(dataset.attributes.get("target", False)),
        "directions": list(dataset.directions),
        "dim": dataset.dim,
        "encoding": dataset.encoding,
        "fidelity": dataset.manifest.facts.get("fidelity", {}),
        "bytes": dataset.manifest.size,
        "digest": dataset.digest,
        "attributes": dict(dataset.attributes),
    }


def store_text(store: Store) -> str:
    """An aligned overview, one line for each data set."""
    info = store_info(store)
    lines = [f"Store {info['path']} (format {info['format']}, {bytes_text(info['bytes'])})"]
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
    base = f"{identity['base']}, step {identity['step']}, " if identity["base"] else ""
    return f"{base}projection {projection['kind']} to {projection['dim']:,}"


def _cells(dataset: dict[str, Any]) -> list[str]:
    if "problem" in dataset:
        return [dataset["name"], f"damaged: {dataset['problem']}"]
    if not dataset["sealed"]:
        return [dataset["name"], f"not finished: {dataset['chunks_done']} of {dataset['chunks']} chunks"]
    return [
        dataset["name"],
        f"{dataset['rows']:,} rows",
        f"{dataset['valid']:,} valid",
        ", ".join(dataset["directions"]),
        dataset["encoding"],
        bytes_text(dataset["bytes"]),
        "target" if dataset["target"] else "",
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
