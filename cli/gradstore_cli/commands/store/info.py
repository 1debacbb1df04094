"""``gradstore store info``."""

from __future__ import annotations

import click

from gradstore_cli import console
from gradstore_cli.options import Command, store_argument


@click.command("info", cls=Command)
@store_argument
def command(store: str, as_json: bool) -> None:
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
