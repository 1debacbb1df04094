"""Gradients of whole weight matrices: how far sketched cosines are from exact ones, and what the sketches cost.

    python benchmarks/full_gradients.py MODEL POOL TARGET [--rows 150] [--targets 64] [--side 64 --side 128 ...]
        [--dim 8192] [--timed-rows 64] [--rounds 5] [--max-length 512]

MODEL is a folder with config.json, weights and a tokenizer; POOL and TARGET are data files. All in float32 on the CPU.

Accuracy. The reference is autograd alone, one row at a time, over every linear layer but the output embeddings; it is
streamed, some layers at a time. `sgd` is that gradient, `precond` the same divided by the root of factored second
moments (the mean square over the pool's rows, over 16 as if it came from batches of 16). Against it:

- sjlt: the exact gradient projected by ``sjlt``: what a row of k numbers can keep.
- kron, kron+sjlt: what ``--parameters full`` stores; "side 64" and so on are ``kron+sjlt`` with that constant.

The columns: root mean square error of the cosines of all pairs of pool rows; the same after removing the direction of
the mean row; Spearman correlation of the pool's mean cosine to the target rows, and overlap of its top 5 %.

Cost. CPU-seconds of the same rows in the same batches, in turn, `rounds` times; ratios are taken round by round and
their median is given. "LoRA" is gradstore's own pass for LoRA r=8 on q, k, v, o and ``sjlt``; "training step" the plain
forward and backward of that adapter; "whole" forms each example's gradients and projects them by ``sjlt``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from gradstore.checkpoint import (
    CheckpointFolder,
    InitLora,
    LoadedModel,
    find_checkpoints,
    load_model,
    load_tokenizer,
)
from gradstore.data import ChatTokenizer, load_rows
from gradstore.gradients.batches import token_batches
from gradstore.gradients.engine import GradientEngine
from gradstore.gradients.kron import SIDE, KroneckerForm, SideScales, preconditioner
from gradstore.gradients.observe import Form, weight_gradients
from gradstore.gradients.projection import Projector, make_projector
from gradstore.records import Example, ProjectionSpec

BUDGET = 1024
HELD_BYTES = 2**30  # of exact gradients at a time
PLAIN = SideScales(None, None)
DIRECTIONS = ("sgd", "precond")
Matrix = np.ndarray[Any, np.dtype[np.float64]]


def read_examples(folder: CheckpointFolder, path: Path, count: int, max_length: int) -> list[Example]:
    """Evenly spread rows of a file that have something to learn."""
    chat = ChatTokenizer(load_tokenizer(folder), template=None, max_length=max_length)
    file = load_rows(path)
    step = max(1, len(file.rows) // count)
    examples = (chat.encode(file.rows[i], file.fmt) for i in range(0, len(file.rows), step))
    return [example for example in examples if not example.reason][:count]


def exact_gradients(loaded: LoadedModel, examples: list[Example]) -> Iterator[tuple[int, torch.Tensor]]:
    """Each layer's gradients of all examples, (rows, d_out, d_in), by autograd one row at a time."""
    weights: list[Any] = [layer.weight for layer in loaded.linears.values()]
    group: list[int] = []
    for layer in range(len(weights)):
        group.append(layer)
        ahead = weights[layer + 1].numel() if layer + 1 < len(weights) else np.inf
        if (sum(weights[i].numel() for i in group) + ahead) * 4 * len(examples) <= HELD_BYTES:
            continue
        held = [torch.empty(len(examples), *weights[i].shape) for i in group]
        for row, example in enumerate(examples):
            logits = loaded.causal(torch.as_tensor(example.input_ids).long()[None], use_cache=False).logits[0]
            loss = functional.cross_entropy(logits[:-1], torch.as_tensor(example.labels).long()[1:])
            found = torch.autograd.grad(loss, [weights[i] for i in group])
            for place, gradient in zip(held, found, strict=True):
                place[row] = gradient
        yield from zip(group, held, strict=True)
        group = []


def walk(
    engine: GradientEngine, projectors: list[Projector], examples: list[Example]
) -> Iterator[tuple[list[int], list[torch.Tensor]]]:
    """Rows of each batch, and their projections: one for each direction that the engine's form makes."""
    for batch in token_batches([len(example.input_ids) for example in examples], BUDGET):
        buffers = [projector.begin(len(batch)) for projector in projectors]

        def consume(layer: int, formed: torch.Tensor, buffers: list[torch.Tensor] = buffers) -> None:
            formed = formed if formed.dim() == 3 else formed[None]
            for projector, buffer, values in zip(projectors, buffers, formed, strict=True):
                projector.add(buffer, layer, values)

        engine.run([examples[i] for i in batch], consume)
        yield batch, [p.finish(b) for p, b in zip(projectors, buffers, strict=True)]


