"""What a selection is worth: train on it, and look at the loss on the target's held-out rows.

    python benchmarks/quality.py STORE --model BASE --test gsm8k=gsm8k_test.jsonl --test bbh=bbh_test.jsonl.gz \
        --results FILE.jsonl [--fraction 0.01] [--steps 128] [--lr 3e-4] [--seeds 5] [--choice less …]

For each seed, each choice and each target: select, train a fresh LoRA adapter of the base model on the picks for the
same number of steps of 16 rows, and take the mean loss of the target's test rows. The seed decides the selector's
draws, the adapter's first values and the order of the rows. Every result is a line of the results file; what is in
it already is not done again, so that the benchmark may be stopped, and continued by several processes (--part 1/2).

A choice is ``SELECTOR[@DIRECTION][/GRAPH][:NAME=VALUE,…]``, such as ``less@precond:aggregate=mean``; the graph is
``exact`` unless named. ``base`` is the model without training, ``all`` the whole pool. Everything runs through the
public functions; a trained adapter's loss is read from an extraction of the test rows.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import gradstore

CHOICES = (
    "random",
    "less:aggregate=mean",
    "round-robin",
    "g2is",
    "g2is:preset=authors",
    "rds",
    "less",
    "bids",
    "gist",
    "tsds",
    "d2",
    "round-robin@precond",
    "less@precond:aggregate=mean",
    "round-robin@sgd",
    "less@sgd:aggregate=mean",
    "g2is@precond",
    "round-robin:center=true",
    "less:aggregate=mean,center=true",
    "tagcos",
    "all",
)
NO_TARGET = ("random", "tagcos", "all", "base")
BATCH = 16
TRAINING: dict[str, Any] = {"lora_r": 8, "lora_alpha": 16, "batch_size": BATCH, "max_length": 1024}


def spread(path: Path, rows: int, into: Path) -> Path:
    """Evenly spread rows of a jsonl file."""
    read = gzip.open if path.suffix == ".gz" else open
    with read(path, "rt", encoding="utf-8") as file:
        lines = file.readlines()
    into.write_text("".join(lines[:: max(1, len(lines) // rows)][:rows]), encoding="utf-8")
    return into


def loss_of(checkpoint: Path, test: Path, folder: Path) -> float:
    gradstore.extract(
        folder, checkpoints=[checkpoint], data=test, name="test", directions=["sgd"], dim=64, max_length=1024
    )
    stored = gradstore.open(folder).dataset("test")
    return float(np.mean(stored.loss[stored.valid]))


def chosen_rows(options: argparse.Namespace, choice: str, target: str, seed: int) -> list[dict[str, Any]]:
    selection, _, rest = choice.partition(":")
    selection, _, graph = selection.partition("/")
    selector, _, direction = selection.partition("@")
    picked = gradstore.select(
        options.store,
        selector="random" if selector == "all" else selector,
        target=None if choice in NO_TARGET else target.split("+"),
        budget=1.0 if selector == "all" else options.fraction,
        params=dict(pair.split("=") for pair in rest.split(",") if pair),
        direction=direction or None,
        graph=graph or "exact",
        seed=seed,
        name=f"quality-{options.part[0]}",
    )
    return picked.nodes.records([int(row) for row in picked.selection.picks])


def drilled(rows: list[dict[str, Any]], count: int, seed: int, into: Path) -> Path:
    """`count` rows for one pass: all of `rows` in a new order, again and again."""
    order = random.Random(seed)  # noqa: S311
    passes = (order.sample(rows, len(rows)) for _ in itertools.count())
    drawn = itertools.islice(itertools.chain.from_iterable(passes), count)
    with into.open("w", encoding="utf-8") as file:
        for place, row in enumerate(drawn):
            file.write(json.dumps({**row, "id": f"{place}"}) + "\n")
    return into


def tuned(
    options: argparse.Namespace, choice: str, target: str, seed: int, tests: dict[str, Path]
) -> dict[str, float]:
    """Loss of each test after training on a choice."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        rows = chosen_rows(options, choice, target, seed)
        data = drilled(rows, BATCH * options.steps, seed, here / "rows.jsonl")
        checkpoints = gradstore.warmup(
            model=options.model,
            data=data,
            out=here / "run",
            fraction=1.0,
            epochs=1,
            seed=seed,
            lr=options.lr,
            **TRAINING,
        )
        return {name: loss_of(checkpoints[-1], test, here / f"{name}.zarr") for name, test in tests.items()}


def jobs(options: argparse.Namespace, tests: dict[str, Path]) -> list[tuple[int, str, str]]:
    """(seed, choice, target), the first seed of all choices first; a choice without target serves all of them."""
    targets = [*tests, "+".join(tests)] if len(tests) > 1 else [*tests]
    return [
        (seed, choice, target)
        for seed in range(options.seeds)
        for choice in options.choice or CHOICES
        for target in ([""] if choice in NO_TARGET else targets)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--test", action="append", required=True, metavar="TARGET=FILE")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--choice", action="append", metavar="SELECTOR[@DIRECTION][/GRAPH][:NAME=VALUE,…]")
    parser.add_argument("--fraction", type=float, default=0.01)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--test-rows", type=int, default=300)
    parser.add_argument("--part", default="1/1", metavar="K/N")
    options = parser.parse_args()
    own, parts = map(int, options.part.split("/"))
    with tempfile.TemporaryDirectory() as folder:
        pairs = [test.partition("=") for test in options.test]
        tests = {
            name: spread(Path(path), options.test_rows, Path(folder) / f"{name}.jsonl")
            for name, _, path in pairs
        }
        for number, (seed, choice, target) in enumerate(jobs(options, tests)):
            key = {
                "choice": choice,
                "target": target,
                "seed": seed,
                "fraction": options.fraction,
                "steps": options.steps,
                "lr": options.lr,
            }
            known = options.results.read_text().splitlines() if options.results.exists() else []
            if number % parts != own - 1 or any(key.items() <= json.loads(line).items() for line in known):
                continue
            wanted = {name: test for name, test in tests.items() if not target or name in target.split("+")}
            losses = tuned(options, choice, target, seed, wanted)
            line = json.dumps({**key, "loss": losses})
            with options.results.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            print(line, flush=True)


if __name__ == "__main__":
    main()
