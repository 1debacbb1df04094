"""What a graph is like, in words: after it was built, and for ``gradstore graph STORE --check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradstore_cli import console

if TYPE_CHECKING:
    from gradstore.graph import Graph

__all__ = ["summary", "text", "warn_of"]

WRONG = 1e-4
"""A listed cosine that is further from that of the rows is not due to rounding."""
_HELPS = {"hnsw": "raise --ef or --sketch, or build with --exact"}


def summary(graph: Graph, name: str, quality: dict[str, Any], seconds: float) -> dict[str, Any]:
    """A graph and its quality as one document."""
    return {
        "name": name,
        "nodes": len(graph),
        "edges": int((graph.neighbours >= 0).sum()),
        "neighbours": graph.neighbours.shape[1],
        "conflicts": graph.conflicts.shape[1],
        "attached": graph.attributes.get("attached", 0),
        "method": graph.method,
        "why": graph.attributes.get("why", ""),
        "recall": quality["recall"],
        "negative_share": quality["negative_links"],
        "quality": quality,
        "seconds": seconds,
    }


def text(found: dict[str, Any]) -> str:
    """`summary` as lines for people."""
    quality, nodes = found["quality"], found["nodes"]
    return console.facts(
        {
            "graph": found["name"],
            "nodes": console.count(nodes),
            "edges": f"{console.count(found['edges'])} ({found['neighbours']} a node)",
            "conflicts": f"{found['conflicts']} a node, recall {quality['conflict_recall']:.4f}"
            if found["conflicts"]
            else "",
            "attached": f"{console.count(found['attached'])} rows since it was built"
            if found["attached"]
            else "",
            "method": found["method"] + (f" ({found['why']})" if found["why"] else ""),
            "recall": _recall(quality, nodes),
            "in-degree": f"median {quality['in_degree_median']:.0f}, "
            f"at most {console.count(quality['in_degree_max'])}; "
            f"{console.percent(quality['unlisted_share'])} of the rows are listed by none",
            "components": f"{console.count(quality['components'])}, the largest of "
            f"{console.count(quality['largest_component'])} rows",
            "negative": _shares(quality, "negative"),
            "noise": f"{_shares(quality, 'noise')}, within ±{quality['noise']:.3g}",
            "copies": _copies(quality["copies"]),
            "time": console.duration(found["seconds"]),
        }
    )


def warn_of(found: dict[str, Any]) -> None:
    """Warn of what makes a graph a bad guide, and say what helps."""
    from gradstore.graph.quality import GOOD_RECALL

    quality = found["quality"]
    if quality["recall"] < GOOD_RECALL:
        console.warn(
            f"recall {quality['recall']:.3f} is below {GOOD_RECALL}: a walk over this graph picks other rows than over "
            f"an exact one; {_HELPS.get(found['method'], 'build it again')}"
        )
    if quality["conflict_recall"] is not None and quality["conflict_recall"] < GOOD_RECALL:
        console.warn(
            f"recall of conflicts {quality['conflict_recall']:.3f} is below {GOOD_RECALL}: rows more contrary than "
            f"those listed were missed; {_HELPS.get(found['method'], 'build it again')}"
        )
    if quality["cosine_error"] > WRONG:
        console.warn(
            f"listed cosines differ from those of the rows by up to {quality['cosine_error']:.2g}; build it again"
        )


def _recall(quality: dict[str, Any], nodes: int) -> str:
    if quality["rows"] >= nodes:
        return f"{quality['recall']:.4f}"
    low, high = quality["recall_low"], quality["recall_high"]
    return (
        f"{quality['recall']:.4f} (95 %: {low:.4f} to {high:.4f}, from {console.count(quality['rows'])} rows)"
    )


def _shares(quality: dict[str, Any], kind: str) -> str:
    links, pairs = (console.percent(quality[f"{kind}_{what}"]) for what in ("links", "pairs"))
    return f"{links} of the edges, {pairs} of random pairs"


def _copies(number: int | None) -> str:
    if number is None:
        return ""
    return f"{console.count(number)} rows are exact copies of others" if number else "none"
