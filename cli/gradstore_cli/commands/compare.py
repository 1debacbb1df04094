"""``gradstore compare``: selections side by side."""

from __future__ import annotations

from typing import Any

import click

from gradstore_cli import console
from gradstore_cli.options import Command, store_argument


@click.command("compare", cls=Command)
@store_argument
@click.argument("selections", nargs=-1, required=True, metavar="SELECTION...")
def command(store: str, selections: tuple[str, ...], as_json: bool) -> None:
    """Show what selections have in common and are made of.

    \b
    Examples:
      gradstore compare grads.zarr less-gsm8k g2is-gsm8k random
      gradstore compare grads.zarr less-gsm8k less-bbh --json
    """
    from gradstore.select.compare import compare
    from gradstore.store import open_store

    found = compare(open_store(store), selections)
    console.emit_json(found) if as_json else console.emit("\n\n".join(filter(None, _tables(found))))


def _tables(found: dict[str, Any]) -> list[str]:
    return [_lengths(found), _scores(found), _sources(found), _pairs(found)]


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


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
