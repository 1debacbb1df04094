"""``gradstore demo``: the whole way on a model and data made on the spot."""

from __future__ import annotations

from pathlib import Path

import click

from gradstore_cli import console
from gradstore_cli.options import Command, seed_option


@click.command("demo", cls=Command)
@click.option(
    "--out",
    default="gradstore-demo",
    show_default=True,
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Folder for everything that the demo makes.",
)
@seed_option("model and data")
def command(out: Path, seed: int, as_json: bool) -> None:
    """Try every step on a small model and data made on the spot.

    \b
    Examples:
      gradstore demo
      gradstore demo --out another-demo --seed 1
    """
    from gradstore.demo import run_demo

    result = run_demo(out, seed=seed, progress=console.progress, log=console.log)
    console.emit_json(result) if as_json else console.emit(str(result))
