"""``gradstore report``: a page to look at, and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gradstore_cli import completers, console
from gradstore_cli.options import Command, seed_option, store_argument

PAGE = "report.html"


@click.command("report", cls=Command)
@store_argument
@click.option(
    "--selection",
    "selections",
    multiple=True,
    metavar="NAME",
    show_default="all",
    shell_complete=completers.selections,
    help="Selection to show; repeatable.",
)
@click.option(
    "--graph",
    metavar="NAME",
    show_default="default, or the only one",
    shell_complete=completers.graphs,
    help="Graph to draw.",
)
@click.option(
    "-o",
    "--output",
    "out",
    metavar="FILE.html",
    type=click.Path(path_type=Path),
    show_default=f"{PAGE}, unless --png is given",
    help="Where to write the page.",
)
@click.option(
    "--png",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write the figures as pictures into this folder.",
)
@click.option("--no-texts", is_flag=True, help="Leave the texts of the rows out of the page.")
@seed_option("the map")
def command(
    store: str,
    selections: tuple[str, ...],
    graph: str | None,
    out: Path | None,
    png: Path | None,
    no_texts: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Show a store, its graph and selections on one page.

    The page is a single file that needs no network: scores, composition, a map of the graph where every row can be
    opened, overlap, lengths, quality and provenance. Install what it needs with pip install 'gradstore[report]'.

    \b
    Examples:
      gradstore report grads.zarr
      gradstore report grads.zarr --selection less-gsm8k --selection g2is-gsm8k -o gsm8k.html
      gradstore report grads.zarr --png figures
      gradstore report s3://team-a/grads.zarr --no-texts --json
    """
    from gradstore.report import report

    page = out or (None if png else Path(PAGE))
    found = report(
        store,
        page,
        png=png,
        selections=list(selections) or None,
        graph=graph,
        texts=not no_texts,
        seed=seed,
        progress=console.progress,
    )
    for note in found["notes"]:
        console.warn(note)
    console.emit_json(found) if as_json else console.emit(_text(found))


def _text(found: dict[str, Any]) -> str:
    count = console.count
    return console.facts(
        {
            "page": f"{found['page']} ({console.size(found['bytes'])})" if found["page"] else "",
            "pictures": ", ".join(found["pictures"]),
            "rows": f"{count(found['rows'])}, {count(found['nodes'])} of them on the map",
            "graph": found["graph"] or "none: gradstore graph builds one",
            "selections": ", ".join(found["selections"]) or "none: gradstore select makes one",
        }
    )
