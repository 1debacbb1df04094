"""A folder is an adapter, a model, or a run that holds some; a file is digested once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gradstore.checkpoint import digests, find_checkpoints, load_model
from gradstore.errors import CheckpointError

Architecture = Callable[..., Path]


def test_adapter_and_model_are_told_apart(architecture: Architecture) -> None:
    adapter = architecture("llama")
    base = adapter.parents[1] / "base"
    found = [find_checkpoints(path)[0] for path in (adapter, base, architecture("llama", full=True))]
    assert [(c.kind, c.name, c.step) for c in found] == [
        ("adapter", "checkpoint-3", 3),
        ("model", "base", 0),
        ("model", "checkpoint-3", 3),
    ]
    assert found[0].base == str(base)
    assert found[1].base == str(base)
    assert found[0].adapter_digest
    assert not found[1].adapter_digest


def test_run_folder_of_a_full_fine_tune_gives_its_checkpoints_in_order(
    architecture: Architecture, tmp_path: Path
) -> None:
    tuned = architecture("llama", full=True)
    for step in (10, 9):
        (tmp_path / f"checkpoint-{step}").symlink_to(tuned)
    (tmp_path / "config.json").write_text(
        "{}"
    )  # Trainer's save_model leaves the last model in the run folder
    found = find_checkpoints(tmp_path)
    assert [(c.kind, c.name) for c in found] == [("model", "checkpoint-9"), ("model", "checkpoint-10")]
    assert found[0].weight == pytest.approx(1e-2)


@pytest.mark.parametrize(
    ("log", "weight"),
    [
        ([(1.5, 4e-5), (2.0, 2e-5)], 3e-5),
        ([(0.4, 1e-5), (1.0, 9e-5), (1.2, 6e-5), (2.4, 1e-5)], 6e-5),
        ([(1.0, 4e-5), (3.0, 2e-5)], 3.5e-5),  # nothing in (1, 2]: 4e-5 at its begin, 3e-5 at its end
        ([(0.5, 4e-5)], 4e-5),
        ([(1.0, 4e-5), (2.0, 0.0)], 2e-5),  # only the end of the schedule: the straight line to it
        ([(2.0, 0.0)], 0),
        ([], 0),
    ],
)
def test_weight_is_the_mean_rate_of_the_last_epoch_however_seldom_it_was_logged(
    tiny_run: Path, tmp_path: Path, log: list[tuple[float, float]], weight: float
) -> None:
    folder = Path(shutil.copytree(tiny_run / "run" / "checkpoint-4", tmp_path / "checkpoint-4"))
    history = [{"epoch": epoch, "learning_rate": rate} for epoch, rate in log] + [
        {"epoch": 2.0, "eval_loss": 1.0}
    ]
    state = {"epoch": 2.0, "global_step": 4, "log_history": history}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    (found,) = find_checkpoints(folder)
    assert found.weight == pytest.approx(weight, abs=1e-12)


def test_weights_of_a_model_leave_out_what_trainers_save_beside_them(tmp_path: Path) -> None:
    names = (
        "optimizer.bin",
        "training_args.bin",
        "scheduler.bin",
        "random_states_0.bin",
        "adapter_model.bin",
    )
    for name in (
        *names,
        "config.json",
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
    ):
        (tmp_path / name).write_text("{}")
    found = find_checkpoints(tmp_path)[0]
    assert [path.name for path in found.weights] == [
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
    ]


def test_model_without_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"config\.json but no weights"):
        find_checkpoints(tmp_path)
    (tmp_path / "pytorch_model_fsdp_0").mkdir()
    with pytest.raises(CheckpointError, match=r"accelerate merge-weights .*pytorch_model_fsdp_0 "):
        find_checkpoints(tmp_path)


@pytest.mark.parametrize("state", ['{"global_step": "x"}', '{"log_history": [3]}', '{"epoch": [1]}', "[]"])
def test_trainer_state_of_another_form(state: str, tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint-1").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / "checkpoint-1" / name).symlink_to(tiny_run / "run" / "checkpoint-8" / name)
    (tmp_path / "checkpoint-1" / "trainer_state.json").write_text(state)
    with pytest.raises(CheckpointError, match=r"trainer_state\.json: not "):
        find_checkpoints(tmp_path)


def test_digest_is_that_of_the_weights_and_of_nothing_else(copy: Callable[..., Path]) -> None:
    folder = copy(full=True)
    first = load_model(find_checkpoints(folder)[0], parameters="full").base_digest
    (folder / "optimizer.pt").unlink()
    assert load_model(find_checkpoints(folder)[0], parameters="full").base_digest == first
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert load_model(find_checkpoints(folder)[0], parameters="full").base_digest != first


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    one = digests.files_digest([file])
    with monkeypatch.context() as blind:
        blind.setattr(Path, "open", None)
        assert digests.files_digest([file]) == one
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    two = digests.files_digest([file])
    assert two != one
    file.write_bytes(b"one")
    os.utime(file, ns=(2, 2))
    assert digests.files_digest([file]) == one