class Accuracy:
    """Cosines of exact gradients, for each direction, and those of what is stored against them."""

    def __init__(
        self, loaded: LoadedModel, pool: list[Example], target: list[Example], spec: ProjectionSpec
    ) -> None:
        self._loaded, self._pool, self._examples, self._spec = loaded, len(pool), pool + target, spec
        self.scales: dict[str, list[SideScales]] = {"sgd": [PLAIN] * len(loaded.linears), "precond": []}
        gram = dict.fromkeys(DIRECTIONS, np.zeros(()))
        sjlt = make_projector(spec, loaded.parameters)
        ideal = {name: sjlt.begin(len(self._examples)) for name in DIRECTIONS}
        for layer, gradients in exact_gradients(loaded, self._examples):
            second = gradients[: self._pool].square().mean(0) / 16
            self.scales["precond"].append(preconditioner(second.mean(1), second.mean(0)))
            for name in DIRECTIONS:
                scale = self.scales[name][layer]
                if scale.out is not None and scale.in_ is not None:
                    gradients.mul_(scale.out[:, None]).mul_(scale.in_)
                flat = gradients.flatten(1)
                gram[name] = gram[name] + (flat @ flat.T).double().numpy()
                sjlt.add(ideal[name], layer, flat)
        self._exact = {name: cosines(gram[name]) for name in DIRECTIONS}
        self.ideal = {name: self.errors(name, sjlt.finish(ideal[name])) for name in DIRECTIONS}

    def sketched(self, kind: str, side: int) -> dict[str, list[float]]:
        """Errors of one projection, for each direction."""
        form = self.form(kind, side, DIRECTIONS)
        projectors = [
            make_projector(ProjectionSpec(kind, self._spec.dim, self._spec.seed), form.parameters)
        ] * 2
        stored = torch.empty(2, len(self._examples), self._spec.dim)
        with GradientEngine(self._loaded, form=form.form) as engine:
            for rows, projected in walk(engine, projectors, self._examples):
                stored[:, rows] = torch.stack(projected)
        return {name: self.errors(name, stored[i]) for i, name in enumerate(DIRECTIONS)}

    def form(self, kind: str, side: int, directions: Sequence[str]) -> KroneckerForm:
        """The two-sided sketch of this model's layers."""
        scales = [self.scales[name] for name in directions]
        return KroneckerForm(
            kind, self._spec.dim, self._spec.seed, layers_of(self._loaded), scales, "cpu", side=side
        )

    def errors(self, name: str, stored: torch.Tensor) -> list[float]:
        """The four columns."""
        found, exact = cosines((stored.double() @ stored.double().T).numpy()), self._exact[name]
        n = self._pool
        mine, theirs = found[:n, n:].mean(1), exact[:n, n:].mean(1)
        top = max(1, n // 20)
        shared = set(np.argsort(-mine)[:top].tolist()) & set(np.argsort(-theirs)[:top].tolist())
        return [
            root_mean_square(found[:n, :n] - exact[:n, :n]),
            root_mean_square(centred(found[:n, :n]) - centred(exact[:n, :n])),
            float(np.corrcoef(ranks(mine), ranks(theirs))[0, 1]),
            len(shared) / top,
        ]

    @property
    def spread(self) -> dict[str, float]:
        """Root mean square of the exact cosines of all pairs: what an error is to be compared with."""
        return {name: root_mean_square(self._exact[name][: self._pool, : self._pool]) for name in DIRECTIONS}


def layers_of(loaded: LoadedModel) -> list[tuple[str, tuple[int, int]]]:
    return [(name, (shape[0], shape[1])) for name, shape in loaded.parameters]


def cosines(gram: Matrix) -> Matrix:
    norms = np.sqrt(np.diagonal(gram))
    found: Matrix = gram / norms / norms[:, None]
    return found


def centred(cosine: Matrix) -> Matrix:
    """Cosines of unit rows once the direction of their mean is taken out of each."""
    to_mean = cosine.mean(1)
    return cosines(cosine - np.outer(to_mean, to_mean) / cosine.mean())


def root_mean_square(difference: Matrix) -> float:
    return float(np.sqrt(np.mean(difference[np.triu_indices(len(difference), 1)] ** 2)))


def ranks(values: Matrix) -> Matrix:
    return np.argsort(np.argsort(values)).astype(np.float64)


def contestants(
    folder: CheckpointFolder,
    full: LoadedModel,
    accuracy: Accuracy,
    sides: list[int],
    dim: int,
    rows: list[Example],
) -> dict[str, Callable[[], None]]:
    """What is timed, by name; each goes over all rows once."""
    lora = load_model(folder, init_lora=InitLora())

    def gradstore(loaded: LoadedModel, form: Form, projector: Projector) -> Callable[[], None]:
        def run() -> None:
            with GradientEngine(loaded, form=form) as engine:
                for _ in walk(engine, [projector], rows):
                    pass

        return run

    found: dict[str, Callable[[], None]] = {
        "LoRA": gradstore(
            lora, weight_gradients, make_projector(ProjectionSpec("sjlt", dim, 0), lora.parameters)
        ),
        "training step": lambda: train(lora, rows),
    }
    for kind, side in [("kron", SIDE), *(("kron+sjlt", side) for side in sides)]:
        form = accuracy.form(kind, side, ["sgd"])
        projector = make_projector(ProjectionSpec(kind, dim, 0), form.parameters)
        found[label(kind, side)] = gradstore(full, form.form, projector)
    whole = make_projector(ProjectionSpec("sjlt", dim, 0), full.parameters)
    found["whole"] = gradstore(full, weight_gradients, whole)
    return found


def train(loaded: LoadedModel, examples: list[Example]) -> None:
    """Forward and backward of a training step, in the batches of the others."""
    for batch in token_batches([len(example.input_ids) for example in examples], BUDGET):
        longest = max(len(examples[i].input_ids) for i in batch)
        tokens, labels = torch.zeros(len(batch), longest).long(), torch.full((len(batch), longest), -100)
        for place, i in enumerate(batch):
            size = len(examples[i].input_ids)
            tokens[place, :size] = torch.as_tensor(examples[i].input_ids)
            labels[place, :size] = torch.as_tensor(examples[i].labels)
        loaded.model(
            input_ids=tokens, attention_mask=(tokens != 0).long(), labels=labels, use_cache=False
        ).loss.backward()
        loaded.model.zero_grad()


def cpu_seconds(run: Callable[[], None]) -> float:
    before = time.process_time()
    run()
    return time.process_time() - before


def label(kind: str, side: int) -> str:
    return f"{kind}, side {side}" if kind == "kron+sjlt" else kind


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("pool", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--rows", type=int, default=150)
    parser.add_argument("--targets", type=int, default=64)
    parser.add_argument("--side", type=int, action="append", help=f"by default 32, 64, {SIDE} and 256")
    parser.add_argument("--dim", type=int, default=8192)
    parser.add_argument("--timed-rows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-length", type=int, default=512)
    options = parser.parse_args()
    sides = options.side or [32, 64, SIDE, 256]
    folder = find_checkpoints(options.model)[0]
    pool = read_examples(folder, options.pool, options.rows, options.max_length)
    target = read_examples(folder, options.target, options.targets, options.max_length)
    full = load_model(folder, parameters="full")
    numbers = sum(rows * columns for _, (rows, columns) in layers_of(full))
    print(
        f"{numbers:,} numbers in {len(full.linears)} layers, {len(pool)} + {len(target)} rows, k = {options.dim}\n"
    )
    accuracy = Accuracy(full, pool, target, ProjectionSpec("sjlt", options.dim, 0))
    print("| stored | direction | rms error | centred | Spearman | top 5 % |\n|---|---|---:|---:|---:|---:|")
    tables = {"sjlt of the whole": accuracy.ideal}
    for kind, side in [("kron", SIDE), *(("kron+sjlt", side) for side in sides)]:
        tables[label(kind, side)] = accuracy.sketched(kind, side)
    for name in DIRECTIONS:
        print(f"| *rms of the cosines* | {name} | {accuracy.spread[name]:.4f} | | | |")
        for stored, errors in tables.items():
            one, two, three, four = errors[name]
            print(f"| {stored} | {name} | {one:.4f} | {two:.4f} | {three:.3f} | {four:.2f} |")
    timed = pool[: options.timed_rows]
    runs = contestants(folder, full, accuracy, sides, options.dim, timed)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(options.rounds + 1):
        for name, run in runs.items():
            took = cpu_seconds(run)
            if turn:  # the first is for warming up
                seconds[name].append(took)
    print("\n| contestant | CPU-seconds | of LoRA |\n|---|---:|---:|")
    for name, spent in seconds.items():
        ratio = statistics.median(mine / lora for mine, lora in zip(spent, seconds["LoRA"], strict=True))
        print(f"| {name} | {statistics.median(spent):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
