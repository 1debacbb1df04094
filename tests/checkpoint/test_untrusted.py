"""Checkpoints from strangers are data: no file of theirs runs code, and those that are not needed are not opened."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from gradstore.checkpoint import InitLora, find_checkpoints, load_factored_moments, load_model, load_moments
from gradstore.errors import CheckpointError

Copy = Callable[..., Path]


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (self.mark,))


Write = Callable[[Path, Path], object]
FORMATS: dict[str, Write] = {
    "pickle": lambda path, mark: path.write_bytes(pickle.dumps(Malicious(mark), protocol=2)),
    "torch": lambda path, mark: torch.save({"state": Malicious(mark)}, path),
    "legacy": lambda path, mark: torch.save(Malicious(mark), path, _use_new_zipfile_serialization=False),
}
UNUSED = ("training_args.bin", "scheduler.pt", "rng_state.pth", "scaler.pt", "pytorch_model.bin")


@pytest.fixture(params=FORMATS)
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Path], Path]:
    """Write a file that leaves a mark when it is unpickled; gives the mark."""

    def write(path: Path) -> Path:
        FORMATS[request.param](path, tmp_path / "mark")
        return tmp_path / "mark"

    return write


def test_the_files_would_run_code_if_they_were_unpickled(
    plant: Callable[[Path], Path], tmp_path: Path
) -> None:
    mark = plant(tmp_path / "file")
    with suppress(RuntimeError):  # a bare pickle has run by the time that torch finds it is not its own
        torch.load(tmp_path / "file", weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize("file", ["optimizer.pt", "optimizer.bin"])
def test_optimizer_state(file: str, copy: Copy, plant: Callable[[Path], Path]) -> None:
    folder = copy()
    (folder / "optimizer.pt").unlink()
    mark = plant(folder / file)
    loaded = load_model(find_checkpoints(folder)[0])
    with pytest.raises(CheckpointError, match=rf"{file}: not loaded") as caught:
        load_moments(folder, loaded)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


def test_universal_checkpoint(copy: Copy, plant: Callable[[Path], Path]) -> None:
    folder = copy()
    (folder / "optimizer.pt").unlink()
    loaded = load_model(find_checkpoints(folder)[0])
    for name in loaded.linears:
        (folder / "zero" / name).mkdir(parents=True)
        mark = plant(folder / "zero" / name / "exp_avg_sq.pt")
    with pytest.raises(CheckpointError, match=r"exp_avg_sq\.pt: not loaded"):
        load_moments(folder, loaded)
    assert not mark.exists()


def test_adapter_weights(copy: Copy, plant: Callable[[Path], Path]) -> None:
    folder = copy()
    (folder / "adapter_model.safetensors").unlink()
    mark = plant(folder / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"adapter_model\.bin: not loaded"):
        load_model(find_checkpoints(folder)[0])
    assert not mark.exists()


def test_base_weights(copy: Copy, plant: Callable[[Path], Path]) -> None:
    folder = copy(full=True)
    (folder / "model.safetensors").unlink()
    mark = plant(folder / "pytorch_model.bin")
    with pytest.raises(
        CheckpointError, match=r"base model .*(holds more than tensors|cannot be loaded)"
    ) as caught:
        load_model(find_checkpoints(folder)[0], parameters="full")
    assert "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("full", [False, True])
def test_files_that_are_not_needed_are_no_error(
    full: bool, copy: Copy, plant: Callable[[Path], Path]
) -> None:
    folder = copy(full=full)
    for file in UNUSED:
        mark = plant(folder / file)
    found = find_checkpoints(folder)[0]
    if full:
        load_factored_moments(folder, load_model(found, parameters="full"))
    else:
        load_moments(folder, load_model(found))
    assert not mark.exists()


def test_what_a_file_holds_instead_of_data_is_named(copy: Copy) -> None:
    folder = copy()
    torch.save({"state": Path("x")}, folder / "optimizer.pt")
    loaded = load_model(find_checkpoints(folder)[0])
    with pytest.raises(CheckpointError, match=r"holds pathlib\.\w+, which is not data"):
        load_moments(folder, loaded)


CODE = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM
Path({mark!r}).touch()
class StrangeConfig(LlamaConfig):
    model_type = "strange"
class Strange(LlamaForCausalLM):
    config_class = StrangeConfig
"""


def test_code_beside_the_weights_runs_only_when_asked_for(
    copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = copy(full=True)
    mark = tmp_path / "mark"
    (folder / "strange.py").write_text(CODE.format(mark=str(mark)))
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    config["model_type"] = "strange"
    config["auto_map"] = {"AutoConfig": "strange.StrangeConfig", "AutoModelForCausalLM": "strange.Strange"}
    (folder / "config.json").write_text(json.dumps(config))
    found = find_checkpoints(folder)[0]
    with pytest.raises(CheckpointError, match=r"only when asked for \(`--trust-remote-code`\)"):
        load_model(found, init_lora=InitLora())
    assert not mark.exists()
    loaded = load_model(found, init_lora=InitLora(), trust_remote_code=True)
    assert mark.exists()
    assert type(loaded.causal).__name__ == "Strange"
