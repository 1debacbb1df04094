"""``gradstore store rm``."""

from __future__ import annotations

import sys

import click

from gradstore_cli import completers, console
from gradstore_cli.options import Command, store_argument


@click.command("rm", cls=Command)
@store_argument
@click.argument("what", metavar="WHAT", shell_complete=completers.places)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also if something in the store was made from it.")
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and stop.")
def command(store: str, what: str, yes: bool, force: bool, dry_run: bool, as_json: bool) -> None:
    """Remove something from a store for good.

    WHAT is CHECKPOINT, CHECKPOINT/DATASET, CHECKPOINT/DATASET/DIRECTION, graphs/NAME or selections/NAME.

    \b
    Examples:
      gradstore store rm grads.zarr checkpoint-100/pool
      gradstore store rm grads.zarr checkpoint-100/pool/sgd --yes
      gradstore store rm grads.zarr selections/g2is-gsm8k --dry-run
    """
    from gradstore.sharing import remove
    from gradstore.store import open_store

    opened = open_store(store)
    found = remove(opened, what, force=force, dry_run=True)
    if not dry_run:
        if not yes:
            remove_text = f"{what}: {console.count(found.files)} files, {console.size(found.bytes)}"
            _confirm(f"Remove {remove_text} from {opened.location}?")
        found = remove(opened, what, force=force)
    if as_json:
        console.emit_json(found)
        return
    used = f"; used by {', '.join(found.dependents)}" if found.dependents else ""
    state = "would remove" if dry_run else "removed"
    console.emit(f"{state} {what}: {console.count(found.files)} files, {console.size(found.bytes)}{used}")


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to be asked: give --yes to remove it")
    click.confirm(question, abort=True, err=True)
