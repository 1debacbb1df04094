"""Extraction against a plain training step and against the LESS loop: the same rows, one run, interleaved.

    python benchmarks/extraction.py [--rows 128] [--repeats 5] [--json FILE]

A random Llama (hidden 256, 4 layers) with LoRA r=8 on q, k, v, o (65 536 parameters), sequences of 32 to 256
tokens, float32.
Contestants, each over the same rows, in turn, `repeats` times:

- plain:     batched forward and backward of the LoRA parameters in token-budget batches; no gradient is kept.
- gradstore: the library's own path from tokens to rows in a store: engine, direction adam, sjlt to 8192, int8.
- less:      one row at a time, autograd, direction adam, dense +-1 projection to 8192 of 16 rows together; blocks of
             128 columns drawn again for each projection, as LESS's projector does.
- less-kept: the same with the whole projection matrix (D x 8192 float32) held in memory, which LESS does not do.

The figure is rows per CPU-second; the ratios are taken round by round and their median is given.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from gradstore.checkpoint import Moments
from gradstore.checkpoint.load import LoadedModel
from gradstore.gradients.batches import token_batches
from gradstore.gradients.compute import ChunkComputer
from gradstore.gradients.directions import prepare_directions
from gradstore.gradients.engine import GradientEngine
from gradstore.gradients.projection import make_projector
from gradstore.records import CheckpointIdentity, Example, ProjectionSpec, Row
from gradstore.store import DatasetWriter

DIM = 8192
BUDGET = 1024


def make_model() -> LoadedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4096, hidden_size=256, intermediate_size=704, num_hidden_layers=4, num_attention_heads=8
    )
    lora = LoraConfig(r=8, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"], init_lora_weights=False)
    model = get_peft_model(LlamaForCausalLM(config), lora).eval()
    linears = {
        name.replace(".default.", "."): model.get_submodule(name.removesuffix(".weight"))
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    return LoadedModel(model, linears, "random", "")


def make_examples(count: int) -> list[Example]:
    draw = np.random.default_rng(0)
    examples = []
    for _ in range(count):
        tokens = draw.integers(0, 4096, int(draw.integers(32, 257))).astype(np.int32)
        labels = tokens.copy()
        labels[: len(tokens) // 3] = -100
        examples.append(Example(tokens, labels))
    return examples


def make_moments(loaded: LoadedModel) -> Moments:
    draw = torch.Generator().manual_seed(1)
    first = {n: torch.randn(s, generator=draw) * 1e-4 for n, s in loaded.parameters}
    second = {n: torch.rand(s, generator=draw) * 1e-7 for n, s in loaded.parameters}
    return Moments(first, second, 10, (0.9, 0.999), 1e-8)


def plain(loaded: LoadedModel, examples: list[Example]) -> None:
    for batch in token_batches([len(e.input_ids) for e in examples], BUDGET):
        length = max(len(examples[i].input_ids) for i in batch)
        tokens = torch.zeros(len(batch), length, dtype=torch.long)
        labels = torch.full((len(batch), length), -100)
        mask = torch.zeros(len(batch), length, dtype=torch.long)
        for row, i in enumerate(batch):
            size = len(examples[i].input_ids)
            tokens[row, :size] = torch.from_numpy(examples[i].input_ids)
            labels[row, :size] = torch.from_numpy(examples[i].labels)
            mask[row, :size] = 1
        loaded.model(input_ids=tokens, attention_mask=mask, labels=labels, use_cache=False).loss.backward()
        loaded.model.zero_grad()


def ours(
    loaded: LoadedModel, moments: Moments, examples: list[Example], rows: list[Row], folder: Path
) -> None:
    spec = ProjectionSpec("sjlt", DIM, 0)
    directions = prepare_directions(["adam"], loaded.parameters, moments, "cpu")
    identity = CheckpointIdentity(parameters=loaded.parameters, projection=spec)
    with (
        DatasetWriter.open(
            folder,
            checkpoint="checkpoint-1",
            identity=identity,
            name="rows",
            rows=len(rows),
            directions=["adam"],
            content_digest="0",
            attributes={},
        ) as writer,
        GradientEngine(loaded) as engine,
    ):
        computer = ChunkComputer(engine, directions, make_projector(spec, loaded.parameters), BUDGET)
        for chunk in writer.missing():
            span = slice(writer.chunks[chunk].start, writer.chunks[chunk].stop)
            writer.write(chunk, computer.compute(rows[span], examples[span], lambda _tokens: None))
        writer.seal()


def less(
    loaded: LoadedModel, moments: Moments, examples: list[Example], project: Callable[[torch.Tensor], object]
) -> None:
    m = torch.cat([moments.first[name].flatten() for name, _ in loaded.parameters])
    v = torch.cat([moments.second[name].flatten() for name, _ in loaded.parameters])
    trained = [p for p in loaded.model.parameters() if p.requires_grad]
    held: list[torch.Tensor] = []
    for example in examples:
        tokens = torch.from_numpy(example.input_ids.astype(np.int64))[None]
        labels = torch.from_numpy(example.labels.astype(np.int64))[None]
        loaded.model(input_ids=tokens, labels=labels, use_cache=False).loss.backward()
        g = torch.cat([p.grad.flatten() for p in trained])
        loaded.model.zero_grad()
        held.append((0.9 * m + 0.1 * g) / torch.sqrt(0.999 * v + 0.001 * g**2 + 1e-8))
        if len(held) == 16:
            project(torch.stack(held))
            held.clear()
    if held:
        project(torch.stack(held))


def redrawn(rows: torch.Tensor) -> torch.Tensor:
    blocks = []
    for block in range(DIM // 128):
        generator = torch.Generator("cpu").manual_seed(1000 * block)
        signs = torch.empty(rows.shape[1], 128).bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
        blocks.append(rows @ signs)
    return torch.cat(blocks, dim=1)


def cpu_seconds(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    loaded, examples = make_model(), make_examples(arguments.rows)
    moments = make_moments(loaded)
    rows = [Row(f"r{i}", {"id": f"r{i}"}, "random", "", "") for i in range(len(examples))]
    size = sum(int(np.prod(shape)) for _, shape in loaded.parameters)
    signs = torch.empty(size, DIM).bernoulli_(0.5).mul_(2).sub_(1)
    seconds: dict[str, list[float]] = {"plain": [], "gradstore": [], "less": [], "less-kept": []}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(arguments.repeats + 1):
            store = Path(folder) / f"{repeat}.zarr"
            round_ = {
                "plain": cpu_seconds(lambda: plain(loaded, examples)),
                "gradstore": cpu_seconds(lambda path=store: ours(loaded, moments, examples, rows, path)),
                "less": cpu_seconds(lambda: less(loaded, moments, examples, redrawn)),
                "less-kept": cpu_seconds(lambda: less(loaded, moments, examples, lambda g: g @ signs)),
            }
            for name, value in round_.items():
                if repeat:  # the first round warms up
                    seconds[name].append(value)
    rate = {name: arguments.rows / statistics.median(values) for name, values in seconds.items()}
    ratio = {
        name: statistics.median(
            other / mine for other, mine in zip(seconds[name], seconds["gradstore"], strict=True)
        )
        for name in ("plain", "less", "less-kept")
    }
    print(f"{'contestant':<12}{'rows per CPU-second':>22}{'gradstore is':>16}")
    for name, value in rate.items():
        print(f"{name:<12}{value:>22.2f}" + (f"{ratio[name]:>14.2f} x" if name in ratio else ""))
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"rows_per_cpu_second": rate, "gradstore_over": ratio}, indent=1)
        )


if __name__ == "__main__":
    main()
