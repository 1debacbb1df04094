"""``gradstore compare``: selections side by side."""

from __future__ import annotations

from typing import Any

import click

from gradstore_cli import completers, console
from gradstore_cli.options import Command, store_argument


@click.command("compare", cls=Command)
@store_argument
@click.argument(
    "selections", nargs=-1, required=True, metavar="SELECTION...", shell_complete=completers.selections
)
@click.option(
    "--stability",
    is_flag=True,
    help="Make each choice again with another seed, each checkpoint alone, coarser encodings and fewer dimensions.",
)
@click.option(
    "--selector",
    metavar="FILE.py:CLASS",
    help="With --stability: the selector, if it is not installed.",
)
def command(
    store: str, selections: tuple[str, ...], stability: bool, selector: str | None, as_json: bool
) -> None:
    """Show what selections have in common and are made of.

    \b
    Examples:
      gradstore compare grads.zarr less-gsm8k g2is-gsm8k random
      gradstore compare grads.zarr less-gsm8k less-bbh --json
      gradstore compare grads.zarr g2is-gsm8k --stability
    """
    from gradstore.select import stability as varied
    from gradstore.select.compare import compare
    from gradstore.select.kept import load_kept
    from gradstore.store import open_store

    opened = open_store(store)
    if selector and not stability:
        raise click.UsageError("--selector belongs to --stability: nothing is chosen again without it")
    found = compare(opened, selections)
    if stability:
        given = {"selector": selector} if selector else {}
        found["stability"] = {
            name: varied(opened, load_kept(opened, name), progress=console.progress, **given)
            for name in selections
        }
    console.emit_json(found) if as_json else console.emit("\n\n".join(filter(None, _tables(found))))


def _tables(found: dict[str, Any]) -> list[str]:
    varied = [_stability(name, lines) for name, lines in found.get("stability", {}).items()]
    return [_lengths(found), _scores(found), _sources(found), _pairs(found), *varied]


def _lengths(found: dict[str, Any]) -> str:
    header = ("selection", "rows", "tokens", "tokens a row", "p10", "p50", "p90", "serves")
    everything = {"name": "the pool", "serves": {}, **found["pool"]}
    lines = [
        (
            each["name"],
            console.count(each["rows"]),
            console.count(each["tokens"]["total"]),
            f"{each['tokens']['mean']:.0f}",
            *(f"{each['tokens'].get(level, 0):.0f}" for level in ("p10", "p50", "p90")),
            ", ".join(f"{name} {console.count(rows)}" for name, rows in each["serves"].items()),
        )
        for each in (everything, *found["selections"])
    ]
    return console.table(header, lines, right=header[1:-1])


def _scores(found: dict[str, Any]) -> str:
    header = ("scores", "p10", "p50", "p90", "chosen p10", "p50 ", "p90 ")
    lines = [
        (
            each["name"],
            *(f"{part[level]:.4g}" for part in each["scores"].values() for level in ("p10", "p50", "p90")),
        )
        for each in found["selections"]
        if all(each["scores"].values())
    ]
    return console.table(header, lines, right=header[1:]) if lines else ""


def _sources(found: dict[str, Any]) -> str:
    header = ("source", "the pool", *(each["name"] for each in found["selections"]))
    lines = [
        (each["source"], console.percent(each["pool"]), *map(console.percent, each["selections"]))
        for each in found["sources"]
    ]
    return console.table(header, lines, right=header[1:])


def _pairs(found: dict[str, Any]) -> str:
    header = ("selections", "common rows", "Jaccard", "order corr.", "score corr.")
    lines = [
        (
            f"{each['first']}, {each['second']}",
            console.count(each["common"]),
            f"{each['jaccard']:.3f}",
            *(_or_dash(each[name]) for name in ("order_correlation", "score_correlation")),
        )
        for each in found["pairs"]
    ]
    return console.table(header, lines, right=header[1:]) if lines else ""


def _stability(name: str, lines: list[dict[str, Any]]) -> str:
    header = (f"{name}, with", "", "rows", "common rows", "Jaccard", "score corr.")
    cells = [
        (
            {
                "seed": "another seed",
                "checkpoint": "one checkpoint",
                "k": "fewer dimensions",
                "graph": "computed neighbours",
            }.get(each["varied"], each["varied"]),
            each["value"],
            *(("not possible", "-", "-", "-") if "refused" in each else _shared(each)),
        )
        for each in lines
    ]
    return console.table(header, cells, right=header[2:])


def _shared(line: dict[str, Any]) -> tuple[str, ...]:
    counts = (console.count(line["rows"]), console.count(line["common"]))
    return (*counts, f"{line['jaccard']:.3f}", _or_dash(line["score_correlation"]))


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
