"""Every wrong checkpoint gets one line that names the file and the way out, and runs no code."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from gradstore.checkpoint import find_checkpoints, load_model, load_moments
from gradstore.errors import CheckpointError, GradstoreError, IncompatibleError


@pytest.fixture
def copy(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run / "run" / "checkpoint-8", tmp_path / "checkpoint-8"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def parameters(folder: Path) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return load_model(find_checkpoints(folder)[0]).parameters


def test_run_folder_gives_all_checkpoints_by_step_with_the_mean_rate_of_their_epoch(tiny_run: Path) -> None:
    found = find_checkpoints(tiny_run / "run")
    assert [(c.name, c.step) for c in found] == [("checkpoint-4", 4), ("checkpoint-8", 8)]
    assert found[0].weight == pytest.approx(sum(1e-2 / s for s in (1, 2, 3, 4)) / 4)
    assert found[1].weight == pytest.approx(sum(1e-2 / s for s in (5, 6, 7, 8)) / 4)


def test_moments_are_those_of_the_named_parameter(copy: Path) -> None:
    shapes = parameters(copy)
    state = torch.load(copy / "optimizer.pt", weights_only=True)["state"]
    moments = load_moments(copy, shapes)
    for index, (name, shape) in enumerate(shapes):
        assert tuple(moments.first[name].shape) == shape
        assert torch.equal(moments.first[name], state[index]["exp_avg"])
    assert moments.step == 8


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        find_checkpoints(tmp_path / "nowhere")


def test_folder_without_an_adapter(tmp_path: Path, tiny_run: Path) -> None:
    with pytest.raises(CheckpointError, match=r"adapter_config\.json"):
        find_checkpoints(tmp_path)
    with pytest.raises(CheckpointError, match="gradstore warmup"):
        find_checkpoints(tiny_run / "base")


def test_no_optimizer_state_names_the_file_and_both_ways_out(copy: Path) -> None:
    shapes = parameters(copy)
    (copy / "optimizer.pt").unlink()
    with pytest.raises(CheckpointError, match=r"optimizer\.pt.*--direction sgd.*gradstore warmup"):
        load_moments(copy, shapes)


def test_moments_of_another_shape_name_the_parameter(copy: Path) -> None:
    shapes = list(parameters(copy))
    shapes[3] = (shapes[3][0], (9, 9))
    with pytest.raises(IncompatibleError, match=rf"{shapes[3][0]}.*\(9, 9\)"):
        load_moments(copy, shapes)


def test_moments_of_another_number_of_parameters(copy: Path) -> None:
    with pytest.raises(IncompatibleError, match="moments of 16 parameters, but the adapter trains 15"):
        load_moments(copy, parameters(copy)[:-1])


def test_optimizer_that_is_no_adam_is_named(copy: Path) -> None:
    shapes = parameters(copy)
    state = {i: {"momentum_buffer": torch.zeros(s)} for i, (_, s) in enumerate(shapes)}
    torch.save({"state": state, "param_groups": [{"params": list(state)}]}, copy / "optimizer.pt")
    with pytest.raises(CheckpointError, match="momentum_buffer"):
        load_moments(copy, shapes)


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("file", ["optimizer.pt", "adapter_model.bin"])
def test_malicious_pickle_executes_nothing(copy: Path, tmp_path: Path, file: str) -> None:
    shapes = parameters(copy)
    if file == "adapter_model.bin":
        (copy / "adapter_model.safetensors").unlink()
    (copy / file).write_bytes(pickle.dumps(Malicious(tmp_path / "pwned"), protocol=2))
    with pytest.raises(GradstoreError):
        load_moments(copy, shapes) if file == "optimizer.pt" else load_model(find_checkpoints(copy)[0])
    assert not (tmp_path / "pwned").exists()


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


def test_dora_is_refused_by_name(copy: Path) -> None:
    edit(copy / "adapter_config.json", use_dora=True)
    with pytest.raises(CheckpointError, match="DoRA"):
        load_model(find_checkpoints(copy)[0])


def test_other_trained_modules_are_refused_by_name(tmp_path: Path, tiny_run: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    base = LlamaForCausalLM.from_pretrained(tiny_run / "base")
    lora = LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"])
    get_peft_model(base, lora).save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    with pytest.raises(CheckpointError, match=r"also trains .*lm_head"):
        load_model(find_checkpoints(tmp_path / "adapter")[0], base=str(tiny_run / "base"))


def test_broken_json_is_named(copy: Path) -> None:
    (copy / "trainer_state.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"trainer_state\.json: cannot be read as JSON"):
        find_checkpoints(copy)


def test_damaged_adapter_is_named(copy: Path) -> None:
    path = copy / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(find_checkpoints(copy)[0])
