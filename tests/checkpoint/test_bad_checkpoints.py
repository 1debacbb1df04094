"""Every wrong checkpoint gets one line that names the file and the way out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gradstore.checkpoint import find_checkpoints, load_model
from gradstore.errors import CheckpointError, IncompatibleError


@pytest.fixture
def copy(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run / "run" / "checkpoint-8", tmp_path / "checkpoint-8"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_run_folder_gives_all_checkpoints_by_step_with_the_mean_rate_of_their_epoch(tiny_run: Path) -> None:
    found = find_checkpoints(tiny_run / "run")
    assert [(c.name, c.step) for c in found] == [("checkpoint-4", 4), ("checkpoint-8", 8)]
    assert found[0].weight == pytest.approx(sum(1e-2 / s for s in (1, 2, 3, 4)) / 4)
    assert found[1].weight == pytest.approx(sum(1e-2 / s for s in (5, 6, 7, 8)) / 4)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        find_checkpoints(tmp_path / "nowhere")


def test_folder_without_an_adapter_or_a_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no adapter_config\.json, no config\.json"):
        find_checkpoints(tmp_path)


def test_base_model_of_another_width_names_the_layer(copy: Path, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64, hidden_size=48, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "wide")
    with pytest.raises(IncompatibleError, match=r"expects 32 inputs.*has 48.*right base model"):
        load_model(find_checkpoints(copy)[0], base=str(tmp_path / "wide"))


def test_adapter_for_layers_that_the_base_does_not_have(copy: Path, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4)).save_pretrained(
        tmp_path / "gpt2"
    )
    with pytest.raises(IncompatibleError, match="does not have; is it the right base model"):
        load_model(find_checkpoints(copy)[0], base=str(tmp_path / "gpt2"))


def test_missing_base_model_says_how_to_give_another(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="--base"):
        load_model(find_checkpoints(copy)[0], base=str(tmp_path / "gone"))
    edit(copy / "adapter_config.json", base_model_name_or_path=None)
    with pytest.raises(CheckpointError, match="does not name its base model"):
        load_model(find_checkpoints(copy)[0])


def test_adapter_that_is_no_lora_is_named(copy: Path) -> None:
    edit(copy / "adapter_config.json", peft_type="IA3")
    with pytest.raises(CheckpointError, match="IA3"):
        find_checkpoints(copy)


def test_broken_json_is_named(copy: Path) -> None:
    (copy / "trainer_state.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"trainer_state\.json: cannot be read as JSON"):
        find_checkpoints(copy)


def test_damaged_adapter_is_named(copy: Path) -> None:
    path = copy / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(find_checkpoints(copy)[0])


def test_an_adapter_of_a_training_that_diverged_is_refused(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = copy / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if "lora_B" in name)
    tensors[name][0, 0] = float("nan")
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"lora_B.* not finite: the training has diverged"):
        load_model(find_checkpoints(copy)[0])
