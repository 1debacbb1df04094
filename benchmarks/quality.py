"""What a selection is worth: train on it, and look at the loss on the target's held-out rows.

    python benchmarks/quality.py STORE --model BASE --test gsm8k=gsm8k_test.jsonl [--test bbh=bbh_test.jsonl.gz]
        [--fraction 0.01] [--epochs 4] [--test-rows 300] [--choice less ...] [--json FILE]

For each target and each choice: select, train a fresh LoRA adapter of the base model on the picks, and take the mean
loss of test rows. A choice is ``SELECTOR[@DIRECTION][/GRAPH][:NAME=VALUE,…]``, such as ``less@precond:aggregate=mean``;
the graph is that of the direction's name, or ``default``.
Everything runs through the public functions; a trained adapter's loss is read from an extraction of the test rows.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from pathlib import Path

import numpy as np

import gradstore

CHOICES = ("random", "less:aggregate=mean", "less", "g2is:preset=authors", "g2is")
TRAINING = {"lr": 1e-3, "lora_r": 8, "lora_alpha": 16, "batch_size": 16, "max_length": 1024}


def head(path: Path, rows: int, into: Path) -> Path:
    """The first rows of a jsonl file, or evenly spread ones where the file is sorted by subtask."""
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


def tuned_loss(
    store: Path, model: str, choice: str, target: str, test: Path, options: argparse.Namespace
) -> float:
    selection, _, rest = choice.partition(":")
    selection, _, graph = selection.partition("/")
    selector, _, direction = selection.partition("@")
    params = dict(pair.split("=") for pair in rest.split(",") if pair)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        picked = gradstore.select(
            store,
            selector=selector,
            target=target,
            budget=options.fraction,
            params=params,
            direction=direction or None,
            graph=graph or direction or "default",
            seed=options.seed,
            name="quality",
        )
        picked.write(here / "picked.jsonl")
        checkpoints = gradstore.warmup(
            model=model,
            data=here / "picked.jsonl",
            out=here / "run",
            fraction=1.0,
            epochs=options.epochs,
            seed=options.seed,
            **TRAINING,
        )
        return loss_of(checkpoints[-1], test, here / "store")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--test", action="append", required=True, metavar="TARGET=FILE")
    parser.add_argument("--choice", action="append", metavar="SELECTOR[@DIRECTION][/GRAPH][:NAME=VALUE,…]")
    parser.add_argument("--fraction", type=float, default=0.01)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--test-rows", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for pair in options.test:
            target, _, path = pair.partition("=")
            test = head(Path(path), options.test_rows, Path(folder) / f"{target}.jsonl")
            for choice in options.choice or CHOICES:
                loss = tuned_loss(options.store, options.model, choice, target, test, options)
                found.setdefault(choice, {})[target] = loss
                print(f"{target:<8} {choice:<40} {loss:.4f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
