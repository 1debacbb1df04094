"""``gradstore graph``: the nearest neighbours of every row."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

import click

from gradstore_cli import console
from gradstore_cli.options import (
    Command,
    config_option,
    direction_options,
    positive,
    seed_option,
    store_argument,
    stored_checkpoint_option,
    train_option,
    verify_option,
)

if TYPE_CHECKING:
    from gradstore.graph import Graph


@click.command("graph", cls=Command)
@store_argument
@train_option
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    show_default="all targets",
    help="Target set; repeatable.",
)
@stored_checkpoint_option
@direction_options
@click.option(
    "--exact", "method", flag_value="exact", help="Compare all pairs; without either option the size decides."
)
@click.option(
    "--hnsw", "method", flag_value="hnsw", help="Search approximately; faster beyond some 100,000 rows."
)
@click.option(
    "-m",
    "--neighbours",
    type=positive,
    metavar="N",
    default=32,
    show_default=True,
    help="Neighbours of each row.",
)
@click.option(
    "--name",
    metavar="NAME",
    default="default",
    show_default=True,
    help="What to call the graph in the store.",
)
@seed_option("the approximate search")
@verify_option
@config_option
def command(
    store: str, method: Literal["exact", "hnsw"] | None, verified: bool, as_json: bool, **options: Any
) -> None:
    """Link every row to the rows with the most similar gradients.

    \b
    Examples:
      gradstore graph grads.zarr
      gradstore graph grads.zarr --train pool --target gsm8k --exact -m 64 --name gsm8k
    """
    from gradstore.graph import build_graph
    from gradstore.store import open_store

    for name in ("train", "targets", "checkpoints"):
        options[name] = options[name] or None
    opened = open_store(store, verified=verified)
    started = time.monotonic()
    graph = build_graph(
        opened, **options, method=method or "auto", progress=console.progress, log=console.log
    )
    summary = _summary(graph, options["name"], time.monotonic() - started)
    if as_json:
        console.emit_json(summary)
        return
    console.emit(
        console.facts(
            {
                "graph": summary["name"],
                "nodes": console.count(summary["nodes"]),
                "edges": f"{console.count(summary['edges'])} ({options['neighbours']} a node)",
                "method": summary["method"] + (f" ({summary['why']})" if summary["why"] else ""),
                "recall": f"{summary['recall']:.4f}",
                "negative": f"{console.percent(summary['negative_share'])} of the edges",
                "time": console.duration(summary["seconds"]),
            }
        )
    )


def _summary(graph: Graph, name: str, seconds: float) -> dict[str, Any]:
    edges = graph.cosines[graph.neighbours >= 0]
    return {
        "name": name,
        "nodes": len(graph.ids),
        "edges": len(edges),
        "method": graph.method,
        "why": graph.attributes.get("why", ""),
        "recall": graph.recall,
        "negative_share": float((edges < 0).mean()) if len(edges) else 0.0,
        "seconds": seconds,
    }
