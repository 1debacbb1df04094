"""Moments belong to the parameter whose name they carry, whoever wrote the optimizer's state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gradstore.checkpoint import (
    LoadedModel,
    find_checkpoints,
    load_model,
    load_moments,
)

Train = Callable[..., Any]
OTHER_TRAINED: list[tuple[str, dict[str, Any]]] = [
    ("gpt2", {"bias": "all", "modules_to_save": ["ln_1"]}),
    ("qwen2", {"lora_bias": True, "modules_to_save": ["input_layernorm", "lm_head"]}),
    ("llama", {"target_modules": ["q_proj", "embed_tokens"], "modules_to_save": ["norm"]}),
]


def check(made: Any, loaded: LoadedModel) -> None:
    moments = load_moments(made.path, loaded)
    assert set(moments.first) == set(moments.second) == set(loaded.linears)
    for name, theirs in made.attributed(loaded).items():
        state = made.state(theirs)
        assert torch.equal(moments.first[name], state["exp_avg"])
        assert torch.equal(moments.second[name], state["exp_avg_sq"])
    assert moments.step == 3


@pytest.mark.parametrize(("name", "lora"), OTHER_TRAINED, ids=lambda value: str(value))
def test_parameters_without_decay_come_second(name: str, lora: dict[str, Any], trained: Train) -> None:
    made = trained(name, **lora)
    groups = made.optimizer.param_groups
    assert all(group["params"] for group in groups)
    loaded = made.load()
    check(made, loaded)
    assert loaded.unattributed


def test_groups_of_earlier_trainers_gave_decay_to_a_models_own_norm(trained: Train) -> None:
    made = trained("qwen2", None, lora_bias=True, modules_to_save=["input_layernorm"])
    every = [(name, p) for name, p in made.model.named_parameters() if p.requires_grad]
    groups = [[p for n, p in every if "bias" not in n], [p for n, p in every if "bias" in n]]
    for group, parameters in zip(made.optimizer.param_groups, groups, strict=True):
        group["params"] = parameters
    torch.save(made.optimizer.state_dict(), made.path / "optimizer.pt")
    check(made, made.load())


def test_one_group_in_the_models_own_order(trained: Train) -> None:
    made = trained("qwen2", None, lora_bias=True, modules_to_save=["input_layernorm"])
    made.optimizer.param_groups = made.optimizer.param_groups[:1]
    made.optimizer.param_groups[0]["params"] = [p for p in made.model.parameters() if p.requires_grad]
    torch.save(made.optimizer.state_dict(), made.path / "optimizer.pt")
    check(made, made.load())


def test_lora_plus_groups(trained: Train) -> None:
    made = trained("llama", lambda groups: torch.optim.AdamW(groups, lr=1e-3))
    from peft.optimizers import create_loraplus_optimizer

    other = create_loraplus_optimizer(made.model, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=4)
    tokens = torch.randint(3, 128, (2, 12))
    for _ in range(3):
        made.model(input_ids=tokens, labels=tokens).loss.backward()
        other.step()
    made.optimizer = other
    torch.save(other.state_dict(), made.path / "optimizer.pt")
    made.model.save_pretrained(made.path)
    check(made, made.load())


def test_checkpoint_of_the_real_trainer(tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    from tests.architectures import adapt

    model = adapt("gpt2", tmp_path, bias="all", modules_to_save=["ln_1"])
    rows = [{"input_ids": list(range(3, 15)), "labels": list(range(3, 15))} for _ in range(6)]
    arguments = TrainingArguments(
        tmp_path / "run", max_steps=2, save_steps=2, per_device_train_batch_size=2, use_cpu=True, report_to=[]
    )
    trainer = Trainer(model, arguments, train_dataset=rows)
    trainer.train()
    folder = find_checkpoints(tmp_path / "run")[0]
    loaded = load_model(folder)
    moments = load_moments(folder.path, loaded)
    named = {name.replace(".default", ""): p for name, p in model.named_parameters()}
    state = trainer.optimizer.optimizer.state
    for name in loaded.linears:
        assert torch.equal(moments.first[name], state[named[name]]["exp_avg"])
    assert (moments.step, moments.betas, moments.eps) == (2, (0.9, 0.999), 1e-8)


PREFIXES = ["", "module.", "_fsdp_wrapped_module.", "module._orig_mod."]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_fsdp_state_is_keyed_by_name(prefix: str, trained: Train) -> None:
    made = trained("llama", lora_bias=True)
    names = {id(p): name for name, p in made.model.named_parameters()}
    inner = {name: name.replace("layers.0.", "layers.0._fsdp_wrapped_module.") for name in names.values()}
    state = {
        prefix + (inner[names[id(p)]] if "fsdp" in prefix else names[id(p)]): made.optimizer.state[p]
        for p in reversed(list(made.optimizer.state))
    }
    groups = [{**group, "params": list(state)} for group in made.optimizer.state_dict()["param_groups"][:1]]
    (made.path / "optimizer.pt").unlink()
    torch.save({"state": state, "param_groups": groups}, made.path / "optimizer.bin")
    check(made, made.load())


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("amsgrad", [True, False])
def test_every_adamw_of_torch_is_read(fused: bool, amsgrad: bool, trained: Train) -> None:
    made = trained("llama", lambda groups: torch.optim.AdamW(groups, lr=1e-2, fused=fused, amsgrad=amsgrad))
    check(made, made.load())


def test_state_stays_in_the_file_until_it_is_used(copy: Callable[..., Path]) -> None:
    """A mapped tensor follows the file; one that was read would not."""
    folder = copy()
    loaded = load_model(find_checkpoints(folder)[0])
    name = loaded.parameters[0][0]
    moments = load_moments(folder, loaded)
    stored = moments.first[name].clone()
    path = folder / "optimizer.pt"
    content = path.read_bytes()
    at = content.index(stored.numpy().tobytes())
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(stored.numel() * 4))
    assert not moments.first[name].any()
