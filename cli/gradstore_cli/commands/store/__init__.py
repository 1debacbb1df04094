"""``gradstore store``: one module for each of its commands."""

from __future__ import annotations

import click

from gradstore_cli.options import Group

COMMANDS = (
    "new",
    "ls",
    "info",
    "verify",
    "merge",
    "convert",
    "import",
    "export",
    "push",
    "pull",
    "rm",
    "card",
)


@click.group("store", cls=Group, package=__name__, names=COMMANDS)
def command() -> None:
    """Look into a store; check, share, join and convert stores.

    \b
    Examples:
      gradstore store ls grads.zarr
      gradstore store verify grads.zarr
    """
