"""``gradstore graph show``: the neighbours of one row."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from gradstore_cli import completers, console
from gradstore_cli.options import Command, positive, store_argument

if TYPE_CHECKING:
    from gradstore.graph import Graph
    from gradstore.graph.links import Link
    from gradstore.store import Store

LEAST = 24
"""Characters of a text that are shown however narrow the terminal is."""


@click.command("show", cls=Command)
@store_argument
@click.argument("name", metavar="ID")
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=completers.data_sets,
    help="Data set of the row; needed where several have its id.",
)
@click.option(
    "--from",
    "among",
    multiple=True,
    metavar="NAME",
    shell_complete=completers.data_sets,
    show_default="all",
    help="Only rows of this data set are listed; repeatable.",
)
@click.option(
    "-n", "count", type=positive, metavar="N", default=10, show_default=True, help="Rows of each list."
)
@click.option(
    "--name",
    "graph",
    metavar="NAME",
    shell_complete=completers.graphs,
    default="default",
    show_default=True,
    help="Which graph.",
)
def command(
    store: str, name: str, dataset: str | None, among: tuple[str, ...], count: int, graph: str, as_json: bool
) -> None:
    """Print a row's neighbours and conflicts, with their texts.

    \b
    Examples:
      gradstore graph show grads.zarr dolly_17
      gradstore graph show grads.zarr gsm8k-3 --dataset gsm8k --from pool -n 5 --json
    """
    from gradstore.graph import load_graph
    from gradstore.graph.links import Link
    from gradstore.store import open_store

    opened = open_store(store)
    loaded = load_graph(opened, graph)
    node = loaded.node_of(name, dataset)
    own = Link(name, loaded.datasets[node], node, 1.0)
    near = loaded.neighbours_of(name, own.dataset, among or None)[:count]
    built = bool(loaded.conflicts.shape[1])
    against = loaded.conflicts_of(name, own.dataset, among or None)[:count] if built else []
    texts = _texts(opened, loaded, [own, *near, *against])
    lists = {"neighbours": near, "conflicts": against} if built else {"neighbours": near}
    if as_json:
        console.emit_json(
            {"id": name, "dataset": own.dataset, "node": node, "text": texts.get(node)}
            | {
                kind: [asdict(link) | {"text": texts.get(link.node)} for link in links]
                for kind, links in lists.items()
            }
        )
        return
    console.emit(_page(own, lists, texts))
    without = sorted({link.dataset for link in (own, *near, *against) if link.node not in texts})
    if without:
        console.say(f"without texts, which the store does not hold: {', '.join(without)}")
    if not built:
        console.say("no conflicts: the graph was built without (--conflicts N)")


def _texts(store: Store, graph: Graph, links: Sequence[Link]) -> dict[int, str]:
    """Text of each row that the store holds, by node."""
    from gradstore.data.turns import line

    found: dict[int, str] = {}
    for name in dict.fromkeys(link.dataset for link in links):
        dataset = store.dataset(name, graph.attributes["checkpoints"][0])
        nodes = [link.node for link in links if link.dataset == name]
        if dataset.has_records:
            found.update(zip(nodes, map(line, dataset.records(graph.rows[nodes])), strict=True))
    return found


def _line(text: str) -> str:
    return " ".join(text.split())


def _page(own: Link, lists: Mapping[str, Sequence[Link]], texts: Mapping[int, str]) -> str:
    width = shutil.get_terminal_size((100, 24)).columns
    parts = [f"{_line(own.id)} of {own.dataset}", _short(texts.get(own.node, ""), width)]
    for kind, links in lists.items():
        parts += ["", f"{kind}{'' if links else ': none'}", *_table(links, texts, width)]
    return "\n".join(parts)


def _table(links: Sequence[Link], texts: Mapping[int, str], width: int) -> list[str]:
    if not links:
        return []
    header = ("cosine", "data set", "id", "text")
    cells = [(f"{link.cosine:.4f}", link.dataset, _line(link.id)) for link in links]
    left = sum(max(map(len, column)) + 2 for column in zip(header, *cells, strict=False))
    room = max(width - left, LEAST)
    rows = [(*row, _short(texts.get(link.node, ""), room)) for row, link in zip(cells, links, strict=True)]
    return [console.table(header, rows, right=("cosine",))]


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
