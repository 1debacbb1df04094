"""What a command costs before it does anything: CPU-seconds, and the heavy libraries it imports.

python benchmarks/startup.py [--repeats 7]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import gradstore

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


def cpu_seconds(arguments: list[str]) -> tuple[float, str]:
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=False
    )
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return spent, done.stderr.splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        store = str(make_store(Path(folder) / "s.zarr"))
        picked = str(Path(folder) / "picked.jsonl")
        select = ["select", store, "--target", "goal", "-n", "10", "-o", picked, "--selector"]
        commands = {
            "gradstore --help": ["--help"],
            "gradstore extract --help": ["extract", "--help"],
            "gradstore store ls": ["store", "ls", store],
            "gradstore select (less)": [*select, "less"],
            "gradstore select (g2is)": [*select, "g2is"],
        }
        print(f"{'command':<28}{'CPU-seconds':>12}   imports")
        for name, arguments in commands.items():
            runs = [cpu_seconds(arguments) for _ in range(repeats)]
            print(f"{name:<28}{statistics.median(spent for spent, _ in runs):>12.2f}   {runs[0][1] or '-'}")


if __name__ == "__main__":
    main()
