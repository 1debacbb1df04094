"""What the page's template shows: figures in words and tables."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import PurePath
from typing import Any

from gradstore.report.gather import Chosen, Gathered
from gradstore.report.numbers import (
    Composition,
    Histogram,
    Lengths,
    Overlap,
    Trace,
    quantiles,
    stretches,
)
from gradstore.report.payload import text_lengths
from gradstore.report.sample import Shown
from gradstore.store.licence import NOT_STATED, licences

__all__ = ["context"]

MOST_SOURCES = 40


def context(
    found: Gathered,
    shown: Shown,
    *,
    scores: list[Histogram | None],
    traces: list[Trace | None],
    made_of: Composition,
    common: Overlap,
    tokens: list[Lengths],
    texts: bool,
) -> dict[str, Any]:
    """All values of the template."""
    graph = found.graph
    return {
        "title": title(found.info["location"]),
        "version": version("gradstore"),
        "notes": found.notes,
        "tiles": _tiles(found, tokens),
        "selections": [
            _selection(each, place, found, scores[place], traces[place])
            for place, each in enumerate(found.selections)
        ],
        "composition": _composition(made_of),
        "overlap": _overlap(common) if len(found.selections) > 1 else None,
        "datasets": [_lengths(each) for each in tokens],
        "graph": _graph(found.graph_name, graph.attributes, len(graph)) if graph else None,
        "fidelity": _fidelity(found),
        "provenance": _provenance(found.info),
        "shown": {
            "rows": len(shown.rows),
            "all": len(found.rows),
            "mapped": len(shown.nodes),
            "nodes": len(found.nodes),
            "texts": texts,
            "lengths": text_lengths(len(shown.rows), len(shown.nodes)),
        },
    }


def title(location: str) -> str:
    """What to call a store: the last part of its location, since a report may travel farther than a path should."""
    return PurePath(location).name or location


def _tiles(found: Gathered, tokens: list[Lengths]) -> list[tuple[str, str]]:
    pool, aims = ([each for each in tokens if each.target is target] for target in (False, True))
    total = int(found.rows.column("tokens").sum())
    return [
        ("rows to choose from", f"{sum(each.rows for each in pool):,}"),
        ("target rows", f"{sum(each.rows for each in aims):,}"),
        ("tokens", f"{total:,}" if total else "unknown"),
        ("without a gradient", f"{sum(each.rows - each.valid for each in tokens):,}"),
        ("graph recall", f"{found.graph.recall:.3f}" if found.graph else "no graph"),
        ("selections", f"{len(found.selections):,}"),
    ]


def _selection(
    chosen: Chosen, place: int, found: Gathered, scores: Histogram | None, steps: Trace | None
) -> dict[str, Any]:
    config, picks = chosen.kept.config, chosen.picks
    report = config["report"] if isinstance(config["report"], Mapping) else {}
    lengths = found.rows.column("tokens")[picks]
    serves: dict[str, int] = {}
    for name in chosen.kept.serves:
        serves[str(name)] = serves.get(str(name), 0) + 1
    return {
        "id": f"selection-{place}",
        "name": chosen.name,
        "selector": config["selector"],
        "target": config["target"] or "none",
        "rows": len(picks),
        "candidates": len(chosen.kept.ids),
        "tokens": int(lengths.sum()),
        "cut": chosen.cut,
        "settings": _settings(config),
        "serves": {name: count for name, count in serves.items() if name},
        "walk": report.get("walk", {}) if isinstance(report.get("walk"), Mapping) else {},
        "components": [each for each in report.get("components", []) if isinstance(each, Mapping)],
        "bins": _bins(scores) if scores else [],
        "quantiles": {
            "candidates": quantiles(chosen.kept.scores.astype(float)),
            "chosen": quantiles(chosen.kept.scores[chosen.kept.picks].astype(float)),
        },
        "chart": scores is not None,
        "trace": stretches(steps) if steps else [],
    }


def _settings(config: Mapping[str, Any]) -> dict[str, str]:
    parameters, limits = config.get("parameters"), config.get("limits")
    told = {
        "balance": config["balance"],
        "seed": config["seed"],
        "graph": config.get("graph"),
        **(parameters if isinstance(parameters, Mapping) else {}),
        **{name: value for name, value in (limits.items() if isinstance(limits, Mapping) else ()) if value},
    }
    words = {True: "yes", False: "no"}
    return {
        str(name): words[value] if isinstance(value, bool) else str(value)
        for name, value in told.items()
        if value is not None
    }


def _bins(scores: Histogram) -> list[dict[str, float]]:
    pairs = zip(scores.edges[:-1], scores.edges[1:], scores.candidates, scores.chosen, strict=True)
    return [
        {"low": float(low), "high": float(high), "candidates": int(rows), "chosen": int(chosen)}
        for low, high, rows, chosen in pairs
        if rows
    ]


def _composition(made_of: Composition) -> dict[str, Any]:
    pool = made_of.shares()
    shares = [made_of.shares(place) for place in range(len(made_of.chosen))]
    widest = max([float(each.max(initial=0)) for each in (pool, *shares)], default=0.0) or 1.0
    return {
        "more": max(len(made_of.sources) - MOST_SOURCES, 0),
        "sources": [
            {
                "name": source or "unnamed",
                "rows": int(made_of.pool[i]),
                "pool": float(pool[i]),
                "bar": float(pool[i]) / widest,
                "selections": [
                    {
                        "rows": int(made_of.chosen[place][i]),
                        "share": float(each[i]),
                        "bar": float(each[i]) / widest,
                        "ratio": float(each[i] / pool[i]),
                    }
                    for place, each in enumerate(shares)
                ],
            }
            for i, source in enumerate(made_of.sources[:MOST_SOURCES])
        ],
    }


def _overlap(common: Overlap) -> list[list[dict[str, float]]]:
    return [
        [{"common": int(rows), "jaccard": float(share)} for rows, share in zip(*both, strict=True)]
        for both in zip(common.common, common.jaccard, strict=True)
    ]


def _lengths(each: Lengths) -> dict[str, Any]:
    return {
        "name": each.name,
        "target": each.target,
        "rows": each.rows,
        "valid": each.valid,
        "truncated": each.truncated,
        "quantiles": each.quantiles,
        "reasons": sorted(each.reasons.items(), key=lambda item: -item[1]),
    }


def _graph(name: str, attributes: Mapping[str, Any], nodes: int) -> dict[str, Any]:
    quality = attributes.get("quality")
    known = quality if isinstance(quality, Mapping) else {}
    figures = {
        "nodes": nodes,
        "neighbours of each": attributes["neighbours"],
        "conflicts of each": attributes.get("conflicts", 0),
        "built": f"{attributes['method']} ({attributes.get('why', 'asked for')})",
        "recall of neighbours": attributes["recall"],
        "recall, 95 % interval": _interval(known.get("recall_low"), known.get("recall_high")),
        "recall of conflicts": known.get("conflict_recall"),
        "largest error of a cosine": known.get("cosine_error"),
        "parts that no link connects": known.get("components"),
        "rows that nobody lists": known.get("unlisted_share"),
        "most rows that list one": known.get("in_degree_max"),
        "links within the noise of projection": known.get("noise_links"),
    }
    return {
        "name": name,
        "figures": {key: _told(value) for key, value in figures.items() if value is not None},
    }


def _interval(low: Any, high: Any) -> str | None:
    return f"{low:.4g} to {high:.4g}" if isinstance(low, float) and isinstance(high, float) else None


def _told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _fidelity(found: Gathered) -> list[dict[str, Any]]:
    """How well each direction's encoding keeps the order of cosines, in every checkpoint."""
    rows = []
    for checkpoint in found.info["checkpoints"]:
        for dataset in checkpoint["datasets"]:
            for direction, each in dataset.get("directions", {}).items():
                kept = each["fidelity"] if isinstance(each["fidelity"], Mapping) else {}
                rows.append(
                    {
                        "checkpoint": checkpoint["name"],
                        "dataset": dataset["name"],
                        "direction": direction,
                        "encoding": each["encoding"],
                        "dim": each["dim"],
                        "spearman": _told(kept.get("spearman", "not measured")),
                        "top": _told(kept.get("top1", "not measured")),
                    }
                )
    return rows


