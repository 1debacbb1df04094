"""What the plain install must do, in an empty folder: vectors in, a selection out, and no torch."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

HEAVY = ("torch", "transformers", "peft", "datasets", "accelerate")


def gradstore(*words: str) -> str:
    return subprocess.run(["gradstore", *words], check=True, capture_output=True, text=True).stdout


def main() -> None:
    there = [name for name in HEAVY if importlib.util.find_spec(name)]
    if there:
        sys.exit(f"the plain install brought {', '.join(there)}")
    draw = np.random.default_rng(0)
    topic = draw.standard_normal(64)
    pool = draw.standard_normal((400, 64)) + np.where(np.arange(400) % 4 == 0, 1.0, 0.0)[:, None] * topic
    np.save("pool.npy", pool.astype(np.float32))
    np.save("goal.npy", (draw.standard_normal((8, 64)) + topic).astype(np.float32))
    rows = [{"id": f"row-{i}", "dataset": "ab"[i % 4 == 0], "text": f"text {i}"} for i in range(400)]
    Path("pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    gradstore("store", "import", "grads.zarr", "pool.npy", "--name", "pool", "--rows", "pool.jsonl")
    gradstore("store", "import", "grads.zarr", "goal.npy", "--name", "goal", "--target")
    gradstore("graph", "grads.zarr")
    for selector in ("less", "g2is"):
        out = f"{selector}.jsonl"
        gradstore(
            "select", "grads.zarr", "--selector", selector, "--target", "goal", "--fraction", "0.1", "-o", out
        )
        chosen = [json.loads(line) for line in Path(out).read_text().splitlines()]
        if len(chosen) != 40 or any(row not in rows for row in chosen):
            sys.exit(f"{selector} did not choose 40 rows of the pool: {chosen[:3]}")
        if sum(row["dataset"] == "b" for row in chosen) < 35:
            sys.exit(f"{selector} did not find the rows of the topic")
    gradstore("store", "verify", "grads.zarr")
    state = json.loads(gradstore("doctor", "grads.zarr", "--json"))["state"]
    if state != "ready":
        sys.exit(f"the doctor says {state}")
    names = ("gradstore", "numpy", "zarr", "numcodecs", "pyarrow", "hnswlib", "click")
    print(
        "plain install:", f"Python {sys.version.split()[0]},", ", ".join(f"{n} {version(n)}" for n in names)
    )


if __name__ == "__main__":
    main()
