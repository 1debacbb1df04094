"""The demo's fixed choices, where it keeps things, and its steps as a user types them."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradstore.demo.skills import TARGET
from gradstore.errors import UsageError

__all__ = ["FRACTION", "SELECTORS", "TRAINING", "Places", "commands", "fresh"]

SELECTORS = ("random", "less", "g2is")
FRACTION = 0.05
TRAINING: dict[str, Any] = {
    "fraction": 0.05,
    "epochs": 2,
    "lr": 1e-3,
    "lora_r": 8,
    "lora_alpha": 32,
    "batch_size": 16,
}
MARK = ".gradstore-demo"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the demo keeps what it makes."""

    folder: Path

    @property
    def model(self) -> Path:
        """Base model."""
        return self.folder / "model"

    @property
    def pool(self) -> Path:
        """Rows to choose from."""
        return self.folder / "pool.jsonl"

    @property
    def target(self) -> Path:
        """Rows to choose for."""
        return self.folder / f"{TARGET.name}.jsonl"

    @property
    def run(self) -> Path:
        """Checkpoints of the warm-up."""
        return self.folder / "run"

    @property
    def store(self) -> Path:
        """Gradients, graph and selections."""
        return self.folder / "grads.zarr"

    @property
    def again(self) -> Places:
        """Where the steps write when a user repeats them."""
        return Places(self.folder / "again")

    def picked(self, selector: str) -> Path:
        """Rows chosen by one selector."""
        return self.folder / f"picked-{selector}.jsonl"


def fresh(folder: Path) -> Places:
    """The folder without an earlier demo's results; nothing else is ever removed.

    Raises
    ------
    UsageError
        If it holds something that is not an earlier demo's.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARK).is_file())):
        raise UsageError(
            f"{folder}: holds other things than an earlier demo; give another folder with `--out`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    at = Places(folder)
    for made in (at.model, at.run, at.store, at.again.folder):
        shutil.rmtree(made, ignore_errors=True)
    return at


def commands(at: Places, seed: int) -> list[str]:
    """The steps for a shell, writing to a folder beside the demo's own results."""
    again, target = at.again, TARGET.name
    training = [text for key, value in TRAINING.items() for text in (f"--{key.replace('_', '-')}", value)]
    extract = ["extract", again.store, "--checkpoint", again.run]
    steps: list[list[Any]] = [
        ["warmup", "--model", at.model, "--data", at.pool, "--out", again.run, *training, "--seed", seed],
        [*extract, "--data", at.pool, "--name", "pool"],
        [*extract, "--data", at.target, "--name", target, "--target"],
        ["graph", again.store, "--seed", seed],
    ]
    for selector in SELECTORS:
        options = ["--selector", selector, "--target", target, "--fraction", FRACTION, "--seed", seed]
        steps.append(["select", again.store, *options, "-o", again.picked(selector)])
    return [shlex.join([_program(), *map(str, step)]) for step in steps]


def _program() -> str:
    """What starts gradstore in the user's shell: its name, or its path if the name finds another or none."""
    here = Path(sys.executable).parent / "gradstore"
    found = shutil.which("gradstore")
    return "gradstore" if found and Path(found).absolute() == here.absolute() else os.path.relpath(here)
