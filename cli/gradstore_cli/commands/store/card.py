"""``gradstore store card``."""

from __future__ import annotations

import click

from gradstore_cli import console
from gradstore_cli.options import Command, store_argument


@click.command("card", cls=Command)
@store_argument
def command(store: str, as_json: bool) -> None:
    """Bring a store's README.md and index.json up to date.

    Commands that change a store do so by themselves; this is for stores that were changed otherwise.

    \b
    Examples:
      gradstore store card grads.zarr
    """
    from gradstore.sharing import write_card
    from gradstore.sharing.card import CARD
    from gradstore.sharing.listing import INDEX
    from gradstore.store import open_store

    opened = open_store(store)
    changed = write_card(opened)
    files = [opened.folder.where(name) for name in (CARD, INDEX)]
    if as_json:
        console.emit_json({"changed": changed, "files": files})
    else:
        console.emit("\n".join(files))
        console.say("updated" if changed else "up to date already")
