"""What ``gradstore store info`` tells: the store's own overview, with the statistics of its rows."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gradstore_cli import console

if TYPE_CHECKING:
    from gradstore.store import Dataset, Store

__all__ = ["description", "fidelity", "overview"]

MOST_SOURCES = 8


def overview(store: Store) -> dict[str, Any]:
    """`Store.info` with what the columns of each finished data set add up to."""
    found = store.info()
    for checkpoint in found["checkpoints"]:
        for dataset in checkpoint["datasets"]:
            if dataset.get("sealed"):
                dataset |= _statistics(store.dataset(dataset["name"], checkpoint["name"]), dataset["reasons"])
    return found | {"writable": store.writable}


def _statistics(dataset: Dataset, reasons: Mapping[str, int]) -> dict[str, Any]:
    from gradstore.store.licence import licences
    from gradstore.store.source_counts import told_sources

    sources = told_sources(dataset.manifest.facts, lambda: dataset.sources)
    losses = [float(loss) for loss in dataset.loss if math.isfinite(loss)]
    return {
        "invalid": dict(reasons),
        "sources": dict(Counter(dataset.sources if sources is None else sources).most_common()),
        "subtasks": len({subtask for subtask in dataset.subtasks if subtask}),
        "tokens": int(dataset.tokens.sum()),
        "mean_loss": statistics.fmean(losses) if losses else None,
        "has_records": dataset.has_records,
        "licences": licences(dataset.attributes),
    }


def description(found: dict[str, Any]) -> str:
    """`overview` as blocks of names and values."""
    blocks = [
        console.facts(
            {
                "store": f"{found['location']} (format {found['format']})",
                "size": console.size(found["bytes"]),
                "writable": "yes" if found["writable"] else "no",
            }
        )
    ]
    for checkpoint in found["checkpoints"]:
        blocks.append(f"checkpoint {checkpoint['name']}\n{console.facts(_identity(checkpoint), '  ')}")
        blocks += [
            f"data set {checkpoint['name']}/{dataset['name']}\n{console.facts(_details(dataset), '  ')}"
            for dataset in checkpoint["datasets"]
        ]
    blocks.append(
        console.facts({kind: ", ".join(found[kind]) or "none" for kind in ("graphs", "selections")})
    )
    return "\n\n".join(blocks)


def _identity(checkpoint: dict[str, Any]) -> dict[str, str]:
    if "problem" in checkpoint:
        return {"problem": checkpoint["problem"]}
    identity = checkpoint["identity"]
    projection, lora = identity["projection"], identity["lora"]
    digests = {
        name.removesuffix("_digest"): value[:12] for name, value in identity.items() if "_digest" in name
    }
    return {
        "base model": identity["base"],
        "step": console.count(identity["step"]),
        "weight": f"{identity['weight']:.4g}" if identity["weight"] else "unknown",
        "projection": f"{projection['kind']}, {console.count(projection['dim'])} numbers, seed {projection['seed']}",
        "LoRA": ", ".join(f"{name} {lora[name]}" for name in ("r", "lora_alpha") if name in lora),
        "parameters": f"{len(identity['parameters'])} tensors" if identity["parameters"] else "",
        "digests": ", ".join(f"{name} {value}" for name, value in digests.items() if value),
    }


def _details(dataset: dict[str, Any]) -> dict[str, str]:
    if "problem" in dataset:
        return {"problem": dataset["problem"]}
    unfinished = {
        f"direction {name}": f"not finished: {console.count(done)} of {console.count(dataset['chunks'])} chunks"
        for name, done in dataset["unfinished"].items()
    }
    if not dataset["sealed"]:
        return {"rows": console.count(dataset["rows"]), **unfinished}
    sources = list(dataset["sources"].items())
    more = f", and {len(sources) - MOST_SOURCES} more" if len(sources) > MOST_SOURCES else ""
    return {
        "rows": f"{console.count(dataset['rows'])}, {console.count(dataset['valid'])} of them valid",
        "invalid": _counts(dataset["invalid"].items()),
        "target": "yes" if dataset["target"] else "no",
        "truncated": console.count(dataset["truncated"]) if dataset["truncated"] else "",
        **{f"direction {name}": _vectors(direction) for name, direction in dataset["directions"].items()},
        **unfinished,
        "size": console.size(dataset["bytes"]),
        "sources": _counts(sources[:MOST_SOURCES]) + more,
        "licence": _licences(dataset["licences"]),
        "subtasks": console.count(dataset["subtasks"]) if dataset["subtasks"] else "",
        "tokens": console.count(dataset["tokens"]) if dataset["tokens"] else "",
        "mean loss": f"{dataset['mean_loss']:.4f}" if dataset["mean_loss"] is not None else "",
        "rows inside": "yes" if dataset["has_records"] else "no: select needs --data",
        "digest": dataset["digest"],
    }


def _licences(found: dict[str, str]) -> str:
    sources = [f"{source} {name}" for source, name in found.items() if source]
    return "; ".join([found.get("", "not stated"), *([", ".join(sources)] if sources else [])])


def _vectors(direction: dict[str, Any]) -> str:
    compression = f" with {direction['compression']}" if direction["compression"] != "none" else ""
    return ", ".join(
        [
            f"{direction['encoding']}{compression}",
            f"{console.count(direction['dim'])} numbers a row",
            *filter(None, [fidelity(direction["fidelity"])]),
        ]
    )


def fidelity(kept: Mapping[str, Any] | None) -> str:
    """How well an encoding keeps the order of cosines, in words; empty where nothing was measured."""
    if kept is None:
        return ""
    top = f", {kept['top1']:.1%} of the top 1 %" if "top1" in kept else ""
    against = f" against {' after '.join(reversed(kept['source']))}" if "source" in kept else ""
    return f"order of cosines kept to {kept['spearman']}{top}{against}"


def _counts(pairs: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {console.count(number)}" for name, number in pairs)
