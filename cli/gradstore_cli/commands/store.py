"""``gradstore store``: look into a store, check it, join stores, and bring vectors in from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradstore.errors import DataError
from gradstore_cli import console
from gradstore_cli.options import DIRECTIONS, Group, store_argument

if TYPE_CHECKING:
    import numpy.typing as npt

    from gradstore.store import MergeReport


@click.group("store", cls=Group)
def command() -> None:
    """Look into a store, check it, join stores, bring vectors in.

    \b
    Examples:
      gradstore store ls grads.zarr
      gradstore store verify grads.zarr
    """


@command.command("ls")
@store_argument
def ls(store: str, as_json: bool) -> None:
    """List checkpoints, data sets, graphs and selections.

    \b
    Examples:
      gradstore store ls grads.zarr
      gradstore store ls grads.zarr --json
    """
    from gradstore.store import open_store

    opened = open_store(store)
    console.emit_json(opened.info()) if as_json else console.emit(repr(opened))


@command.command("info")
@store_argument
def info(store: str, as_json: bool) -> None:
    """Describe a store's checkpoints and data sets in full.

    \b
    Examples:
      gradstore store info grads.zarr
      gradstore store info grads.zarr --json
    """
    from gradstore.store import open_store
    from gradstore_cli.overview import description, overview

    found = overview(open_store(store))
    console.emit_json(found) if as_json else console.emit(description(found))


@command.command("verify")
@store_argument
@click.pass_context
def verify(ctx: click.Context, store: str, as_json: bool) -> None:
    """Check every stored object against its checksum.

    Exits with 4 if something is wrong, after listing what.

    \b
    Examples:
      gradstore store verify grads.zarr
      gradstore store verify grads.zarr --json
    """
    from gradstore.store import verify as find_problems

    problems = find_problems(store)
    if as_json:
        console.emit_json({"ok": not problems, "problems": problems})
    else:
        console.emit("\n".join(map(str, problems)) or "no problems")
    ctx.exit(4 if problems else 0)


@command.command("merge")
@click.argument("out", metavar="OUT")
@click.argument("parts", metavar="PART...", nargs=-1, required=True)
def merge(out: str, parts: tuple[str, ...], as_json: bool) -> None:
    """Join the stores PART... in the store OUT.

    For extractions whose processes could not write to one store (`gradstore extract --part`): each store
    brings the chunks and directions that it has, and what becomes complete is finished. OUT may exist, and
    keeps what it has. Interrupt it whenever you like; the same command line continues.

    \b
    Examples:
      gradstore store merge grads.zarr part-1.zarr part-2.zarr part-3.zarr
    """
    from gradstore.store import merge as join

    reports = join(out, parts, progress=console.progress, log=console.log)
    console.emit_json(reports) if as_json else console.emit(_merged(reports))


def _merged(reports: list[MergeReport]) -> str:
    header = ("checkpoint", "data set", "rows", "chunks", "copied", "finished", "missing")
    lines = [
        (
            report.checkpoint,
            report.name,
            console.count(report.rows),
            console.count(report.chunks),
            console.count(report.copied),
            ", ".join(report.directions) or "none",
            ", ".join(f"{name} {console.count(number)}" for name, number in report.missing.items()) or "none",
        )
        for report in reports
    ]
    return console.table(header, lines, right=("rows", "chunks", "copied"))


@command.command("import")
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
def import_(
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
