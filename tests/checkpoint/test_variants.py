"""Adapters of every kind that peft writes: the model is the trained one, or the adapter is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from gradstore.checkpoint import CheckpointFolder, find_checkpoints, load_model
from gradstore.errors import CheckpointError, UsageError

Train = Callable[..., Any]
TOKENS = torch.arange(3, 20)[None]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=TOKENS, use_cache=False).logits  # type: ignore[no-any-return]


EXACT: list[tuple[str, dict[str, Any]]] = [
    ("llama", {"use_rslora": True}),
    ("llama", {"init_lora_weights": "gaussian"}),
    ("llama", {"init_lora_weights": "orthogonal"}),
    ("llama", {"init_lora_weights": "pissa"}),
    ("gpt2", {"init_lora_weights": "pissa"}),
    ("llama", {"init_lora_weights": "olora"}),
    ("llama", {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}}),
    ("llama", {"layers_to_transform": [1]}),
]


@pytest.mark.parametrize(("name", "lora"), EXACT, ids=lambda value: str(value))
@pytest.mark.parametrize("parameters", ["lora", "full"])
def test_loaded_model_computes_what_the_trained_one_did(
    name: str, lora: dict[str, Any], parameters: str, trained: Train
) -> None:
    made = trained(name, **lora)
    loaded = made.load(parameters=parameters)
    assert torch.equal(logits(loaded.model), logits(made.model))


LEFT_OUT: list[tuple[str, dict[str, Any], list[str]]] = [
    ("llama", {"lora_bias": True}, ["q_proj.lora_B.bias", "down_proj.lora_B.bias"]),
    ("gpt2", {"bias": "all"}, ["h.0.ln_1.bias", "h.0.attn.c_attn.base_layer.bias", "ln_f.bias"]),
    ("qwen2", {"bias": "lora_only"}, ["q_proj.base_layer.bias"]),
    ("llama", {"modules_to_save": ["lm_head", "embed_tokens"]}, ["lm_head.modules_to_save.weight"]),
    ("gpt2", {"modules_to_save": ["ln_1"]}, ["h.0.ln_1.modules_to_save.weight"]),
    ("llama", {"target_modules": ["q_proj", "embed_tokens"]}, ["embed_tokens.lora_embedding_A"]),
    ("llama", {"trainable_token_indices": [3, 5]}, ["embed_tokens.token_adapter.trainable_tokens_delta"]),
]


@pytest.mark.parametrize(("name", "lora", "endings"), LEFT_OUT, ids=lambda value: str(value))
def test_what_else_was_trained_is_used_and_named_as_unattributed(
    name: str, lora: dict[str, Any], endings: list[str], trained: Train
) -> None:
    made = trained(name, **lora)
    loaded = made.load()
    assert torch.equal(logits(loaded.model), logits(made.model))
    for ending in endings:
        assert any(left.endswith(ending) for left in loaded.unattributed)
    everything = {n.replace(".default", "") for n, p in made.model.named_parameters() if p.requires_grad}
    assert everything == {*loaded.linears, *loaded.unattributed}
    assert (loaded.vocabulary, loaded.hidden_size) == (128, 32)


def test_full_parameters_of_a_replaced_module_are_those_of_the_copy_in_use(trained: Train) -> None:
    made = trained("llama", target_modules=["q_proj"], modules_to_save=["gate_proj"])
    loaded = made.load(parameters="full")
    name = "model.layers.0.mlp.gate_proj.weight"
    in_use = "base_model.model.model.layers.0.mlp.gate_proj.modules_to_save.default.weight"
    assert torch.equal(loaded.linears[name].weight, dict(made.model.named_parameters())[in_use])
    assert not any(
        "modules_to_save" in n or "original_module" in n for n in (*loaded.linears, *loaded.unattributed)
    )


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"use_dora": True}, r"DoRA.*supported are LoRA and rsLoRA"),
    ({"alora_invocation_tokens": [5]}, "aLoRA"),
    ({"target_parameters": ["mlp.experts.gate_up_proj"]}, "MoE experts"),
    ({"layer_replication": [[0, 2], [0, 2]]}, "replicated"),
    ({"megatron_config": {"x": 1}}, "Megatron"),
    ({"kasa_config": {"beta": 1}}, "KaSA"),
    ({"init_lora_weights": "pissa_niter_4"}, r"randomised SVD.*path_initial_model_for_weight_conversion"),
    ({"init_lora_weights": "loftq"}, "LoftQ"),
    ({"init_lora_weights": "corda"}, "CorDA"),
    ({"init_lora_weights": "lora_ga"}, "LoRA-GA"),
    ({"init_lora_weights": "mica"}, "MiCA"),
    ({"init_lora_weights": "something_new"}, "something_new"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED, ids=lambda value: str(value))
def test_variants_that_are_not_exact_are_refused_by_name(
    settings: dict[str, Any], message: str, copy: Callable[..., Path]
) -> None:
    folder = copy()
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    with pytest.raises(CheckpointError, match=message):
        load_model(find_checkpoints(folder)[0])


def test_randomised_pissa_really_loads_as_another_model(trained: Train) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    made = trained("llama", init_lora_weights="pissa_niter_4")
    base = AutoModelForCausalLM.from_pretrained(made.path.parents[1] / "base")
    again = PeftModel.from_pretrained(base, made.path).eval()
    assert (logits(again) - logits(made.model)).abs().max() > 1e-2


@pytest.mark.parametrize("kind", ["VERA", "ADALORA", "XLORA", "IA3"])
def test_other_kinds_of_adapters_are_refused_by_name(kind: str, copy: Callable[..., Path]) -> None:
    folder = copy()
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"peft_type": kind}))
    with pytest.raises(CheckpointError, match=f"{kind}.*only LORA"):
        find_checkpoints(folder)


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> CheckpointFolder:
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})
    return find_checkpoints(folder)[0]


def test_a_matrix_missing_from_the_adapter_is_an_error_not_a_random_matrix(copy: Callable[..., Path]) -> None:
    name = "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight"
    found = rewrite(copy(), lambda tensors: tensors.__delitem__(name))
    with pytest.raises(CheckpointError, match=f"lacks {name}"):
        load_model(found)


def test_a_matrix_that_the_configuration_leaves_out_is_an_error(copy: Callable[..., Path]) -> None:
    folder = copy()
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"target_modules": ["q_proj"]}))
    with pytest.raises(CheckpointError, match=r"holds .*lora_A.*leaves out"):
        load_model(find_checkpoints(folder)[0])


def test_adapter_with_added_tokens_resizes_the_base(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    from tests.architectures import make_model, train

    make_model("llama").save_pretrained(tmp_path / "base")
    model = make_model("llama")
    model.resize_token_embeddings(131, mean_resizing=False)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    adapted.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    path = train(adapted, tmp_path / "checkpoint-3", save_embedding_layers=True)
    loaded = load_model(find_checkpoints(path)[0])
    assert loaded.vocabulary == 131
    assert torch.equal(logits(loaded.model), logits(adapted.eval()))


def test_fresh_adapter_on_a_checkpoint_that_has_one_is_refused(copy: Callable[..., Path]) -> None:
    from gradstore.checkpoint import InitLora

    with pytest.raises(UsageError, match="has an adapter already"):
        load_model(find_checkpoints(copy())[0], init_lora=InitLora())
