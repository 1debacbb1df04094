"""Per-example gradients against the obvious way: one example, one backward pass, autograd, in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gradstore.checkpoint import find_checkpoints, load_model
from gradstore.checkpoint.load import LoadedModel
from gradstore.gradients import output
from gradstore.gradients.engine import HALF_SCALE, GradientEngine
from gradstore.gradients.output import OutputLayer
from gradstore.records import Example
from tests.architectures import ARCHITECTURES


def examples(count: int, vocabulary: int = 64, seed: int = 0) -> list[Example]:
    draw = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        size = int(draw.integers(3, 30))
        tokens = draw.integers(0, vocabulary, size).astype(np.int32)
        labels = np.where(np.arange(size) < draw.integers(0, size - 1), -100, tokens).astype(np.int32)
        made.append(Example(tokens, labels))
    return made


def run(
    loaded: LoadedModel, batch: list[Example], *, checkpointing: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    found: dict[int, torch.Tensor] = {}
    with GradientEngine(loaded, checkpointing=checkpointing) as engine:
        result = engine.run(batch, lambda layer, gradients: found.__setitem__(layer, gradients))
    return result.losses, torch.cat([found[i] for i in range(len(found))], dim=1)


def reference(
    loaded: LoadedModel, example: Example, dtype: torch.dtype = torch.float64
) -> tuple[float, torch.Tensor]:
    """Autograd on a batch of one, with transformers' own loss; gradients as (d_out, d_in)."""
    model = loaded.model
    double = model.to(dtype)
    tokens = torch.from_numpy(example.input_ids.astype(np.int64))[None]
    labels = torch.from_numpy(example.labels.astype(np.int64))[None]
    double.zero_grad()
    loss = double(input_ids=tokens, labels=labels).loss
    loss.backward()
    gradient = torch.cat([as_rows(layer).flatten() for layer in loaded.linears.values()])
    double.zero_grad()
    model.float()
    return loss.item(), gradient


def as_rows(layer: nn.Module) -> torch.Tensor:
    grad: torch.Tensor = layer.weight.grad  # type: ignore[assignment, union-attr]
    return grad.T if type(layer).__name__ == "Conv1D" else grad


@pytest.fixture(scope="module")
def loaded(tiny_run: Path) -> LoadedModel:
    return load_model(find_checkpoints(tiny_run / "run")[1])


def test_rows_equal_autograd_one_example_at_a_time(loaded: LoadedModel) -> None:
    batch = examples(9)
    losses, rows = run(loaded, batch)
    for position, example in enumerate(batch):
        loss, gradient = reference(loaded, example)
        assert losses[position] == pytest.approx(loss, rel=1e-5)
        assert (rows[position] - gradient).norm() / gradient.norm() < 1e-5


def test_row_is_the_same_from_batch_1_and_batch_16(loaded: LoadedModel) -> None:
    batch = examples(16, seed=3)
    together = run(loaded, batch)[1]
    alone = torch.cat([run(loaded, [example])[1] for example in batch])
    assert ((together - alone).norm(dim=1) / alone.norm(dim=1)).max() < 1e-5


def test_row_is_bit_identical_on_every_run(loaded: LoadedModel) -> None:
    batch = examples(8, seed=4)
    assert torch.equal(run(loaded, batch)[1], run(loaded, batch)[1])


def test_model_is_restored_when_the_engine_leaves(loaded: LoadedModel) -> None:
    tokens = torch.arange(10)[None]
    before = loaded.model(input_ids=tokens).logits
    run(loaded, examples(2))
    assert torch.equal(before, loaded.model(input_ids=tokens).logits)
    assert all(p.grad is None for p in loaded.model.parameters())


