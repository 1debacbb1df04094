"""``gradstore store import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradstore.errors import DataError
from gradstore_cli import console
from gradstore_cli.options import DIRECTIONS, Command, store_argument

if TYPE_CHECKING:
    import numpy.typing as npt


@click.command("import", cls=Command)
@store_argument
@click.option("--name", required=True, metavar="NAME", help="What to call this data set in the store.")
@click.option(
    "--gradients",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE.npy",
    help="Vectors, one a row (numpy.save).",
)
@click.option(
    "--ids",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Row ids, one a line.",
    show_default="those of --rows, else row numbers",
)
@click.option("--rows", metavar="FILE", help="The original rows in the same order, for select to write out.")
@click.option("--target", is_flag=True, help="These rows say what to choose for; they are not candidates.")
@click.option(
    "--direction",
    type=click.Choice(DIRECTIONS),
    metavar="NAME",
    show_default="adam; sgd with --target",
    help=f"What the vectors are: {', '.join(DIRECTIONS)}.",
)
@click.option(
    "--checkpoint",
    default="imported",
    show_default=True,
    metavar="NAME",
    help="Checkpoint to file them under.",
)
def command(
    store: str,
    name: str,
    gradients: Path,
    ids: Path | None,
    rows: str | None,
    target: bool,
    direction: str | None,
    checkpoint: str,
    as_json: bool,
) -> None:
    """Make a data set of vectors that were computed elsewhere.

    \b
    Examples:
      gradstore store import grads.zarr --name pool --gradients pool.npy --rows pool.jsonl
      gradstore store import grads.zarr --name gsm8k --gradients gsm8k.npy --ids ids.txt --target
    """
    from gradstore.store import import_arrays, open_store

    columns = _columns(rows) if rows else {}
    if ids:
        columns["ids"] = ids.read_text(encoding="utf-8").splitlines()
    import_arrays(
        store,
        name=name,
        gradients=_load_array(gradients),
        checkpoint=checkpoint,
        direction=direction or ("sgd" if target else "adam"),
        target=target,
        **columns,
    )
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


def _load_array(path: Path) -> npt.NDArray[Any]:
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} is no array of numbers; write it with numpy.save") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path} holds several arrays; write one of them with numpy.save")
    return array
