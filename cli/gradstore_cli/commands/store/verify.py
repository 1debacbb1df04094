"""``gradstore store verify``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from gradstore_cli import console
from gradstore_cli.options import Command, store_argument

if TYPE_CHECKING:
    from gradstore.inspection.repair import Repair


@click.command("verify", cls=Command)
@store_argument
@click.option(
    "--repair",
    "mend",
    is_flag=True,
    help="Put back damaged objects, and let damaged chunks of unfinished data sets be computed again.",
)
@click.option(
    "--from",
    "source",
    metavar="OTHER",
    help="Store that has the damaged objects whole: a copy, or one made by the same extraction.",
)
@click.pass_context
def command(ctx: click.Context, store: str, mend: bool, source: str | None, as_json: bool) -> None:
    """Check every object: its checksum, and whether its content can be.

    Exits with 4 if something is wrong, after listing what. Of an overlay its own content is read, and its base, which
    may be a large download, is only compared with what it was: the command that checks it is printed. --repair
    changes nothing that is whole: an object is replaced only by the very bytes that its manifest tells.

    \b
    Examples:
      gradstore store verify grads.zarr
      gradstore store verify grads.zarr --json
      gradstore store verify grads.zarr --repair --from backup/grads.zarr
    """
    if source is not None and not mend:
        raise click.UsageError("--from goes with --repair", ctx)
    if mend:
        from gradstore.inspection.repair import repair

        done = repair(store, source=source, progress=console.progress)
        problems = done.problems
        told, text = console.plain(done), _text(done)
    else:
        from gradstore.inspection import verify as find_problems

        problems = find_problems(store, progress=console.progress)
        told, text = {"problems": problems}, "\n".join(map(str, problems)) or "no problems"
    base = _base(store)
    if as_json:
        console.emit_json({"ok": not problems, **told, "base": base})
    else:
        console.emit(f"{text}\nthe base was not checked: `{base['command']}` does" if base else text)
    ctx.exit(4 if problems else 0)


def _base(location: str) -> dict[str, object] | None:
    """What an overlay lies on, and how that is checked."""
    from gradstore.store import open_store

    base = open_store(location).base
    if base is None:
        return None
    words = ["gradstore", "store", "verify", str(base.folder)]
    return {"location": str(base.folder), "checked": False, "command": shlex.join(words)}


def _text(done: Repair) -> str:
    lines = [f"{name} replaced" for name in done.replaced]
    lines += [f"{name} removed: `gradstore extract` computes the chunk again" for name in done.reopened]
    return "\n".join([*lines, *map(str, done.problems), *done.advice]) or "no problems"
