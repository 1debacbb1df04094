"""Quantised bases compute with their dequantised weights, and what is missing is said in one line."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gradstore.checkpoint import InitLora, find_checkpoints, load_model
from gradstore.errors import CheckpointError, GradstoreError, UsageError

Copy = Callable[..., Path]
TOKENS = torch.randint(3, 128, (3, 17), generator=torch.Generator().manual_seed(0))
FRESH = InitLora(4, 8, (), 0)


def with_config(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def test_missing_bitsandbytes(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(
        CheckpointError, match=r"quantize '4bit': bitsandbytes is not installed; `pip install"
    ):
        load_model(find_checkpoints(copy())[0], quantize="4bit")


def test_bitsandbytes_that_does_not_know_the_device(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    old = types.ModuleType("bitsandbytes")
    old.__version__ = "0.44.1"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bitsandbytes", old)
    with pytest.raises(CheckpointError, match=r"bitsandbytes 0\.44\.1 does not work on cpu; use a GPU"):
        load_model(find_checkpoints(copy())[0], quantize="8bit")


def test_bitsandbytes_that_fails_to_load(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    from gradstore.checkpoint import quantized

    def fail(name: str) -> Any:
        raise RuntimeError("CUDA Setup failed\nmore")

    monkeypatch.setattr(quantized, "import_module", fail)
    with pytest.raises(CheckpointError, match=r"does not work here \(CUDA Setup failed\)"):
        load_model(find_checkpoints(copy())[0], quantize="4bit")


def test_unknown_quantisation(copy: Copy) -> None:
    with pytest.raises(UsageError, match=r"unknown quantisation '3bit'.*Available: 4bit, 8bit"):
        load_model(find_checkpoints(copy())[0], quantize="3bit")


def test_full_parameters_of_a_quantised_base(copy: Copy) -> None:
    with pytest.raises(UsageError, match="leave `--quantize` out"):
        load_model(find_checkpoints(copy())[0], parameters="full", quantize="4bit")


@pytest.mark.parametrize("method", ["gptq", "awq", "fp8", "mxfp4"])
def test_base_stored_in_another_quantised_form(method: str, copy: Copy) -> None:
    folder = with_config(copy(full=True), quantization_config={"quant_method": method})
    with pytest.raises(CheckpointError, match=rf"quantised with {method}, which is not supported.*--base"):
        load_model(find_checkpoints(folder)[0], init_lora=FRESH)


def test_base_stored_by_bitsandbytes_where_it_is_missing(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    stored = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    folder = with_config(copy(full=True), quantization_config=stored)
    with pytest.raises(CheckpointError, match=r"base model .*: bitsandbytes is not installed"):
        load_model(find_checkpoints(folder)[0], init_lora=FRESH)


def dequantized(model: Any) -> Any:
    """The same model with ordinary layers."""
    import bitsandbytes as bnb
    from torch import nn

    for path, layer in list(model.named_modules()):
        if isinstance(layer, bnb.nn.Linear4bit):
            weight = bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        elif isinstance(layer, bnb.nn.Linear8bitLt):
            weight = layer.weight.data.float() * layer.weight.SCB[:, None] / 127
        else:
            continue
        plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
        plain.weight.data = weight.float()
        if layer.bias is not None:
            plain.bias.data = layer.bias.data
        owner, _, leaf = path.rpartition(".")
        setattr(model.get_submodule(owner), leaf, plain.requires_grad_(False))
    return model


def gradients(loaded: Any, rows: torch.Tensor) -> dict[str, torch.Tensor]:
    loaded.model.zero_grad()
    loaded.model(input_ids=rows, labels=rows).loss.backward()
    return {name: linear.weight.grad.clone() for name, linear in loaded.linears.items()}


@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2", "mixtral"])
@pytest.mark.parametrize("quantize", ["4bit", "8bit"])
def test_gradients_are_those_of_the_dequantised_model(
    name: str, quantize: str, architecture: Callable[..., Path]
) -> None:
    pytest.importorskip("bitsandbytes")
    folder = find_checkpoints(architecture(name))[0]
    loaded = load_model(folder, quantize=quantize)
    assert {id(p) for p in loaded.model.parameters() if p.requires_grad} == {
        id(linear.weight) for linear in loaded.linears.values()
    }
    assert (loaded.vocabulary, loaded.hidden_size) == (128, 32)
    with torch.no_grad():
        loaded.model(input_ids=TOKENS)  # a pass without gradients must not change what follows
    mine = gradients(loaded, TOKENS)
    alone = gradients(loaded, TOKENS[1:2])
    plain = load_model(folder, quantize=quantize)
    dequantized(plain.model)
    for parameter, exact in gradients(plain, TOKENS).items():
        assert (mine[parameter] - exact).norm() <= 1e-5 * exact.norm()
    for parameter, exact in gradients(plain, TOKENS[1:2]).items():
        assert (alone[parameter] - exact).norm() <= 1e-5 * exact.norm()


def test_base_stored_by_bitsandbytes_is_used_as_it_is(
    tmp_path: Path, architecture: Callable[..., Path]
) -> None:
    pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    base = architecture("llama").parents[1] / "base"
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    stored = AutoModelForCausalLM.from_pretrained(base, quantization_config=config, device_map={"": "cpu"})
    stored.save_pretrained(tmp_path / "stored")
    folder = find_checkpoints(architecture("llama"))[0]
    loaded = load_model(folder, base=str(tmp_path / "stored"))
    fresh = load_model(folder, quantize="4bit")
    for name, exact in gradients(fresh, TOKENS).items():
        assert torch.allclose(gradients(loaded, TOKENS)[name], exact, rtol=1e-4, atol=1e-7)
    with pytest.raises(UsageError, match="quantised already; leave `--quantize` out"):
        load_model(folder, base=str(tmp_path / "stored"), quantize="4bit")
    with pytest.raises(GradstoreError, match="full-parameter gradients need the model it was made from"):
        load_model(folder, base=str(tmp_path / "stored"), parameters="full")
