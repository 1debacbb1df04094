"""What needs no gradients to be computed needs no torch either, from vectors in a file to a selection and back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

WITHOUT = """
import sys

for name in ("torch", "transformers", "peft", "datasets", "accelerate"):
    sys.modules[name] = None
from click.testing import CliRunner
from gradstore_cli.main import cli

for line in sys.stdin.read().splitlines():
    done = CliRunner().invoke(cli, line.split())
    if done.exit_code:
        sys.exit(f"{line}: {done.output}")
"""
COMMANDS = """\
store import grads.zarr pool.npy --name pool
store import grads.zarr goal.npy --name goal --target
graph grads.zarr -m 4
select grads.zarr --selector g2is --target goal -n 5 -o picked.txt
select grads.zarr --selector less --target goal -n 5 -o less.txt
compare grads.zarr g2is-goal less-goal
store verify grads.zarr
store export grads.zarr out --dataset pool --format npy
store push grads.zarr copy.zarr
store new mine.zarr --on copy.zarr
store merge both.zarr grads.zarr
doctor mine.zarr
selectors
env
"""


def test_everything_but_extraction_works_without_torch(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for name, rows in (("pool", 40), ("goal", 5)):
        np.save(tmp_path / f"{name}.npy", draw.normal(size=(rows, 8)).astype(np.float32))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        input=COMMANDS,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "picked.txt").read_text().split()) == 5
