"""What a command costs before it does anything: CPU-seconds, seconds, and the heavy libraries it imports.

python benchmarks/startup.py [--repeats 7]

`extract` runs on 16 rows of a tiny random model, and does its work.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import gradstore

sys.path.insert(0, str(Path(__file__).parent / "extraction"))
from workload import random_workload

NEW = "a store that does not exist yet"
HEAVY = ("torch", "transformers", "peft", "datasets", "zarr", "numpy", "hnswlib")
PROBE = f"""
import sys
from gradstore_cli.main import main
try:
    main()
finally:
    print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


def make_store(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    for name, rows, target in (("pool", 1000, False), ("goal", 20, True)):
        gradients = draw.standard_normal((rows, 512)).astype(np.float32)
        records = [{"text": f"{name} {i}"} for i in range(rows)]
        gradstore.import_arrays(folder, name=name, gradients=gradients, rows=records, target=target)
    gradstore.build_graph(folder)
    return folder


def measured(arguments: list[str]) -> tuple[float, float, str]:
    before, started = os.times(), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=False
    )
    after, wall = os.times(), time.monotonic() - started
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return spent, wall, done.stderr.splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        store = str(make_store(Path(folder) / "s.zarr"))
        picked = str(Path(folder) / "picked.jsonl")
        tiny = random_workload(Path(folder) / "tiny", 16, hidden=64, layers=2, longest=64)
        rows = str(tiny.file(16))
        select = ["select", store, "--target", "goal", "-n", "10", "-o", picked, "--selector"]
        extract = ["extract", NEW, "--checkpoint", str(tiny.checkpoint), "--data", rows, "--name", "rows"]
        commands = {
            "gradstore --help": ["--help"],
            "gradstore extract --help": ["extract", "--help"],
            "gradstore extract (16 rows)": extract,
            "gradstore store ls": ["store", "ls", store],
            "gradstore select (less)": [*select, "less"],
            "gradstore select (g2is)": [*select, "g2is"],
        }
        print(f"{'command':<28}{'CPU-seconds':>12}{'seconds':>9}   imports")
        for name, arguments in commands.items():
            runs = []
            for repeat in range(repeats):
                fresh = str(Path(folder) / f"{repeat}.zarr")
                runs.append(measured([fresh if word == NEW else word for word in arguments]))
            cpu, wall = (statistics.median(run[i] for run in runs) for i in (0, 1))
            print(f"{name:<28}{cpu:>12.2f}{wall:>9.2f}   {runs[0][2] or '-'}")


if __name__ == "__main__":
    main()
