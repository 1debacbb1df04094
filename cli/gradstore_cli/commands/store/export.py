"""``gradstore store export``."""

from __future__ import annotations

from typing import Any

import click

from gradstore_cli import completers, console
from gradstore_cli.options import DIRECTIONS, EXPORTS, Command, store_argument


@click.command("export", cls=Command)
@store_argument
@click.argument("out", metavar="OUT", shell_complete=completers.files)
@click.option(
    "--format",
    "fmt",
    required=True,
    type=click.Choice(EXPORTS),
    metavar="NAME",
    help="less: LESS's folders; npy: a folder with gradients.npy, ids.txt and meta.json; parquet: a file.",
)
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=completers.data_sets,
    help="Data set whose vectors are written.",
)
@click.option(
    "--selection",
    metavar="NAME",
    shell_complete=completers.selections,
    help="Selection whose scores and rows are written (only less).",
)
@click.option(
    "--checkpoint",
    metavar="NAME",
    shell_complete=completers.checkpoints,
    show_default="the only one",
    help="Checkpoint that holds the data set.",
)
@click.option(
    "--direction",
    type=click.Choice(DIRECTIONS),
    metavar="NAME",
    shell_complete=completers.directions,
    show_default="the only one",
    help="Stored direction to write.",
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    store: str,
    out: str,
    fmt: str,
    dataset: str | None,
    selection: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Write vectors, or a selection's scores, for other tools.

    Rows without a gradient are written as zeros, so that a row keeps its number. Nothing is overwritten.

    \b
    Examples:
      gradstore store export grads.zarr grads --format less --dataset pool --direction adam
      gradstore store export grads.zarr pool.parquet --format parquet --dataset pool
      gradstore store export grads.zarr selected_data --format less --selection less-gsm8k
    """
    if (dataset is None) is (selection is None):
        raise click.UsageError("give either --dataset or --selection, and only one of them", ctx)
    if selection is not None and (fmt != "less" or any(options.values())):
        raise click.UsageError("--selection goes with --format less and no checkpoint or direction", ctx)
    from gradstore.interchange import export, export_selection

    if selection is not None:
        path = export_selection(store, out, selection=selection)
        console.emit_json({"path": path, "selection": selection}) if as_json else console.emit(str(path))
        return
    made = export(store, out, dataset=dataset or "", fmt=fmt, progress=console.progress, **options)
    console.emit_json(made) if as_json else console.emit(str(made.path))
