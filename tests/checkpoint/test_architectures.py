"""For every architecture the attributed weights, and what is left out, are the ones they should be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gradstore.checkpoint import (
    LoadedModel,
    find_checkpoints,
    load_factored_moments,
    load_model,
    load_moments,
)
from gradstore.checkpoint.trained import public_name
from tests.architectures import ARCHITECTURES, MODELS, VOCABULARY

Architecture = Callable[..., Path]
LAYERS = {
    "gpt2": {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"},
    "phi3": {"self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"},
    "gpt-neox": {"attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"},
    "opt": {f"self_attn.{x}" for x in ("q_proj", "k_proj", "v_proj", "out_proj")} | {"fc1", "fc2"},
}
ATTENTION = {f"self_attn.{x}_proj" for x in "qkvo"}
MLP = {f"mlp.{x}_proj" for x in ("gate", "up", "down")}
SHARED_EXPERT = {f"mlp.shared_expert.{x}_proj" for x in ("gate", "up", "down")} | {"mlp.shared_expert_gate"}
MIXTURES = {"mixtral": ATTENTION, "qwen3-moe": ATTENTION, "qwen2-moe": ATTENTION | SHARED_EXPERT}


def load(checkpoint: Path, parameters: str = "lora") -> LoadedModel:
    return load_model(find_checkpoints(checkpoint)[0], parameters=parameters)


def expected_layers(name: str) -> set[str]:
    return (LAYERS | MIXTURES).get(name, ATTENTION | MLP)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_lora_attributes_both_matrices_of_every_adapted_layer(name: str, architecture: Architecture) -> None:
    loaded = load(architecture(name))
    adapted = {parameter.split(".lora_")[0].rpartition(".")[2] for parameter, _ in loaded.parameters}
    assert adapted == set(MODELS[name][2])
    kinds = [parameter.rpartition(".lora_")[2] for parameter, _ in loaded.parameters]
    assert kinds == ["A.weight", "B.weight"] * (len(kinds) // 2)
    assert all(type(linear) is torch.nn.Linear for linear in loaded.linears.values())
    assert loaded.unattributed == ()
    assert (loaded.vocabulary, loaded.hidden_size) == (VOCABULARY, 32)
    assert type(loaded.causal).__name__.endswith(("ForCausalLM", "LMHeadModel"))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_full_attributes_every_linear_layer_but_the_output(name: str, architecture: Architecture) -> None:
    loaded = load(architecture(name), "full")
    endings = {parameter.split(".layers.")[-1].split(".h.")[-1] for parameter in loaded.linears}
    layers = expected_layers(name)
    assert endings == {f"{number}.{layer}.weight" for number in range(2) for layer in layers}
    missed = loaded.unattributed
    assert any("embed" in left or ".wte." in left for left in missed)
    assert any("norm" in left or ".ln_" in left for left in missed)
    assert ("lm_head.weight" in missed) == (not loaded.causal.config.tie_word_embeddings)
    experts = {left.rpartition(".mlp.")[2] for left in missed if ".mlp." in left and name in MIXTURES}
    assert experts == (
        {"experts.gate_up_proj", "experts.down_proj", "gate.weight"} if name in MIXTURES else set()
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("parameters", ["lora", "full"])
def test_exactly_the_attributed_weights_require_a_gradient(
    name: str, parameters: str, architecture: Architecture
) -> None:
    loaded = load(architecture(name), parameters)
    wanted = {id(linear.weight) for linear in loaded.linears.values()}
    assert {id(p) for p in loaded.model.parameters() if p.requires_grad} == wanted
    assert not loaded.model.training


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_names_are_those_of_the_plain_model_with_and_without_an_adapter(
    name: str, architecture: Architecture
) -> None:
    adapted = load(architecture(name), "full")
    tuned = load(architecture(name, full=True), "full")
    assert adapted.parameters == tuned.parameters
    assert adapted.unattributed == tuned.unattributed
    everything = {public_name(n) for n, _ in tuned.causal.named_parameters()}
    assert everything == {*tuned.linears, *tuned.unattributed}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_moments_of_the_optimizer_belong_to_the_named_parameter(
    name: str, architecture: Architecture
) -> None:
    checkpoint = architecture(name)
    loaded = load(checkpoint)
    moments = load_moments(checkpoint, loaded)
    stored = torch.load(checkpoint / "optimizer.pt", weights_only=True)["state"]
    for index, (parameter, _) in enumerate(loaded.parameters):
        assert torch.equal(moments.first[parameter], stored[index]["exp_avg"])
        assert torch.equal(moments.second[parameter], stored[index]["exp_avg_sq"])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_factored_moments_are_means_over_inputs_and_outputs(name: str, architecture: Architecture) -> None:
    checkpoint = architecture(name, full=True)
    loaded = load(checkpoint, "full")
    moments = load_factored_moments(checkpoint, loaded)
    exact = load_moments(checkpoint, loaded)
    assert list(moments.rows) == list(loaded.linears) == list(moments.columns)
    for parameter, linear in loaded.linears.items():
        second = exact.second[parameter]
        if type(linear).__name__ == "Conv1D":
            second = second.T
        assert torch.equal(moments.rows[parameter], second.mean(1))
        assert torch.allclose(moments.columns[parameter], second.mean(0), rtol=1e-6)
        probe = torch.zeros(linear.weight.shape[1 if name == "gpt2" else 0])
        assert moments.rows[parameter].shape == probe.shape
