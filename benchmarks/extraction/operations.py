"""What a batch costs whatever its size: operations issued for it, which a GPU waits for when a model is small.

    python benchmarks/extraction/operations.py

Counted with torch's dispatcher on a random Llama of 30 layers (hidden 256) with LoRA r=8 on q, k, v, o; views are left
out. The second table is the CPU time that `sjlt` takes to project gradients of the 240 LoRA matrices of SmolLM2-135M,
by gathering each matrix's numbers or by scattering them; both give the same bits.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from workload import random_workload

from gradstore.checkpoint import find_checkpoints, load_model, load_moments
from gradstore.gradients import projection
from gradstore.gradients.directions import prepare_directions
from gradstore.gradients.engine import GradientEngine
from gradstore.gradients.rows import Exact, RowMaker
from gradstore.gradients.session import layer_shapes
from gradstore.records import Example, ProjectionSpec

SPEC = ProjectionSpec("sjlt", 8192, 0)
VIEWS = (
    "view", "transpose", "t", "_unsafe_view", "expand", "slice", "unsqueeze", "squeeze", "detach", "alias", "select",
    "as_strided",
)  # fmt: skip
MATRICES = [
    shape for _ in range(30) for out in (576, 192, 192, 576) for shape in (("a", (8, 576)), ("b", (out, 8)))
]


class Counted(TorchDispatchMode):
    """Counts the operations that are issued inside."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += str(func.overloadpacket).removeprefix("aten.") not in VIEWS
        return func(*args, **(kwargs or {}))


def main() -> None:
    print("operations of a batch")
    for name, count in operations().items():
        print(f"{name:<16}{count:>6,}")
    print(f"\n{'rows in a batch':>15}{'gathered, ms a row':>20}{'scattered, ms a row':>21}")
    shapes = [(f"{number}.{name}", shape) for number, (name, shape) in enumerate(MATRICES)]
    gathering = projection.make_projector(SPEC, shapes)
    projection.SPARSEST = 0
    scattering = projection.make_projector(SPEC, shapes)
    for rows in (1, 8, 32, 128):
        gradients = [torch.randn(rows, shape[0] * shape[1]) for _, shape in shapes]
        seconds = raced([gathering, scattering], gradients)
        print(f"{rows:>15}{1e3 * seconds[0] / rows:>20.1f}{1e3 * seconds[1] / rows:>21.1f}")


def operations() -> dict[str, int]:
    """Of the forward pass, the backward pass, and the rows made of its gradients."""
    example = Example(np.arange(4, dtype=np.int32), np.arange(4, dtype=np.int32))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = find_checkpoints(random_workload(Path(folder), 1, layers=30).checkpoint)[0]
        loaded = load_model(checkpoint)
        layers = layer_shapes(loaded)
        directions = prepare_directions(["adam"], layers, load_moments(checkpoint.path, loaded), "cpu")
    maker = RowMaker(Exact(directions), projection.make_projector(SPEC, layers), {"adam": SPEC.dim})
    with GradientEngine(loaded) as engine:
        making = maker.begin(1, ["adam"])
        forward = counted(lambda: engine.run([example], None))
        passes = counted(lambda: engine.run([example], lambda _layer, _gradients: None))
        everything = counted(lambda: engine.run([example], making.take))
    return {"forward pass": forward, "backward pass": passes - forward, "rows": everything - passes}


def counted(work: Callable[[], object]) -> int:
    with Counted() as counter:
        work()
    return counter.count


def raced(projectors: list[projection.Projector], gradients: list[torch.Tensor]) -> list[float]:
    """CPU-seconds of each, the median of interleaved rounds."""
    torch.set_num_threads(1)
    seconds: list[list[float]] = [[] for _ in projectors]
    for _ in range(6):
        buffers = [projector.begin(len(gradients[0])) for projector in projectors]
        for found, projector, buffer in zip(seconds, projectors, buffers, strict=True):
            started = time.process_time()
            for parameter, values in enumerate(gradients):
                projector.add(buffer, parameter, values)
            found.append(time.process_time() - started)
        if not torch.equal(*buffers):
            raise SystemExit("gathering and scattering differ")
    return [statistics.median(found) for found in seconds]


if __name__ == "__main__":
    main()
