"""Peak memory of `gradstore extract` against the number of rows, and against a plain training step of the same model.

    python benchmarks/extraction/memory.py [--rows 1000,10000,100000] [--hidden 64] [--layers 2]

A random Llama with LoRA r=8, rows of 32 to 64 tokens, 8192 numbers a row. Each figure is the largest resident set of a
process of its own, libraries included.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

from workload import Workload, random_workload

STEP = """
import json, sys, torch
sys.path.insert(0, sys.argv[1])
import steps
rows = [json.loads(line) for line in open(sys.argv[3])]
model = steps.load(steps.Path(sys.argv[2]))
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
for batch in steps.batches(rows, 1024):
    model(**batch, use_cache=False).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="1000,10000,100000")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.rows.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        workload = random_workload(
            Path(folder), max(counts), hidden=arguments.hidden, layers=arguments.layers, longest=64
        )
        step = peak([sys.executable, "-c", STEP, str(Path(__file__).parent), *plain_arguments(workload)])
        print(f"{'process':<28}{'peak MiB':>10}{'over the step':>16}")
        print(f"{'plain training step':<28}{step:>10.0f}")
        for count in counts:
            used = peak(extraction(workload, count))
            print(f"{f'gradstore extract, {count:,}':<28}{used:>10.0f}{used - step:>+16.0f}", flush=True)


def plain_arguments(workload: Workload) -> list[str]:
    return [str(workload.checkpoint), str(workload.file(200))]


def extraction(workload: Workload, rows: int) -> list[str]:
    program, store = Path(sys.executable).with_name("gradstore"), workload.folder / f"{rows}.zarr"
    command = [str(program), "extract", str(store), "--checkpoint", str(workload.checkpoint)]
    return [*command, "--data", str(workload.file(rows)), "--name", "rows"]


def peak(command: list[str]) -> float:
    """Largest resident set of a command, in MiB.

    Not the one that `wait4` tells: it counts what this process held when it started the command.
    """
    highest = 0
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    highest = max(highest, int(line.split()[1]))
            time.sleep(0.05)
        if process.returncode:
            output.seek(0)
            raise SystemExit(output.read()[-2000:])
    return highest / 1024  # the kernel counts in KiB


if __name__ == "__main__":
    main()
