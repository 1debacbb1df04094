"""``gradstore select``: choose rows for a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from gradstore_cli import console
from gradstore_cli.cluster import working_on
from gradstore_cli.options import (
    Command,
    as_bytes,
    config_option,
    direction_options,
    positive,
    scheduler_option,
    seed_option,
    store_argument,
    stored_checkpoint_option,
    train_option,
    verify_option,
)

if TYPE_CHECKING:
    from gradstore.graph.nodes import Nodes
    from gradstore.graph.vectors import Float
    from gradstore.progress import Progress
    from gradstore.select import Picked
    from gradstore.select.context import Project
    from gradstore.store import Store


def _assignments(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Split ``name=value`` texts; the selector's own types decide what the values mean."""
    pairs = [value.partition("=") for value in values]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise click.BadParameter(f"{name!r} is not of the form name=value, such as delta=0.8", ctx, param)
    return {name.replace("-", "_"): value for name, _, value in pairs}


@click.command("select", cls=Command)
@store_argument
@click.option(
    "--selector",
    required=True,
    metavar="NAME|FILE.py:CLASS",
    help="How to choose; see `gradstore selectors`.",
)
@click.option("--target", metavar="NAME", help="Target set to choose for; `random` needs none.")
@click.option("-n", "count", type=positive, metavar="N", help="How many rows to choose.")
@click.option(
    "--fraction",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="F",
    help="Share of the train rows to choose.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE.jsonl",
    type=click.Path(path_type=Path),
    help="Where the chosen rows go: untouched, in the order in which they were chosen.",
)
@train_option
@stored_checkpoint_option
@direction_options
@click.option(
    "--graph",
    default="default",
    show_default=True,
    metavar="NAME",
    help="Graph to walk on; `exact`: none, every pick is compared with all rows.",
)
@click.option(
    "--memory",
    default="4GB",
    show_default=True,
    metavar="SIZE",
    callback=as_bytes,
    help="How much of the rows may be held; the choice is the same.",
)
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_assignments,
    help="Parameter of the selector; repeatable.",
)
@scheduler_option
@seed_option("the selector")
@click.option(
    "--name", metavar="NAME", show_default="SELECTOR-TARGET", help="What to call the selection in the store."
)
@click.option("--data", metavar="FILE", help="The original rows, if the store was made with --no-embed-rows.")
@verify_option
@config_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    store: str,
    count: int | None,
    fraction: float | None,
    output: Path,
    data: str | None,
    verified: bool,
    as_json: bool,
    scheduler: str | None,
    **options: Any,
) -> None:
    """Choose the rows that serve a target best, and write them out.

    \b
    Examples:
      gradstore select grads.zarr --selector g2is --target gsm8k --fraction 0.01 -o picked.jsonl
      gradstore select grads.zarr --selector less --target gsm8k -n 1000 -o picked.jsonl --json
      gradstore select grads.zarr --selector g2is --target gsm8k -n 1000 -o picked.jsonl \\
          -p delta=0.8 -p tolerance=0.02
    """
    budget = _budget(ctx, count, fraction)
    from gradstore.select import select
    from gradstore.store import open_store

    records = _records(data) if data else None
    for name in ("train", "checkpoints"):
        options[name] = options[name] or None
    opened = open_store(store, verified=verified)
    with projecting_on(scheduler, opened, verified) as project:
        picked = select(
            opened, budget=budget, project=project, progress=console.progress, log=console.log, **options
        )
    picked.write(output, records)
    if as_json:
        found = {"output": output, "ids": picked.ids, "composition": picked.composition(), **picked.report()}
        console.emit_json(found)
    else:
        console.emit(_text(picked))
        console.say(f"{console.count(len(picked))} rows written to {output}")


@contextmanager
def projecting_on(scheduler: str | None, store: Store, verified: bool) -> Iterator[Project | None]:
    """What computes similarities on a cluster; None without a scheduler."""
    used = False
    with working_on(scheduler, store, verified) as cluster:
        if cluster is None:
            yield None
            return

        def project(nodes: Nodes, directions: Float, progress: Progress) -> Float:
            nonlocal used
            used = True
            return cluster.project(nodes, directions, progress)

        yield project
    if not used:
        console.warn("the cluster had nothing to do: this selector asks for no similarities")


def _budget(ctx: click.Context, count: int | None, fraction: float | None) -> int | float:
    """The one that was given; a config file's value gives way to the command line's other one."""
    if count is not None and fraction is not None:
        if ctx.get_parameter_source("count") is ParameterSource.DEFAULT_MAP:
            count = None
        elif ctx.get_parameter_source("fraction") is ParameterSource.DEFAULT_MAP:
            fraction = None
    if (count is None) is (fraction is None):
        raise click.UsageError("give either -n or --fraction, and only one of them", ctx)
    return fraction if count is None else count  # type: ignore[return-value]


def _records(path: str) -> dict[str, Mapping[str, Any]]:
    from gradstore.data import load_rows

    return {row.id: row.record for row in load_rows(path).rows}


def _text(picked: Picked) -> str:
    header = ("source", "chosen", "share", "in pool", "ratio")
    lines = [
        (
            part.source,
            console.count(part.chosen),
            console.percent(part.share),
            console.percent(part.base_share),
            f"{part.ratio:.2f}",
        )
        for part in picked.composition()
    ]
    report = picked.report()["report"]
    tables = {name: rows for name, rows in report.items() if _is_table(rows)}
    counts = {name.replace("_", " "): _figure(value) for name, value in report.items() if name not in tables}
    parts = [console.table(header, lines, right=header[1:]), console.facts(counts)]
    for name, rows in tables.items():
        columns = tuple(rows[0])
        cells = [tuple(_figure(row[column]) for column in columns) for row in rows]
        parts.append(f"{name}\n{console.table(columns, cells, right=columns[1:])}")
    return "\n\n".join(filter(None, parts))


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _figure(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_figure(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "; ".join(map(_figure, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return console.count(value)
    return str(value)