@pytest.mark.parametrize("parameters", ["lora", "full"])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_rows_equal_autograd_for_every_architecture(
    kind: str, parameters: str, architecture: Callable[..., Path]
) -> None:
    loaded = load_model(find_checkpoints(architecture(kind))[0], parameters=parameters)
    batch = examples(5, seed=5)
    _, rows = run(loaded, batch)
    # The kernel of fused experts has no float64.
    dtype = torch.float32 if kind in ("mixtral", "qwen2-moe", "qwen3-moe") else torch.float64
    for position, example in enumerate(batch):
        gradient = reference(loaded, example, dtype)[1]
        assert (rows[position] - gradient).norm() / gradient.norm() < 2e-5
        alone = run(loaded, [example])[1][0]
        assert (rows[position] - alone).norm() / alone.norm() < 2e-5


@pytest.mark.parametrize("parameters", ["lora", "full"])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_checkpointed_gradients_are_the_same(
    kind: str, parameters: str, architecture: Callable[..., Path]
) -> None:
    loaded = load_model(find_checkpoints(architecture(kind))[0], parameters=parameters)
    batch = examples(4, seed=6)
    plain, less = run(loaded, batch)[1], run(loaded, batch, checkpointing=True)[1]
    assert (plain - less).norm() / plain.norm() < 1e-6
    assert not any(module.training for module in loaded.model.modules())


def test_output_layer_in_pieces_gives_the_same(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = examples(7, seed=7)
    losses, rows = run(loaded, batch)
    monkeypatch.setitem(output.LOGIT_BYTES, "cpu", 1)
    monkeypatch.setattr(output, "FEWEST_POSITIONS", 5)
    in_pieces = run(loaded, batch)
    assert torch.allclose(losses, in_pieces[0], rtol=1e-6)
    assert (rows - in_pieces[1]).norm() / rows.norm() < 1e-6


def test_embedding_is_the_position_weighted_mean_of_the_last_hidden_states(loaded: LoadedModel) -> None:
    batch = examples(6, seed=8)
    with GradientEngine(loaded) as engine:
        found = engine.run(batch, None).embeddings
    for row, example in zip(found, batch, strict=True):
        tokens = torch.from_numpy(example.input_ids.astype(np.int64))[None]
        with torch.no_grad():
            states = loaded.model(input_ids=tokens, output_hidden_states=True).hidden_states[-1][0].double()
        weights = torch.arange(1, len(states) + 1, dtype=torch.float64)
        expected = (weights / weights.sum()) @ states
        assert (row - expected).norm() / expected.norm() < 1e-6


def test_half_precision_rows_point_the_same_way(tiny_run: Path) -> None:
    batch = examples(6, seed=9)
    folder = find_checkpoints(tiny_run / "run")[1]
    exact = run(load_model(folder), batch)[1]
    for dtype in ("float16", "bfloat16"):
        rows = run(load_model(folder, dtype=dtype), batch)[1]
        assert rows.dtype == torch.float32
        assert torch.cosine_similarity(exact, rows).min() > 0.99, dtype


def test_gradients_of_what_the_model_knows_well_do_not_vanish_in_half_precision(tiny_run: Path) -> None:
    """Of the gradient of a loss of 1e-5 half precision keeps little, unless it is multiplied before that layer."""
    folder = find_checkpoints(tiny_run / "run")[1]
    known = torch.arange(20)
    found = {}
    for dtype in ("float32", "float16"):
        loaded = load_model(folder, dtype=dtype)
        head = loaded.causal.get_output_embeddings().weight.detach()  # type: ignore[operator, union-attr]
        hidden = head.float()[known]
        hidden = hidden * (18 / (hidden @ hidden.T).diagonal())[:, None]  # logits of 25 for what is right
        output = OutputLayer(loaded.causal, "cpu")
        output.body(known[None])
        scale = 1.0 if dtype == "float32" else HALF_SCALE
        losses, slopes = output.losses(hidden.to(head.dtype), known, torch.full((20,), scale))
        assert slopes is not None
        assert losses.median() < 1e-4
        found[dtype] = slopes.float() / scale
    cosines = torch.cosine_similarity(found["float32"], found["float16"])
    assert cosines.min() > 0.999
