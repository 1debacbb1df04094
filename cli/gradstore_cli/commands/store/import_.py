"""``gradstore store import``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gradstore_cli import completers, console
from gradstore_cli.options import DIRECTIONS, ENCODINGS, IMPORTS, Command, license_option, store_argument


@click.command("import", cls=Command)
@store_argument
@click.argument("source", metavar="SOURCE", shell_complete=completers.files)
@click.option("--name", required=True, metavar="NAME", help="What to call this data set in the store.")
@click.option(
    "--format",
    "fmt",
    type=click.Choice(IMPORTS),
    metavar="NAME",
    show_default="told from the names of the files",
    help=f"Whose files they are: {', '.join(IMPORTS)}.",
)
@click.option(
    "--key",
    metavar="NAME",
    help="Which array, tensor or column, if the file has several (npz, pt, parquet, trak).",
)
@click.option(
    "--ids",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Row ids, one a line.",
    show_default="those of --rows or of the files, else row numbers",
)
@click.option(
    "--rows",
    metavar="FILE",
    shell_complete=completers.files,
    help="The original rows in the same order, for select to write out.",
)
@click.option("--target", is_flag=True, help="These rows say what to choose for; they are not candidates.")
@click.option(
    "--direction",
    type=click.Choice(DIRECTIONS),
    metavar="NAME",
    show_default="what the files tell, else adam; sgd with --target",
    help=f"What the vectors are: {', '.join(DIRECTIONS)}.",
)
@click.option(
    "--checkpoint",
    metavar="NAME",
    shell_complete=completers.checkpoints,
    show_default="checkpoint-STEP if the files tell it, else imported",
    help="Checkpoint to file them under; what lies under one counts as comparable.",
)
@click.option(
    "--weight",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default="as much as others on average",
    metavar="W",
    help="Weight of a new checkpoint among several (LESS: its mean learning rate).",
)
@click.option(
    "--encoding",
    type=click.Choice(ENCODINGS),
    default="exact",
    show_default=True,
    metavar="NAME",
    help=f"How rows are kept: {', '.join(ENCODINGS)}; int8 takes a quarter of the space.",
)
@license_option
def command(
    store: str,
    source: str,
    ids: Path | None,
    rows: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make a data set of vectors that were computed elsewhere.

    SOURCE is a file of numbers (.npy, .npz, .pt, .parquet), or what another tool wrote: a folder of LESS, a
    packed file of QLESS, an index of bergson, a folder of TRAK or LogIX. Nothing in it is executed, and no
    more than a few chunks are in memory at a time.

    \b
    Examples:
      gradstore store import grads.zarr pool.npy --name pool --rows pool.jsonl
      gradstore store import grads.zarr gsm8k.npy --name gsm8k --ids ids.txt --target
      gradstore store import grads.zarr grads/dolly-ckpt105-adam/dim8192 --name dolly --encoding int8
      gradstore store import grads.zarr bergson-index --name pool --rows pool.jsonl
    """
    from gradstore.interchange import import_gradients
    from gradstore.interchange.source import read_lines
    from gradstore.store import open_store

    columns = _columns(rows) if rows else {}
    if ids:
        columns["ids"] = read_lines(ids)
    import_gradients(store, source, progress=console.progress, log=console.log, **options, **columns)
    opened = open_store(store)
    console.emit_json(opened.info()) if as_json else console.emit(repr(opened))


def _columns(path: str) -> dict[str, Any]:
    """What a file of rows says about the vectors."""
    from gradstore.data import load_rows

    rows = list(load_rows(path).rows)
    return {
        "ids": [row.id for row in rows],
        "rows": [row.record for row in rows],
        "sources": [row.source for row in rows],
        "subtasks": [row.subtask for row in rows],
    }
