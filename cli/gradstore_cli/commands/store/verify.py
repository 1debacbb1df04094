"""``gradstore store verify``."""

from __future__ import annotations

import click

from gradstore_cli import console
from gradstore_cli.options import Command, store_argument


@click.command("verify", cls=Command)
@store_argument
@click.pass_context
def command(ctx: click.Context, store: str, as_json: bool) -> None:
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
