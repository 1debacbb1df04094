"""``gradstore store push``."""

from __future__ import annotations

from typing import Any

import click

from gradstore_cli import completers, console
from gradstore_cli.options import Command, store_argument
from gradstore_cli.transfer import transfer_options, transfer_text


@click.command("push", cls=Command)
@store_argument
@click.argument("destination", metavar="DESTINATION", shell_complete=completers.folders)
@transfer_options
def command(store: str, destination: str, as_json: bool, **options: Any) -> None:
    """Copy a store, or part of it, to a bucket, a hub or a folder.

    What is finished is copied and checked. DESTINATION may be a store, and keeps what it has; what is there
    already is not sent. Interrupt it whenever you like: nothing shows that is not whole, and the same command
    line continues. A store that lies on another (`gradstore store new --on`) is copied with what it shows of
    that. To the Hugging Face Hub, a new repository is private.

    \b
    Examples:
      gradstore store push grads.zarr s3://bucket/grads.zarr
      gradstore store push grads.zarr s3://bucket/grads.zarr --dataset pool --direction adam
      gradstore store push grads.zarr hf://datasets/team/grads --dry-run
    """
    from gradstore.sharing import push

    report = push(store, destination, **options, progress=console.progress, log=console.log)
    console.emit_json(report) if as_json else console.emit(transfer_text(report, options["dry_run"]))
