"""``gradstore store merge``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gradstore_cli import completers, console
from gradstore_cli.options import Command, storage_option

if TYPE_CHECKING:
    from gradstore.sharing import MergeReport


@click.command("merge", cls=Command)
@click.argument("out", metavar="OUT", shell_complete=completers.folders)
@click.argument("parts", metavar="PART...", nargs=-1, required=True, shell_complete=completers.folders)
@storage_option
def command(out: str, parts: tuple[str, ...], as_json: bool) -> None:
    """Join the stores PART... in the store OUT.

    For extractions whose processes could not write to one store (`gradstore extract --part`): each store
    brings the chunks and directions that it has, and what becomes complete is finished. OUT may exist, and
    keeps what it has. Interrupt it whenever you like; the same command line continues.

    \b
    Examples:
      gradstore store merge grads.zarr part-1.zarr part-2.zarr part-3.zarr
    """
    from gradstore.sharing import merge as join

    reports = join(out, parts, progress=console.progress, log=console.log)
    console.emit_json(reports) if as_json else console.emit(_merged(reports))


def _merged(reports: list[MergeReport]) -> str:
    header = ("checkpoint", "data set", "rows", "chunks", "copied", "finished", "missing")
    lines = [
        (
            report.checkpoint,
            report.name,
            console.count(report.rows),
            console.count(report.chunks),
            console.count(report.copied),
            ", ".join(report.directions) or "none",
            ", ".join(f"{name} {console.count(number)}" for name, number in report.missing.items()) or "none",
        )
        for report in reports
    ]
    return console.table(header, lines, right=("rows", "chunks", "copied"))
