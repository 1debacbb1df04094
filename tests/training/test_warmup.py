from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gradstore.demo.model import make_model
from gradstore.demo.skills import instruction_set, write_rows
from gradstore.errors import CheckpointError, DataError, GradstoreError, UsageError
from gradstore.training import warmup
from gradstore.training.lora import fitting_micro_batch, pad

SMALL = {"fraction": 0.2, "epochs": 2, "lr": 1e-3, "lora_r": 4, "lora_alpha": 8, "batch_size": 4}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    make_model(folder, instruction_set(pool=30, target=1, lessons=60).lessons, steps=0, hidden=32, layers=1)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = instruction_set(pool=60, target=1).pool[:60]
    return write_rows(tmp_path_factory.mktemp("data") / "rows.jsonl", rows)


@pytest.fixture(scope="module")
def run(model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return warmup(model=model, data=data, out=tmp_path_factory.mktemp("run"), **SMALL)


def test_each_epoch_leaves_a_checkpoint(run: list[Path]) -> None:
    assert [path.name for path in run] == ["checkpoint-3", "checkpoint-6"]  # 12 rows, 4 a step


def test_a_checkpoint_holds_all_that_extraction_asks_for(run: list[Path]) -> None:
    needed = {
        "adapter_model.safetensors",
        "adapter_config.json",
        "optimizer.pt",
        "scheduler.pt",
        "trainer_state.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    }
    for path in run:
        assert needed <= {file.name for file in path.iterdir()}


def test_the_adapter_names_its_base_by_an_absolute_path(run: list[Path], model: Path) -> None:
    config = json.loads((run[0] / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(model.resolve())
    assert (config["r"], config["lora_alpha"]) == (4, 8)


def test_the_optimizer_holds_two_moments_for_each_lora_matrix(run: list[Path]) -> None:
    state = torch.load(run[-1] / "optimizer.pt", weights_only=True)["state"]
    adapter = load_file(run[-1] / "adapter_model.safetensors")
    assert sorted(tuple(s["exp_avg"].shape) for s in state.values()) == sorted(
        tuple(matrix.shape) for matrix in adapter.values()
    )
    assert all(torch.any(s["exp_avg_sq"] > 0) for s in state.values())


def test_every_step_is_logged_with_its_learning_rate_on_a_linear_schedule(run: list[Path]) -> None:
    history = json.loads((run[-1] / "trainer_state.json").read_text())["log_history"]
    rates = [entry["learning_rate"] for entry in history if "learning_rate" in entry]
    assert rates == pytest.approx([0, 1e-3, 0.8e-3, 0.6e-3, 0.4e-3, 0.2e-3])


def test_the_only_step_of_a_run_is_no_warm_up_step(model: Path, data: Path, tmp_path: Path) -> None:
    path = warmup(model=model, data=data, out=tmp_path, **{**SMALL, "epochs": 1, "batch_size": 16})[0]
    history = json.loads((path / "trainer_state.json").read_text())["log_history"]
    assert [entry["learning_rate"] for entry in history if "learning_rate" in entry] == [1e-3]


def test_rows_and_settings_are_written_down(run: list[Path], data: Path) -> None:
    report = json.loads((run[0].parent / "warmup.json").read_text())
    ids = [json.loads(line)["id"] for line in data.read_text().splitlines()]
    assert len(report["ids"]) == 12
    assert set(report["ids"]) <= set(ids)
    assert len(report["losses"]) == 6
    assert {name: report[name] for name in SMALL} == SMALL


def test_the_same_seed_trains_the_same_adapter_and_another_seed_takes_other_rows(
    run: list[Path], model: Path, data: Path, tmp_path: Path
) -> None:
    again = warmup(model=model, data=data, out=tmp_path / "again", **SMALL)
    other = warmup(model=model, data=data, out=tmp_path / "other", seed=1, **SMALL)
    first, second = (load_file(path[-1] / "adapter_model.safetensors") for path in (run, again))
    assert all(torch.equal(first[name], second[name]) for name in first)
    ids = [json.loads((path[0].parent / "warmup.json").read_text())["ids"] for path in (run, again, other)]
    assert ids[0] == ids[1] != ids[2]


def test_gradient_accumulation_changes_no_adapter(
    run: list[Path], model: Path, data: Path, tmp_path: Path
) -> None:
    one, four = (
        warmup(model=model, data=data, out=tmp_path / str(n), micro_batch=n, lora_dropout=0.0, **SMALL)
        for n in (1, 4)
    )
    first, second = (load_file(path[-1] / "adapter_model.safetensors") for path in (one, four))
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=2e-5, rtol=1e-3)


def test_progress_counts_every_step_the_log_tells_the_losses_and_nothing_is_printed(
    model: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Bar:
        done = 0

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, count: int) -> None:
            self.done += count

    bar, begun, lines = Bar(), [], []
    warmup(
        model=model,
        data=data,
        out=tmp_path,
        progress=lambda *what: begun.append(what) or bar,
        log=lines.append,
        **SMALL,
    )
    assert begun == [(6, "steps", "warm-up")]
    assert bar.done == 6
    assert "at first" in lines[-1]
    assert capfd.readouterr() == ("", "")


def test_a_given_chat_template_is_used_and_saved(model: Path, data: Path, tmp_path: Path) -> None:
    path = warmup(model=model, data=data, out=tmp_path, chat_template="chatml", **SMALL)[0]
    assert "<|im_start|>" in (path / "chat_template.jinja").read_text()


def test_rows_without_learned_tokens_are_left_out_and_counted(
    model: Path, data: Path, tmp_path: Path
) -> None:
    mute = {"id": "mute", "messages": [{"role": "user", "content": "Hello?"}]}
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text(data.read_text() + json.dumps(mute) + "\n")
    lines: list[str] = []
    warmup(
        model=model,
        data=mixed,
        out=tmp_path / "run",
        log=lines.append,
        **{**SMALL, "fraction": 1.0, "epochs": 1},
    )
    report = json.loads((tmp_path / "run" / "warmup.json").read_text())
    assert report["left_out"] == 1
    assert "mute" not in report["ids"]
    assert "1 left out" in lines[0]


def test_only_rows_without_learned_tokens_are_an_error(model: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "mute.jsonl", [{"messages": [{"role": "user", "content": "Hello?"}]}])
    with pytest.raises(DataError, match="none of the 1 chosen rows has a learned token: no assistant turn"):
        warmup(model=model, data=data, out=tmp_path / "run")


@pytest.mark.parametrize("fraction", [0, -0.1, 1.5, float("nan")])
def test_a_fraction_outside_0_to_1_is_refused(
    model: Path, data: Path, tmp_path: Path, fraction: float
) -> None:
    with pytest.raises(UsageError, match=r"must lie in \(0, 1\]"):
        warmup(model=model, data=data, out=tmp_path, fraction=fraction)


@pytest.mark.parametrize("setting", ["epochs", "lr", "lora_r", "lora_alpha", "batch_size"])
def test_a_setting_of_zero_is_refused(model: Path, data: Path, tmp_path: Path, setting: str) -> None:
    with pytest.raises(UsageError, match=f"`--{setting.replace('_', '-')}` must be above 0"):
        warmup(model=model, data=data, out=tmp_path, **{setting: 0})


def test_a_micro_batch_that_does_not_divide_the_batch_is_refused(
    model: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="does not divide"):
        warmup(model=model, data=data, out=tmp_path, batch_size=8, micro_batch=3)


def test_a_run_folder_that_holds_checkpoints_is_refused_by_name(
    run: list[Path], model: Path, data: Path
) -> None:
    with pytest.raises(UsageError, match="holds checkpoints already") as caught:
        warmup(model=model, data=data, out=run[0].parent)
    assert str(run[0].parent) in str(caught.value)


def test_a_training_that_diverges_is_an_error_and_leaves_no_checkpoint(
    model: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        GradstoreError, match=r"diverged: (loss|grad_norm) is nan at step \d+; use a smaller `--lr`"
    ):
        warmup(model=model, data=data, out=tmp_path / "run", **SMALL | {"lr": 1e12, "epochs": 3})
    assert not list(tmp_path.glob("run/checkpoint-*"))


def test_a_missing_model_folder_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        warmup(model=tmp_path / "nowhere", data=data, out=tmp_path / "run")


def test_a_folder_without_a_model_is_an_error_in_one_line(data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="cannot be loaded") as caught:
        warmup(model=tmp_path / "empty", data=data, out=tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_base_model_that_lacks_weights_is_not_trained_on_random_ones(
    model: Path, data: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(model, tmp_path / "base")
    weights = load_file(base / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lack 1 weights \(model\.norm\.weight\)"):
        warmup(model=base, data=data, out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()


def test_a_base_model_whose_weights_are_damaged_is_an_error_in_one_line(
    model: Path, data: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(model, tmp_path / "base")
    (base / "model.safetensors").write_bytes(b"no tensors" * 99)
    with pytest.raises(CheckpointError, match="cannot be loaded") as caught:
        warmup(model=base, data=data, out=tmp_path / "run", **SMALL)
    assert "\n" not in str(caught.value)


def test_an_adapter_given_as_the_base_model_is_refused(run: list[Path], data: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a LoRA adapter; give the base model"):
        warmup(model=run[0], data=data, out=tmp_path)


def test_unknown_target_modules_are_refused_with_those_there_are(
    model: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"no linear module c_attn.*down_proj, gate_proj.*q_proj"):
        warmup(model=model, data=data, out=tmp_path, target_modules=("q_proj", "c_attn"))
    assert not list(tmp_path.iterdir())


def test_padding_is_on_the_right_unlearned_and_masked() -> None:
    rows = [
        {"input_ids": np.array([5, 6, 7], np.int32), "labels": np.array([-100, 6, 7], np.int32)},
        {"input_ids": np.array([8], np.int32), "labels": np.array([8], np.int32)},
    ]
    batch = pad(rows, pad_id=9)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [8, -100, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


@pytest.mark.parametrize("batch_size", [1, 6, 16, 97, 128])
@pytest.mark.parametrize("longest", [1, 100, 5000])
def test_the_automatic_micro_batch_divides_the_batch(batch_size: int, longest: int) -> None:
    micro = fitting_micro_batch(batch_size, longest)
    assert batch_size % micro == 0
    assert micro == 1 or micro * longest <= 8192
