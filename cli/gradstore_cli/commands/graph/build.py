"""``gradstore graph STORE``: link every row to its nearest."""

from __future__ import annotations

import time
from typing import Any, Literal

import click

from gradstore_cli import completers, console
from gradstore_cli.cluster import working_on
from gradstore_cli.commands.graph.check import summary, text, warn_of
from gradstore_cli.options import (
    Command,
    as_bytes,
    config_option,
    direction_options,
    positive,
    refuse,
    scheduler_option,
    seed_option,
    store_argument,
    stored_checkpoint_option,
    train_option,
    verify_option,
)
from gradstore_cli.quantities import Whole

_CHECKING = {"store", "check", "name", "verified", "as_json"}


class _Building(Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse both methods, of which click would take the later one without a word."""
        if {"--exact", "--hnsw"} <= set(args) and not ctx.resilient_parsing:
            raise click.UsageError("--exact and --hnsw are two methods: give one of them, or neither", ctx)
        return super().parse_args(ctx, args)


@click.command(
    "graph",
    cls=_Building,
    sections={
        "Method": "--exact --hnsw --memory --workers --scheduler",
        "Search of HNSW": "-M --ef-construction --ef --sketch --fast",
    },
)
@store_argument
@train_option
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    shell_complete=completers.target_sets,
    show_default="all targets",
    help="Target set; repeatable.",
)
@stored_checkpoint_option
@direction_options
@click.option(
    "--exact",
    "method",
    flag_value="exact",
    help="Compare all pairs. Without either option: what will be finished first, which is measured.",
)
@click.option("--hnsw", "method", flag_value="hnsw", help="Search approximately.")
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
    "--conflicts",
    type=Whole(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="Rows of most negative cosine to list for each row.",
)
@click.option(
    "--name",
    metavar="NAME",
    shell_complete=completers.graphs,
    default="default",
    show_default=True,
    help="What to call the graph in the store.",
)
@click.option("--rebuild", is_flag=True, help="Build anew, even where new rows could be attached.")
@click.option(
    "--memory",
    callback=as_bytes,
    metavar="SIZE",
    show_default="4GB",
    help="How much the build may take.",
)
@click.option(
    "--workers",
    type=positive,
    metavar="N",
    show_default="all processors",
    help="Threads of HNSW; they do not change the result.",
)
@scheduler_option
@click.option("-M", "M", type=positive, metavar="N", default=16, show_default=True, help="Links of a row.")
@click.option(
    "--ef-construction",
    type=positive,
    metavar="N",
    default=100,
    show_default=True,
    help="Candidates kept while the index is filled.",
)
@click.option(
    "--ef",
    type=positive,
    metavar="N",
    default=128,
    show_default=True,
    help="Candidates kept while it is searched: more find more neighbours, and take longer.",
)
@click.option(
    "--sketch",
    type=Whole(min=0),
    metavar="DIMS",
    show_default="measured",
    help="Numbers of a row's sketch, by which it is searched; 0 searches by whole rows.",
)
@click.option("--fast", is_flag=True, help="All threads fill one index: another result each time.")
@seed_option("the approximate search, and of the rows that are compared with all others")
@click.option(
    "--check",
    is_flag=True,
    help="Build nothing: measure the graph that is in the store again, on its rows.",
)
@verify_option
@config_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    store: str,
    method: Literal["exact", "hnsw"] | None,
    check: bool,
    verified: bool,
    as_json: bool,
    scheduler: str | None,
    **options: Any,
) -> None:
    """Link every row to the rows with the most similar gradients.

    Prints how good the graph is; with --check that of one in the store, measured again. `gradstore graph show` prints
    the neighbours of a row.

    \b
    Examples:
      gradstore graph grads.zarr
      gradstore graph grads.zarr --train pool --target gsm8k --exact -m 64 --name gsm8k
      gradstore graph grads.zarr --check --name gsm8k
      gradstore graph show grads.zarr dolly_17
    """
    if check:
        building = [each.name or "" for each in ctx.command.params if each.expose_value]
        others = [name for name in building if name not in _CHECKING]
        refuse(ctx, others, "--check builds nothing: leave out {}, or --check to build")
    from gradstore.graph import build_graph, load_graph
    from gradstore.graph.quality import stored_quality
    from gradstore.store import open_store

    opened = open_store(store, verified=verified)
    name, started = options["name"], time.monotonic()
    if check:
        graph = load_graph(opened, name)
        quality = stored_quality(opened, graph, progress=console.progress)
    else:
        with working_on(scheduler, opened, verified) as cluster:
            graph = build_graph(
                opened,
                **_given(options),
                method=method or "auto",
                compare=cluster.lists if cluster else None,
                progress=console.progress,
                log=console.log,
            )
        quality = graph.attributes["quality"]
    found = summary(graph, name, quality, time.monotonic() - started)
    console.emit_json(found) if as_json else console.emit(text(found))
    warn_of(found)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """`options` without those that leave it to the library."""
    return {name: value for name, value in options.items() if value is not None and value != ()}
