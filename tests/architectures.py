"""Tiny models of every architecture that is tested, with random weights, saved as trainers save them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

VOCABULARY = 128
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
# Type in transformers, what differs from SHAPE, and the layers that the adapter goes on.
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MODELS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "llama": ("llama", {}, (*ATTENTION, "gate_proj", "up_proj", "down_proj")),
    "llama-tied": ("llama", {"tie_word_embeddings": True}, ATTENTION),
    "qwen2": ("qwen2", {}, ATTENTION),
    "qwen3": ("qwen3", {"tie_word_embeddings": True}, ATTENTION),
    "mistral": ("mistral", {"sliding_window": 8}, ATTENTION),
    "gemma2": (
        "gemma2",
        {"tie_word_embeddings": True, "query_pre_attn_scalar": 8, "sliding_window": 8},
        ATTENTION,
    ),
    "gemma3": ("gemma3_text", {"query_pre_attn_scalar": 8, "sliding_window": 8}, ATTENTION),
    "gpt2": ("gpt2", {"n_inner": 48, "tie_word_embeddings": True}, ("c_attn", "c_proj", "c_fc")),
    "phi3": ("phi3", {}, ("qkv_proj", "o_proj", "gate_up_proj")),
    "mixtral": ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}, ATTENTION),
    "qwen2-moe": (
        "qwen2_moe",
        {**EXPERTS, "shared_expert_intermediate_size": 24},
        ("q_proj", "v_proj", "up_proj"),
    ),
    "qwen3-moe": ("qwen3_moe", EXPERTS, ATTENTION),
    "gpt-neox": ("gpt_neox", {}, ("query_key_value", "dense", "dense_h_to_4h")),
    "opt": (
        "opt",
        {"ffn_dim": 48, "word_embed_proj_dim": 32, "tie_word_embeddings": True},
        ("q_proj", "fc1", "fc2"),
    ),
}
ARCHITECTURES = tuple(MODELS)
STEPS = 3


def make_model(name: str) -> Any:
    """The model alone, with weights large enough for gradients to differ."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, changes, _ = MODELS[name]
    torch.manual_seed(ARCHITECTURES.index(name))
    shape = {"tie_word_embeddings": False} | SHAPE | changes
    if kind == "gpt_neox":  # takes no number of key-value heads
        shape = {key: value for key, value in shape.items() if key not in ("num_key_value_heads", "head_dim")}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.08)
    return model.eval()


def adapt(name: str, folder: Path, **lora: Any) -> Any:
    """A peft model on a base that is saved in ``folder/base``; `lora` are settings of peft's LoraConfig."""
    from peft import LoraConfig, get_peft_model

    model = make_model(name)
    model.save_pretrained(folder / "base")
    settings: dict[str, Any] = {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": list(MODELS[name][2]),
        "fan_in_fan_out": name == "gpt2",
        "task_type": "CAUSAL_LM",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # peft's doubts about settings that are tested here
        adapted = get_peft_model(model, LoraConfig(**settings | lora))
    adapted.peft_config["default"].base_model_name_or_path = str(folder / "base")
    return adapted


def build(name: str, folder: Path) -> Path:
    """A base model in ``folder/base``, and a LoRA checkpoint of it after a few steps of AdamW."""
    return train(adapt(name, folder), folder / "run" / f"checkpoint-{STEPS}")


def build_full(name: str, folder: Path) -> Path:
    """A full fine-tune after a few steps of AdamW."""
    return train(make_model(name), folder / "full" / f"checkpoint-{STEPS}")


def train(
    model: Any,
    checkpoint: Path,
    optimizer: Callable[[list[dict[str, Any]]], Any] | None = None,
    **saving: Any,
) -> Path:
    """Train for a few steps on random tokens, and save as Trainer does: decayed parameters first."""
    import torch
    from transformers import Trainer

    decayed = Trainer.get_decay_parameter_names(None, model)
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in trained if name in decayed], "weight_decay": 0.01},
        {"params": [p for name, p in trained if name not in decayed], "weight_decay": 0.0},
    ]
    stepper = (optimizer or (lambda given: torch.optim.AdamW(given, lr=1e-2)))(groups)
    draw = torch.Generator().manual_seed(7)
    history = []
    for step in range(1, STEPS + 1):
        tokens = torch.randint(3, VOCABULARY, (4, 12), generator=draw)
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
        stepper.step()
        stepper.zero_grad()
        history.append({"step": step, "epoch": step / STEPS, "learning_rate": 1e-2})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.save_pretrained(checkpoint, **saving)
    torch.save(stepper.state_dict(), checkpoint / "optimizer.pt")
    state = {"global_step": STEPS, "epoch": 1.0, "log_history": history}
    (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    return checkpoint
