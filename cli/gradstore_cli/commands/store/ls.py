"""``gradstore store ls``."""

from __future__ import annotations

import click

from gradstore_cli import console
from gradstore_cli.options import Command, store_argument


@click.command("ls", cls=Command)
@store_argument
def command(store: str, as_json: bool) -> None:
    """List checkpoints, data sets, graphs and selections.

    \b
    Examples:
      gradstore store ls grads.zarr
      gradstore store ls grads.zarr --json
    """
    from gradstore.store import open_store

    opened = open_store(store)
    console.emit_json(opened.info()) if as_json else console.emit(repr(opened))
