"""Extraction against a plain training step, LESS's loop and bergson: the same rows, one run, interleaved.

    python benchmarks/extraction [--bergson-python ENV/bin/python] [--rows 512] [--rounds 5] [--json FILE]
    python benchmarks/extraction --checkpoint RUN/checkpoint-100 --data pool.jsonl --rows 256

Without --checkpoint: a random Llama (hidden 256, 4 layers, vocabulary 4096) with LoRA r=8 on q, k, v, o (65 536
parameters), rows of 32 to 256 tokens of which two thirds are learned, float32, rows of 8192 numbers.
Every contestant has one thread, and its CPU-seconds count.
Commands are counted whole, less the same command on 16 rows. Slow contestants see the first --slow-rows rows only;
figures are per token, given as rows of the workload's mean length. Ratios are taken round by round; the table has
their median.

bergson wants an environment of its own: `pip install torch==2.13.0`, `pip install --no-deps bergson==2.5.1`, then its
requirements without torchvision, torchaudio and bitsandbytes, which `build` does not import.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import steps
import torch
from accuracy import bergson_bytes, bergson_rows, cosine_error, gradstore_bytes, gradstore_rows
from commands import Bergson, Gradstore
from workload import Workload, random_workload, real_workload

STARTUP_ROWS = 16
Contestant = Callable[[], float]  # one run, in CPU-seconds a token


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bergson-python", type=Path, help="python of an environment that has bergson")
    parser.add_argument("--checkpoint", type=Path, help="a trained adapter instead of the random model")
    parser.add_argument("--data", type=Path, help="rows for it")
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--slow-rows", type=int, default=64)
    parser.add_argument("--accuracy-rows", type=int, default=128)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--token-budget", type=int, default=1024, help="of the plain step's batches")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="contestants by name, comma-separated; gradstore always runs")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.checkpoint:
            workload = real_workload(
                Path(folder), arguments.checkpoint, arguments.data, arguments.rows, arguments.max_length
            )
        else:
            workload = random_workload(Path(folder), arguments.rows)
        contestants = line_up(workload, arguments)
        if arguments.only:
            wanted = {"gradstore", *arguments.only.split(",")}
            contestants = {name: run for name, run in contestants.items() if name in wanted}
        seconds = race(contestants, arguments.rounds)
        accuracy = measure_accuracy(workload, arguments)
    mean = sum(workload.lengths) / len(workload.rows)
    speed = {name: 1 / (statistics.median(values) * mean) for name, values in seconds.items()}
    ratio = {
        name: statistics.median(
            theirs / ours for theirs, ours in zip(values, seconds["gradstore"], strict=True)
        )
        for name, values in seconds.items()
    }
    report(speed, ratio, accuracy)
    if arguments.json:
        arguments.json.write_text(
            json.dumps(
                {"rows_per_cpu_second": speed, "gradstore_over": ratio, "accuracy": accuracy}, indent=1
            )
        )


def line_up(workload: Workload, arguments: argparse.Namespace) -> dict[str, Contestant]:
    """All contestants that can run here, by name."""
    model = steps.load(workload.checkpoint)
    moments = steps.load_moments(workload.checkpoint)
    rows, few, budget = workload.rows, workload.rows[: arguments.slow_rows], arguments.token_budget
    size = moments[0].numel()
    contestants: dict[str, Contestant] = {
        "plain": in_process(workload, len(rows), lambda: steps.plain(model, rows, budget)),
        "frozen": in_process(workload, len(rows), lambda: steps.frozen(model, rows, budget)),
        "gradstore": command(workload, len(rows), Gradstore(workload).run),
        "gradstore in-process": library(workload, len(rows)),
        "less": in_process(workload, len(few), lambda: steps.less(model, few, moments, steps.redrawn)),
    }
    if size <= 2**18:  # the kept matrix has size x 8192 numbers
        signs = steps.kept(size)
        contestants["less kept"] = in_process(
            workload, len(few), lambda: steps.less(model, few, moments, signs)
        )
    if arguments.bergson_python:
        side, wide = ["--projection_dim", "16"], ["--projection_dim", str(steps.DIM)]
        fast = Bergson(workload, arguments.bergson_python, *side)
        slow = Bergson(workload, arguments.bergson_python, *wide, "--projection_target", "global")
        contestants["bergson"] = command(workload, len(rows), fast.run)
        contestants["bergson global"] = command(workload, len(few), slow.run)
    return contestants


def in_process(workload: Workload, rows: int, work: Callable[[], None]) -> Contestant:
    def run() -> float:
        started = time.process_time()
        work()
        return (time.process_time() - started) / workload.tokens(rows)

    return run


def command(workload: Workload, rows: int, run: Callable[[int], float]) -> Contestant:
    def once() -> float:
        startup = run(STARTUP_ROWS)
        return (run(rows) - startup) / (workload.tokens(rows) - workload.tokens(STARTUP_ROWS))

    return once


def library(workload: Workload, rows: int) -> Contestant:
    """`gradstore.extract` in this process: reads the same files and writes the same store."""
    import gradstore

    def run(count: int) -> float:
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            gradstore.extract(
                Path(folder) / "s.zarr",
                checkpoints=[workload.checkpoint],
                data=workload.file(count),
                name="rows",
            )
        return time.process_time() - started

    return command(workload, rows, run)


def race(contestants: dict[str, Contestant], rounds: int) -> dict[str, list[float]]:
    """Every contestant once a round, after a round that counts for nothing where a process warms up."""
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(rounds):
        for name, run in contestants.items():
            seconds[name].append(run())
            print(f"round {round_ + 1}: {name} {1e6 * seconds[name][-1]:.0f} CPU-us a token", file=sys.stderr)
    return seconds


def measure_accuracy(workload: Workload, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Stored rows of plain gradients (no optimizer) against the exact ones."""
    count = min(arguments.accuracy_rows, len(workload.rows))
    exact = steps.raw_gradients(steps.load(workload.checkpoint), workload.rows[:count])
    ours = Gradstore(workload, "--direction", "sgd", "--no-embed-rows")
    ours.run(count)
    result = {
        "gradstore": {
            "cosine_error": cosine_error(gradstore_rows(ours.output(count)), exact),
            "bytes": gradstore_bytes(ours.output(count), count),
        }
    }
    if arguments.bergson_python:
        theirs = Bergson(workload, arguments.bergson_python, "--projection_dim", "16")
        theirs.run(count)
        result["bergson"] = {
            "cosine_error": cosine_error(bergson_rows(theirs.output(count)), exact),
            "bytes": bergson_bytes(theirs.output(count), count),
        }
    return result


def report(speed: dict[str, float], ratio: dict[str, float], accuracy: dict[str, dict[str, float]]) -> None:
    print(f"{'contestant':<22}{'rows per CPU-second':>20}{'gradstore is':>15}")
    for name, value in speed.items():
        print(f"{name:<22}{value:>20.2f}" + (f"{ratio[name]:>13.2f} x" if name != "gradstore" else ""))
    print(f"\n{'stored rows':<22}{'rms cosine error':>20}{'bytes a row':>15}")
    for name, figures in accuracy.items():
        print(f"{name:<22}{figures['cosine_error']:>20.4f}{figures['bytes']:>15.0f}")


if __name__ == "__main__":
    main()
