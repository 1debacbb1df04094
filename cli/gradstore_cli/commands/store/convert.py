"""``gradstore store convert``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gradstore_cli import completers, console
from gradstore_cli.options import COMPRESSIONS, DIRECTIONS, ENCODINGS, Command, store_argument

if TYPE_CHECKING:
    from gradstore.sharing import ConvertReport


@click.command("convert", cls=Command)
@store_argument
@click.argument("out", metavar="OUT", shell_complete=completers.folders)
@click.option(
    "--to",
    required=True,
    type=click.Choice(ENCODINGS),
    metavar="NAME",
    help=f"Number format of OUT: {', '.join(ENCODINGS)}.",
)
@click.option(
    "--compression",
    type=click.Choice(COMPRESSIONS),
    default="none",
    show_default=True,
    metavar="NAME",
    help=f"Of the rows, without loss: {', '.join(COMPRESSIONS)}. Slower to read.",
)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    metavar="NAME",
    shell_complete=completers.data_sets,
    show_default="all",
    help="Data set; repeatable.",
)
@click.option(
    "--direction",
    "directions",
    multiple=True,
    type=click.Choice(DIRECTIONS),
    metavar="NAME",
    shell_complete=completers.directions,
    show_default="all",
    help="Stored direction; repeatable.",
)
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="NAME",
    shell_complete=completers.checkpoints,
    show_default="all",
    help="Checkpoint; repeatable.",
)
def command(store: str, out: str, as_json: bool, **options: Any) -> None:
    """Write STORE to OUT with its rows in another number format.

    OUT is another store; STORE stays as it is. OUT may exist, and keeps what it has. Graphs and selections are
    not taken along: build them anew. Interrupt it whenever you like; the same command line continues.

    \b
    Examples:
      gradstore store convert grads.zarr small.zarr --to int4
      gradstore store convert grads.zarr tiny.zarr --to sign --dataset pool --direction adam
      gradstore store convert grads.zarr archive.zarr --to int8 --compression blosc
    """
    from gradstore.sharing import convert

    reports = convert(store, out, progress=console.progress, log=console.log, **options)
    console.emit_json(reports) if as_json else console.emit(_converted(reports))


def _converted(reports: list[ConvertReport]) -> str:
    header = (
        "data set",
        "direction",
        "rows",
        "from",
        "to",
        "before",
        "after",
        "Spearman",
        "top 1 %",
        "missing",
    )
    lines = [
        (
            f"{report.checkpoint}/{report.name}",
            report.direction,
            console.count(report.rows),
            report.encoding_before,
            report.encoding + (f" {report.compression}" if report.compression != "none" else ""),
            *("" if size is None else console.size(size) for size in (report.bytes_before, report.bytes)),
            f"{report.fidelity['spearman']:.4f}" if report.fidelity else "",
            f"{report.fidelity['top1']:.1%}" if report.fidelity and "top1" in report.fidelity else "",
            f"{report.missing} of {report.chunks} chunks" if report.missing else "none",
        )
        for report in reports
    ]
    return console.table(header, lines, right=("rows", "before", "after", "Spearman", "top 1 %"))
