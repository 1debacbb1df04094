"""``gradstore store pull``."""

from __future__ import annotations

from typing import Any

import click

from gradstore_cli import completers, console
from gradstore_cli.options import Command, storage_option
from gradstore_cli.transfer import transfer_options, transfer_text


@click.command("pull", cls=Command)
@click.argument("source", metavar="SOURCE", shell_complete=completers.folders)
@click.argument("out", metavar="OUT", shell_complete=completers.folders)
@storage_option
@transfer_options
def command(source: str, out: str, as_json: bool, **options: Any) -> None:
    """Copy a store, or part of it, from elsewhere to a folder.

    Everything is checked when it arrives. OUT may be a store, and keeps what it has. Interrupt it whenever you
    like: nothing shows that is not whole, and the same command line continues.

    \b
    Examples:
      gradstore store pull s3://bucket/grads.zarr grads.zarr
      gradstore store pull https://example.org/grads.zarr grads.zarr --dataset pool
      gradstore store pull hf://datasets/team/grads grads.zarr --dry-run
    """
    from gradstore.sharing import pull

    report = pull(source, out, **options, progress=console.progress, log=console.log)
    console.emit_json(report) if as_json else console.emit(transfer_text(report, options["dry_run"]))
