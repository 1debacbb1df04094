"""Rows in a form of one's own, cleaned for choosing: ``python own_dataset.py BASE FOLDER``.

A support desk keeps questions and answers in a CSV file. Each becomes a conversation with an id that is its own, and a
source to count by; those that the target set was made of stay out of the choice.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import gradstore
from gradstore.gradients import show
from gradstore.select import Limits

TEAMS = {
    "billing": ("How do I pay order {n}?", "Open order {n} and choose Pay. You get a receipt by mail."),
    "shipping": (
        "Where is parcel {n}?",
        "Parcel {n} left our store; the link in your mail shows where it is.",
    ),
    "returns": ("Can I send item {n} back?", "Yes. Print the label of item {n} and bring it to a shop."),
}


def write_csv(path: Path) -> None:
    """The file as the desk has it; one answer is missing."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["ticket", "team", "question", "answer"])
        for n in range(40):
            for team, (question, answer) in TEAMS.items():
                empty = (team, n) == ("billing", 3)
                table.writerow(
                    [f"{team}-{n}", team, question.format(n=n), "" if empty else answer.format(n=n)]
                )


def conversation(ticket: Mapping[str, str]) -> dict[str, Any]:
    """A ticket as a row: the assistant's turn is what is learned; one that nobody answered has none."""
    turns = [("user", ticket["question"]), ("assistant", ticket["answer"])]
    return {
        "id": ticket["ticket"],
        "dataset": ticket["team"],
        "messages": [{"role": role, "content": content} for role, content in turns if content],
    }


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def main(base: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "tickets.csv")
    with (folder / "tickets.csv").open(newline="") as file:
        rows = [conversation(ticket) for ticket in csv.DictReader(file)]
    pool = write_rows(folder / "pool.jsonl", rows)
    # What the model shall learn: a few good answers of one team.
    target = write_rows(folder / "returns.jsonl", [row for row in rows if row["dataset"] == "returns"][:5])

    checkpoints = gradstore.warmup(
        model=base, data=pool, out=folder / "run", fraction=0.3, epochs=1, lora_r=4, lora_alpha=8
    )
    store = folder / "grads.zarr"
    # Look before computing: brackets stand around what is learned.
    print(show(store, checkpoints=checkpoints, data=pool, count=1)[0])

    job = {"checkpoints": checkpoints, "dim": 512}
    (report,) = gradstore.extract(store, data=pool, name="pool", **job)
    gradstore.extract(store, data=target, name="returns", target=True, **job)
    print(f"{report.rows} rows, {report.valid} of them with a gradient")
    stored = gradstore.open(store).dataset("pool", checkpoints[-1].name)
    for row_id, reason in zip(stored.ids, stored.reasons, strict=True):
        if reason:
            print(f"  {row_id}: {reason}")

    asked = [row["id"] for row in rows if row["dataset"] == "returns"][:5]
    picked = gradstore.select(
        store,
        selector="less",
        target="returns",
        budget=20,
        limits=Limits(exclude=asked, per_source=0.6),  # no row of the target, at most 12 of one team
    )
    picked.write(folder / "picked.jsonl")
    for part in picked.composition():
        print(f"{part.source:<9} {part.chosen:>3} of {len(picked)}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