def _provenance(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": checkpoint["name"], "facts": _identity(checkpoint), "datasets": _origins(checkpoint)}
        for checkpoint in info["checkpoints"]
    ]


def _identity(checkpoint: Mapping[str, Any]) -> dict[str, str]:
    if "problem" in checkpoint:
        return {"problem": checkpoint["problem"]}
    identity = checkpoint["identity"]
    projection = identity["projection"]
    facts = {
        "base model": title(str(identity["base"])) if identity["base"] else "not told",
        "optimizer step": f"{identity['step']:,}" if isinstance(identity["step"], int) else "",
        "learning-rate weight": _told(identity["weight"]),
        "projection": f"{projection['kind']} to {projection['dim']} numbers, seed {projection['seed']}",
        **{part: str(identity[f"{part}_digest"]) for part in ("base", "adapter", "tokenizer", "template")},
    }
    return {key: value for key, value in facts.items() if value}


def _origins(checkpoint: Mapping[str, Any]) -> list[dict[str, str]]:
    return [_origin(each) for each in checkpoint["datasets"]]


def _origin(dataset: Mapping[str, Any]) -> dict[str, str]:
    if "problem" in dataset or not dataset.get("sealed"):
        return {"data set": dataset["name"], "state": dataset.get("problem", "not finished")}
    provenance = dataset["attributes"].get("provenance")
    known = provenance if isinstance(provenance, Mapping) else {}
    versions = known.get("versions")
    licence = licences(dataset["attributes"])
    sources = [f"{source}: {name}" for source, name in sorted(licence.items()) if source]
    facts = {
        "data set": dataset["name"],
        "directions": ", ".join(dataset["directions"]),
        "licence": "; ".join([licence.get("", NOT_STATED), *sources]),
        "made with": ", ".join(f"{key} {value}" for key, value in sorted(versions.items()))
        if isinstance(versions, Mapping)
        else "",
        "digest": dataset["digest"],
    }
    return {key: value for key, value in facts.items() if value}
