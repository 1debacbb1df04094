"""``gradstore why``: what brought a row into a selection, or kept it out."""

from __future__ import annotations

from typing import Any

import click

from gradstore_cli import completers, console
from gradstore_cli.options import Command, positive, store_argument

__all__ = ["command", "explanation"]

_WIDTH = 60


@click.command("why", cls=Command)
@store_argument
@click.argument("selection", shell_complete=completers.selections)
@click.argument("row", metavar="ID")
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=completers.train_sets,
    help="Data set of the row, if several have one of that id.",
)
@click.option(
    "--nearest",
    type=positive,
    default=3,
    show_default=True,
    metavar="N",
    help="How many similar target rows and chosen rows to show.",
)
def command(store: str, selection: str, row: str, dataset: str | None, nearest: int, as_json: bool) -> None:
    """Tell what brought the row ID into SELECTION, or what kept it out.

    \b
    Examples:
      gradstore why grads.zarr less-gsm8k cot_gsm8k_1034
      gradstore why grads.zarr g2is-gsm8k t0_77 --nearest 10 --json
    """
    from gradstore.select.why import why
    from gradstore.store import open_store

    found = why(open_store(store), selection, row, dataset=dataset, nearest=nearest)
    console.emit_json(found) if as_json else console.emit(explanation(found))


def explanation(found: dict[str, Any]) -> str:
    """What `gradstore.select.why` returns, for people."""
    rank, twin = found["rank"], found["near_duplicate"]
    verdict = f"chosen as number {console.count(rank + 1)}" if rank is not None else found["verdict"]
    if twin:
        verdict = f"near-duplicate of the chosen row {twin['id']} (cosine {twin['cosine']:.3f})"
    score = ""
    if found["score"] is not None:
        score = f"{found['score']:.4g}, place {console.count(found['place'])} of {console.count(found['candidates'])}"
        if found["lowest_chosen"] is not None:
            score += f"; the lowest chosen has {found['lowest_chosen']:.4g}"
    facts = {
        "row": f"{found['id']} of {found['dataset']}, {found['source']}, {console.count(found['tokens'])} tokens",
        "text": found["text"],
        "verdict": f"{verdict}, by {found['selector']}",
        "serves": found["target"],
        "because": ", ".join(
            f"{name.replace('_', ' ')} {_figure(value)}" for name, value in found["because"].items()
        ),
        "score": score,
    }
    parts = [console.facts(facts)]
    for title, key in (("nearest target rows", "target_rows"), ("nearest chosen rows", "chosen_rows")):
        if found[key]:
            lines = [(f"{row['cosine']:.3f}", _name(row), _short(row["text"])) for row in found[key]]
            parts.append(console.table(("cosine", title, "text"), lines))
    return "\n\n".join(parts)


def _name(row: dict[str, Any]) -> str:
    more = [f"number {console.count(row['rank'] + 1)}"] if "rank" in row else []
    return ", ".join([row["id"], *([row["subtask"]] if row["subtask"] else []), *more])


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
