"""``gradstore store new``."""

from __future__ import annotations

import click

from gradstore_cli import completers, console
from gradstore_cli.options import Command, store_argument


@click.command("new", cls=Command)
@store_argument
@click.option(
    "--on",
    metavar="STORE",
    shell_complete=completers.folders,
    help="The store to lie on: a path or a URL; it is only read.",
)
def command(store: str, on: str | None, as_json: bool) -> None:
    """Create an empty store, or one of your own on another team's.

    With --on, the new store shows everything that the other has as if it were here: data sets,
    checkpoints and graphs. What you make (targets, graphs, selections) is written to yours.
    Should the other change in what it has now, that is noticed and refused.

    \b
    Examples:
      gradstore store new grads.zarr
      gradstore store new mine.zarr --on s3://team/tulu-grads
      gradstore extract mine.zarr --checkpoint store:checkpoint-100 --data bbh.jsonl \\
          --name bbh --target
      gradstore select mine.zarr --selector less --target bbh --fraction 0.01 -o picked.jsonl
    """
    from gradstore.store import new_store

    made = new_store(store, on=on)
    console.emit_json(made.info()) if as_json else console.emit(repr(made))
