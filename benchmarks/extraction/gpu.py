"""Extraction on a GPU against a training step that keeps no gradient: the same rows, one run, interleaved.

    python benchmarks/extraction/gpu.py --checkpoint RUN/checkpoint-100 --data pool.jsonl [--rows 2048]

The model computes in bfloat16. *plain* is a batched forward and backward pass, *frozen* the same without gradients of
the adapter, *less* LESS's loop of one row at a time, without its projection. *gradstore* is `extract` whole, from a
file of tokens to a store on disk, less the same of 64 rows; the others see batches of --token-budget tokens.
The last table is gradstore's by token budget. Times are by the clock; the GPU must do nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import steps
import torch
from workload import Workload, real_workload

import gradstore

BUDGETS = (2048, 4096, 8192, 16384, 32768, 65536)
STARTUP_ROWS = 64
LESS_ROWS = 128


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--token-budget", type=int, default=16384)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = real_workload(Path(folder), options.checkpoint, options.data, options.rows, options.max_length)
        learned = sum(label != -100 for row in work.rows for label in row["labels"])
        tokens = work.tokens(len(work.rows))
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
        print(f"{len(work.rows):,} rows, {tokens:,} tokens, {learned / tokens:.0%} learned\n")
        compare(work, options.token_budget, options.rounds)
        print(f"\n{'token budget':>12}{'tokens per second':>20}{'peak GPU memory, MiB':>22}")
        for budget in BUDGETS:
            torch.cuda.reset_peak_memory_stats()
            speed = extraction(work, budget)
            print(f"{budget:>12,}{speed:>20,.0f}{torch.cuda.max_memory_allocated() / 2**20:>22,.0f}")


def compare(work: Workload, budget: int, rounds: int) -> None:
    model = steps.load(work.checkpoint, dtype=torch.bfloat16, device="cuda")
    moments = tuple(moment.cuda() for moment in steps.load_moments(work.checkpoint))
    rows, few = work.rows, work.rows[:LESS_ROWS]
    contestants: dict[str, Callable[[], float]] = {
        "plain": lambda: timed(lambda: steps.plain(model, rows, budget), work.tokens(len(rows))),
        "frozen": lambda: timed(lambda: steps.frozen(model, rows, budget), work.tokens(len(rows))),
        "less": lambda: timed(
            lambda: steps.less(model, few, moments, lambda gradients: gradients), work.tokens(len(few))
        ),
        "gradstore": lambda: extraction(work, budget),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            speed = run()
            if number:  # the first round warms up
                speeds[name].append(speed)
    print(f"{'contestant':<12}{'tokens per second':>20}{'gradstore is':>15}")
    for name, values in speeds.items():
        ratio = statistics.median(a / b for a, b in zip(speeds["gradstore"], values, strict=True))
        shown = f"{ratio:>13.2f} x" if name != "gradstore" else ""
        print(f"{name:<12}{statistics.median(values):>20,.0f}{shown}")


def timed(work: Callable[[], None], tokens: int) -> float:
    """Tokens a second."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return tokens / (time.perf_counter() - started)


def extraction(work: Workload, budget: int) -> float:
    """The same of `extract`, less what it takes for a few rows."""
    few, all_ = STARTUP_ROWS, len(work.rows)
    seconds = {rows: extracted(work, rows, budget) for rows in (few, all_)}
    return (work.tokens(all_) - work.tokens(few)) / (seconds[all_] - seconds[few])


def extracted(work: Workload, rows: int, budget: int) -> float:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        gradstore.extract(
            Path(folder) / "s.zarr",
            checkpoints=[work.checkpoint],
            data=work.file(rows),
            name="rows",
            token_budget=budget,
        )
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
