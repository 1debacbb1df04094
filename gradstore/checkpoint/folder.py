"""What a checkpoint folder says about itself, read without torch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradstore.checkpoint.digests import files_digest
from gradstore.errors import CheckpointError

__all__ = ["CheckpointFolder", "find_checkpoints", "trained_steps", "weight_files"]

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
MODEL_CONFIG = "config.json"
# What Trainer and accelerate leave beside the weights under the same suffix.
NO_WEIGHTS = ("adapter_model", "optimizer", "training_args", "scheduler", "random_states")


@dataclass(frozen=True, slots=True)
class CheckpointFolder:
    """One checkpoint on disk.

    Attributes
    ----------
    path : Path
    kind : {"adapter", "model"}
        A LoRA adapter, or a full model: a base model or a full fine-tune.
    lora : dict
        The contents of ``adapter_config.json``; empty for a model.
    weights : tuple of Path
        The files that hold the adapter's or the model's weights.
    step : int
        Optimizer step, 0 where ``trainer_state.json`` is absent.
    weight : float
        Mean learning rate of the epoch that ends with the checkpoint: its weight in LESS's sum over checkpoints
        (not normalised). 0 where ``trainer_state.json`` tells no rate.
    """

    path: Path
    kind: str
    lora: dict[str, Any]
    weights: tuple[Path, ...]
    step: int
    weight: float

    @property
    def name(self) -> str:
        """The folder's name, which becomes the checkpoint's key in the store."""
        return self.path.name

    @property
    def base(self) -> str | None:
        """The base model: what the adapter names, if it names one; a model is its own."""
        if self.kind == "model":
            return str(self.path)
        return self.lora.get("base_model_name_or_path") or None

    @property
    def adapter_digest(self) -> str:
        """Digest of the adapter's weights; empty for a model."""
        return files_digest(self.weights) if self.kind == "adapter" else ""


def find_checkpoints(path: str | Path) -> list[CheckpointFolder]:
    """All checkpoints at `path`: the folder itself, or every ``checkpoint-*`` in a run folder, by step.

    Raises
    ------
    CheckpointError
        If the folder is missing or holds neither an adapter nor a model.
    """
    folder = Path(path).resolve()
    if not folder.is_dir():
        raise CheckpointError(
            f"{path}: no such folder; give a checkpoint folder or a run folder that holds some"
        )
    inside = sorted((p for p in folder.glob("checkpoint-*") if _is_checkpoint(p)), key=_by_step)
    if inside:
        return [_read(p) for p in inside]
    if _is_checkpoint(folder):
        return [_read(folder)]
    raise CheckpointError(
        f"{path}: holds no {ADAPTER_CONFIG}, no {MODEL_CONFIG} and no checkpoint-* folder with one"
    )


def weight_files(folder: Path) -> list[Path]:
    """The files with a full model's weights, sorted; empty if there are none."""
    for pattern in ("*.safetensors", "*.bin", "*.gguf"):
        found = sorted(path for path in folder.glob(pattern) if not path.name.startswith(NO_WEIGHTS))
        if found:
            return found
    return []


def trained_steps(folder: Path) -> int:
    """The optimizer step at which a checkpoint was saved, 0 where ``trainer_state.json`` is absent."""
    return _trainer_state(folder)[0]


def _is_checkpoint(folder: Path) -> bool:
    return (folder / ADAPTER_CONFIG).is_file() or (folder / MODEL_CONFIG).is_file()


def _by_step(path: Path) -> tuple[int, str]:
    number = re.search(r"-(\d+)$", path.name)
    return (int(number.group(1)) if number else -1, path.name)


def _read(path: Path) -> CheckpointFolder:
    step, weight = _trainer_state(path)
    if not (path / ADAPTER_CONFIG).is_file():
        return CheckpointFolder(path, "model", {}, _model_weights(path), step, weight)
    lora = _read_json(path / ADAPTER_CONFIG)
    if lora.get("peft_type") != "LORA":
        raise CheckpointError(
            f"{path}: the adapter is {lora.get('peft_type')!r}; only LORA adapters are supported"
            " (`gradstore warmup` trains one)"
        )
    return CheckpointFolder(path, "adapter", lora, _adapter_weights(path), step, weight)


def _adapter_weights(path: Path) -> tuple[Path, ...]:
    for name in ADAPTER_WEIGHTS:
        if (path / name).is_file():
            return (path / name,)
    raise CheckpointError(f"{path}: no adapter weights; looked for {' and '.join(ADAPTER_WEIGHTS)}")


def _model_weights(path: Path) -> tuple[Path, ...]:
    found = weight_files(path)
    if found:
        return tuple(found)
    sharded = path / "pytorch_model_fsdp_0"
    if sharded.is_dir():
        raise CheckpointError(
            f"{path}: the weights are FSDP shards; join them with `accelerate merge-weights {sharded} {path}`"
        )
    raise CheckpointError(
        f"{path}: {MODEL_CONFIG} but no weights; looked for *.safetensors, *.bin and *.gguf"
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: not a JSON object")
    return value


def _trainer_state(folder: Path) -> tuple[int, float]:
    """Step and learning-rate weight, as Trainer wrote them."""
    path = folder / "trainer_state.json"
    if not path.is_file():
        return 0, 0.0
    state = _read_json(path)
    try:
        return int(state.get("global_step") or 0), _learning_rate_weight(state)
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: not as Trainer writes it: {error}") from error


def _learning_rate_weight(state: Mapping[str, Any]) -> float:
    """Mean logged learning rate of the last epoch before the checkpoint; 0 if none was ever logged.

    Where that epoch has no entry, or only the 0 at the end of a schedule, the rate is taken to run straight between
    the entries around: a log that is written seldom must not make a checkpoint weigh nothing.
    """
    end = float(state.get("epoch") or 0.0)
    entries = [entry for entry in state.get("log_history", []) if "learning_rate" in entry]
    logged = sorted((float(entry.get("epoch", 0.0)), float(entry["learning_rate"])) for entry in entries)
    if not all(0 <= rate < math.inf for _, rate in logged):
        raise ValueError("a learning rate is negative or no number")
    inside = [rate for epoch, rate in logged if end - 1 < epoch <= end]
    if any(inside) or not logged:
        return sum(inside) / max(len(inside), 1)
    epochs, rates = zip(*logged, strict=True)
    knots = [end - 1, *(epoch for epoch in epochs if end - 1 < epoch < end), end]
    return float(np.trapezoid(np.interp(knots, epochs, rates), knots))
