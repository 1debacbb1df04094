"""Per-example gradients against the obvious way: one example, one backward pass, autograd, in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gradstore.checkpoint import find_checkpoints, load_model
from gradstore.checkpoint.load import LoadedModel
from gradstore.gradients.engine import GradientEngine
from gradstore.records import Example


def examples(count: int, vocabulary: int = 64, seed: int = 0) -> list[Example]:
    draw = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        size = int(draw.integers(3, 30))
        tokens = draw.integers(0, vocabulary, size).astype(np.int32)
        labels = np.where(np.arange(size) < draw.integers(0, size - 1), -100, tokens).astype(np.int32)
        made.append(Example(tokens, labels))
    return made


def run(loaded: LoadedModel, batch: list[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    found: dict[int, torch.Tensor] = {}
    with GradientEngine(loaded) as engine:
        losses = engine.run(batch, lambda parameter, gradients: found.__setitem__(parameter, gradients))
    return losses, torch.cat([found[i] for i in range(len(found))], dim=1)


def reference(model: nn.Module, example: Example) -> tuple[float, torch.Tensor]:
    """Autograd on a batch of one in float64, with transformers' own loss."""
    double = model.double()
    tokens = torch.from_numpy(example.input_ids.astype(np.int64))[None]
    labels = torch.from_numpy(example.labels.astype(np.int64))[None]
    double.zero_grad()
    loss = double(input_ids=tokens, labels=labels).loss
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in double.parameters() if p.requires_grad])
    double.zero_grad()
    model.float()
    return loss.item(), gradient


@pytest.fixture(scope="module")
def loaded(tiny_run: Path) -> LoadedModel:
    return load_model(find_checkpoints(tiny_run / "run")[1])


def test_rows_equal_autograd_one_example_at_a_time(loaded: LoadedModel) -> None:
    batch = examples(9)
    losses, rows = run(loaded, batch)
    for position, example in enumerate(batch):
        loss, gradient = reference(loaded.model, example)
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


def tiny_model(kind: str) -> nn.Module:
    from transformers import (
        AutoModelForCausalLM,
        GemmaConfig,
        GPT2Config,
        MistralConfig,
        Qwen2Config,
        Qwen3Config,
    )

    shape = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    more = {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64}
    configs = {
        "gpt2": lambda: GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=64),
        "gemma": lambda: GemmaConfig(**shape, **more),
        "mistral": lambda: MistralConfig(**shape, **more),
        "qwen2": lambda: Qwen2Config(
            **shape, intermediate_size=48, num_key_value_heads=2, tie_word_embeddings=True
        ),
        "qwen3": lambda: Qwen3Config(**shape, **more),
    }
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(configs[kind]())


@pytest.mark.parametrize("kind", ["gpt2", "gemma", "mistral", "qwen2", "qwen3"])
def test_rows_equal_autograd_for_every_architecture(kind: str, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    tiny_model(kind).save_pretrained(tmp_path / "base")
    targets = ["c_attn", "c_proj"] if kind == "gpt2" else ["q_proj", "o_proj", "down_proj"]
    adapter = get_peft_model(
        tiny_model(kind),
        LoraConfig(r=2, target_modules=targets, init_lora_weights=False, fan_in_fan_out=kind == "gpt2"),
    )
    adapter.save_pretrained(tmp_path / "adapter")
    loaded = load_model(find_checkpoints(tmp_path / "adapter")[0], base=str(tmp_path / "base"))
    batch = examples(5, seed=5)
    _, rows = run(loaded, batch)
    for position, example in enumerate(batch):
        gradient = reference(loaded.model, example)[1]
        assert (rows[position] - gradient).norm() / gradient.norm() < 2e-5
