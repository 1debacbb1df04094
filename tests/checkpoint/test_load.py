"""Options that fit the checkpoint give the model they say; others are refused with the way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gradstore.checkpoint import InitLora, LoadedModel, find_checkpoints, load_model
from gradstore.checkpoint.linears import weight_of
from gradstore.errors import CheckpointError, UsageError
from tests.architectures import ARCHITECTURES

Architecture = Callable[..., Path]


def base_of(checkpoint: Path) -> Path:
    return checkpoint.parents[1] / "base"


def fresh(folder: Path, init: InitLora) -> LoadedModel:
    return load_model(find_checkpoints(folder)[0], init_lora=init)


def test_full_model_without_an_adapter_names_the_three_ways_out(architecture: Architecture) -> None:
    base = base_of(architecture("llama"))
    with pytest.raises(
        CheckpointError, match=rf"gradstore warmup --model {base}`.*`--parameters full`.*`--init-lora`"
    ):
        load_model(find_checkpoints(base)[0])


def test_options_that_contradict_each_other(architecture: Architecture) -> None:
    base = find_checkpoints(base_of(architecture("llama")))[0]
    with pytest.raises(UsageError, match=r"unknown parameters 'all'.*Available: full, lora"):
        load_model(base, parameters="all")
    with pytest.raises(UsageError, match="its own base; leave `--base` out"):
        load_model(base, parameters="full", base="elsewhere")
    with pytest.raises(UsageError, match="choose it or `--init-lora`"):
        load_model(base, parameters="full", init_lora=InitLora())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_fresh_adapter_leaves_the_model_as_it_is_and_learns_through_b(
    name: str, architecture: Architecture
) -> None:
    base = base_of(architecture(name))
    loaded = fresh(base, InitLora(r=3, alpha=6))
    tokens = torch.randint(3, 128, (2, 9))
    outputs = loaded.model(input_ids=tokens, labels=tokens)
    plain = load_model(find_checkpoints(base)[0], parameters="full").model(input_ids=tokens).logits
    assert torch.equal(outputs.logits, plain)
    outputs.loss.backward()
    for parameter, linear in loaded.linears.items():
        gradient = weight_of(linear).grad
        assert gradient is not None
        assert bool(gradient.any()) == (".lora_B." in parameter)
    assert loaded.unattributed == ()


def test_fresh_adapter_is_decided_by_its_seed_alone(architecture: Architecture) -> None:
    base = base_of(architecture("llama"))
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = fresh(base, InitLora(seed=5))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = fresh(base, InitLora(seed=5)), fresh(base, InitLora(seed=6))
    assert one.adapter_digest == again.adapter_digest != other.adapter_digest
    assert one.base_digest == other.base_digest
    assert all(torch.equal(weight_of(one.linears[n]), weight_of(again.linears[n])) for n in one.linears)
    assert one.lora == {
        "peft_type": "LORA",
        "r": 8,
        "lora_alpha": 16,
        "target_modules": ["k_proj", "o_proj", "q_proj", "v_proj"],
        "init_lora_weights": "fresh",
        "seed": 5,
    }


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("mistral", {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("gpt2", {"c_attn"}),
        ("gpt-neox", {"query_key_value"}),
        ("opt", {"q_proj", "v_proj"}),
        ("phi3", {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}),
    ],
)
def test_default_targets_are_the_usual_ones_of_the_architecture(
    name: str, targets: set[str], architecture: Architecture
) -> None:
    loaded = fresh(base_of(architecture(name)), InitLora())
    assert {n.split(".lora_")[0].rpartition(".")[2] for n in loaded.linears} == targets
    assert set(loaded.lora["target_modules"]) == targets


def test_targets_of_choice(architecture: Architecture) -> None:
    base = base_of(architecture("llama"))
    chosen = fresh(base, InitLora(2, 4, ("down_proj", "q_proj"), 0))
    assert {n.split(".lora_")[0].rpartition(".")[2] for n in chosen.linears} == {"down_proj", "q_proj"}
    assert len(fresh(base, InitLora(2, 4, ("all-linear",), 0)).linears) == 2 * 14
    with pytest.raises(
        CheckpointError, match=r"no linear module lm_head, w; choose .*: down_proj, gate_proj"
    ):
        fresh(base, InitLora(2, 4, ("lm_head", "w"), 0))
    with pytest.raises(UsageError, match="rank and alpha"):
        fresh(base, InitLora(0, 4, (), 0))


def test_base_that_lacks_weights_is_an_error_not_random_numbers(copy: Callable[..., Path]) -> None:
    folder = copy(full=True)
    # Copies: what is read is mapped, and safetensors before 0.8 writes into the same file.
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lack 1 weights \(model\.layers\.1\.mlp\.up_proj\.weight\)"):
        load_model(find_checkpoints(folder)[0], parameters="full")
    tensors["model.layers.1.mlp.up_proj.weight"] = torch.zeros(3, 3)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"other shapes than its config\.json says"):
        load_model(find_checkpoints(folder)[0], parameters="full")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_lora_matrices_stay_in_float32(dtype: str, architecture: Architecture) -> None:
    for loaded in (
        load_model(find_checkpoints(architecture("llama"))[0], dtype=dtype),
        load_model(find_checkpoints(base_of(architecture("llama")))[0], dtype=dtype, init_lora=InitLora()),
    ):
        assert {weight_of(linear).dtype for linear in loaded.linears.values()} == {torch.float32}
        assert loaded.causal.get_input_embeddings().weight.dtype == getattr(torch, dtype)


def test_full_parameters_with_an_adapter_are_those_behind_it(architecture: Architecture) -> None:
    """The layer inside the LoRA layer is attributed, and the adapter still takes part in the forward pass."""
    checkpoint = architecture("llama")
    adapted = load_model(find_checkpoints(checkpoint)[0], parameters="full")
    plain = load_model(find_checkpoints(base_of(checkpoint))[0], parameters="full")
    assert adapted.parameters == plain.parameters
    for name, linear in plain.linears.items():
        assert torch.equal(weight_of(adapted.linears[name]), weight_of(linear))
    tokens = torch.randint(3, 128, (2, 9))
    assert not torch.allclose(adapted.model(input_ids=tokens).logits, plain.model(input_ids=tokens).logits)
    assert adapted.adapter_digest
    assert not plain.adapter_digest


def test_only_the_text_model_of_a_multimodal_one_is_attributed(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, Gemma3Config

    from gradstore.checkpoint import load_moments
    from tests.architectures import SHAPE, train

    text = SHAPE | {"query_pre_attn_scalar": 8}
    image = {"num_hidden_layers": 1, "num_attention_heads": 4, "image_size": 28, "patch_size": 14}
    config = Gemma3Config(
        text_config=text,
        vision_config=image | {"hidden_size": 32, "intermediate_size": 48},
        mm_tokens_per_image=4,
        image_token_index=5,
    )
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path / "base")
    base = find_checkpoints(tmp_path / "base")[0]
    full = load_model(base, parameters="full")
    assert len(full.linears) == 2 * 7
    assert all("language_model.layers" in name for name in full.linears)
    assert not any("vision" in name for name in full.unattributed)
    assert all("language_model" in name for name in fresh(tmp_path / "base", InitLora()).linears)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    adapted.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    path = train(adapted, tmp_path / "checkpoint-3")  # on text: the image tower's matrices have no moments
    loaded = load_model(find_checkpoints(path)[0])
    assert len(loaded.linears) == 2 * 2
    assert loaded.unattributed == ()
    assert all(load_moments(path, loaded).second[name].any() for name in loaded.linears)
