"""Options of ``gradstore store push`` and ``pull``, and what they print."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gradstore_cli import completers, console
from gradstore_cli.options import DIRECTIONS

if TYPE_CHECKING:
    from gradstore.sharing import TransferReport

__all__ = ["transfer_options", "transfer_text"]

Function = TypeVar("Function", bound=Callable[..., Any])

FOLDERS_SHOWN = 3


def _some(_ctx: click.Context, _param: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...] | None:
    return names or None


def transfer_options(function: Function) -> Function:
    """Add the options that say what is copied."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Print what would be copied, and stop."),
        click.option("--no-artefacts", "artefacts", is_flag=True, callback=lambda _ctx, _param, value: not value,
                     help="Leave graphs and selections out."),
        click.option("--direction", "directions", multiple=True, type=click.Choice(DIRECTIONS), metavar="NAME",
                     shell_complete=completers.directions,
                     callback=_some, show_default="all", help="Direction to copy; repeatable."),
        click.option("--dataset", "datasets", multiple=True, metavar="NAME", callback=_some, show_default="all",
                     shell_complete=completers.data_sets, help="Data set to copy; repeatable."),
        click.option("--checkpoint", "checkpoints", multiple=True, metavar="NAME", callback=_some,
                     shell_complete=completers.checkpoints, show_default="all", help="Checkpoint to copy; repeatable."),
    ):  # fmt: skip
        function = option(function)
    return function


def transfer_text(report: TransferReport, dry_run: bool) -> str:
    """A table with a line for each data set, and below it the sums."""
    lines = [
        (
            each["checkpoint"],
            each["name"],
            ", ".join(each["directions"]),
            ("to copy" if dry_run else "copied") if each["new"] else "there already",
        )
        for each in report.datasets
    ]
    missing = f"{console.count(report.files_missing)} files, {console.size(report.bytes_missing)}"
    folders = [f"{name} {console.count(entries)}" for name, entries in report.folders[:FOLDERS_SHOWN]]
    facts = {
        "from": report.source,
        "to": report.destination,
        "asked for": f"{console.count(report.files)} files, {console.size(report.bytes)}",
        "to copy" if dry_run else "copied": missing,
        "graphs and selections": ", ".join(report.artefacts),
        "largest folders": ", ".join(folders) if dry_run else "",
    }
    table = console.table(("checkpoint", "data set", "directions", "state"), lines)
    return "\n".join([table, "", console.facts(facts), *(f"warning: {each}" for each in report.warnings)])
