"""The contestants that are commands: each in a process of its own, counted in CPU-seconds of that process."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from workload import Workload

TO_DATASET = """
import json, sys
from datasets import Dataset
rows = [json.loads(line) for line in open(sys.argv[1])]
for row in rows:
    row["length"] = len(row["input_ids"])
    row["attention_mask"] = [1] * row["length"]
    del row["id"]
Dataset.from_list(rows).save_to_disk(sys.argv[2])
"""


class CommandFailedError(RuntimeError):
    """A contestant's process ended with an error; the message ends with what it printed."""


def cpu_seconds(command: list[str]) -> float:
    """User and system time of a command and of whatever it starts, one thread each."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise CommandFailedError(f"{' '.join(command)}\n{done.stdout[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


class Gradstore:
    """`gradstore extract`, from a jsonl file of tokens to the sealed store."""

    def __init__(self, workload: Workload, *options: str) -> None:
        self.workload, self.options = workload, options

    def output(self, rows: int) -> Path:
        return self.workload.folder / f"gradstore{''.join(self.options)}-{rows}.zarr"

    def run(self, rows: int) -> float:
        """Extract the first `rows` rows afresh."""
        out = self.output(rows)
        shutil.rmtree(out, ignore_errors=True)
        program = Path(sys.executable).with_name("gradstore")
        arguments = ["--checkpoint", str(self.workload.checkpoint), "--data", str(self.workload.file(rows))]
        return cpu_seconds([str(program), "extract", str(out), *arguments, "--name", "rows", *self.options])


class Bergson:
    """`bergson build` in its own environment, from a datasets folder of tokens to its index."""

    def __init__(self, workload: Workload, python: Path, *options: str) -> None:
        self.workload, self.python, self.options = workload, python, options

    def output(self, rows: int) -> Path:
        return self.workload.folder / f"bergson{''.join(self.options)}-{rows}"

    def run(self, rows: int) -> float:
        """Build the index of the first `rows` rows afresh."""
        dataset = self.workload.folder / f"rows-{rows}.hf"
        if not dataset.is_dir():
            cpu_seconds([str(self.python), "-c", TO_DATASET, str(self.workload.file(rows)), str(dataset)])
        command = [str(self.python.with_name("bergson")), "build", str(self.output(rows)), "--overwrite"]
        command += ["--model", str(self.workload.checkpoint), "--dataset", str(dataset)]
        return cpu_seconds([*command, "--token_batch_size", "2048", *self.options])
