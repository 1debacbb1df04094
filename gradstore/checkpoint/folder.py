"""What a checkpoint folder says about itself, read without torch."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradstore.errors import CheckpointError

__all__ = ["CheckpointFolder", "files_digest", "find_checkpoints"]

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


@dataclass(frozen=True, slots=True)
class CheckpointFolder:
    """One adapter checkpoint on disk.

    Attributes
    ----------
    path : Path
    lora : dict
        The contents of ``adapter_config.json``.
    weights : Path
        The adapter's weight file.
    step : int
        Optimizer step, 0 where ``trainer_state.json`` is absent.
    weight : float
        Mean learning rate of the epoch that ends with the checkpoint: its weight in LESS's sum over checkpoints
        (not normalised). 1.0 where ``trainer_state.json`` says nothing.
    """

    path: Path
    lora: dict[str, Any]
    weights: Path
    step: int
    weight: float

    @property
    def name(self) -> str:
        """The folder's name, which becomes the checkpoint's key in the store."""
        return self.path.name

    @property
    def base(self) -> str | None:
        """The base model that the adapter names, if it names one."""
        return self.lora.get("base_model_name_or_path") or None

    @property
    def adapter_digest(self) -> str:
        """Digest of the adapter's weights."""
        return files_digest([self.weights])


def find_checkpoints(path: str | Path) -> list[CheckpointFolder]:
    """All checkpoints at `path`: the folder itself, or every ``checkpoint-*`` in a run folder, by step.

    Raises
    ------
    CheckpointError
        If the folder is missing or holds no adapter.
    """
    folder = Path(path).resolve()
    if not folder.is_dir():
        raise CheckpointError(
            f"{path}: no such folder; give a checkpoint folder or a run folder that holds some"
        )
    inside = sorted((p for p in folder.glob("checkpoint-*") if (p / ADAPTER_CONFIG).is_file()), key=_by_step)
    if inside:
        return [_read(p) for p in inside]
    if (folder / ADAPTER_CONFIG).is_file():
        return [_read(folder)]
    if (folder / "config.json").is_file():
        raise CheckpointError(
            f"{path}: a full model without a LoRA adapter; `gradstore warmup --model {path}` trains an adapter for it"
        )
    raise CheckpointError(f"{path}: holds no {ADAPTER_CONFIG} and no checkpoint-* folder with one")


def files_digest(paths: list[Path]) -> str:
    """Digest of the contents of files, in the order given."""
    state = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()[:32]


def _by_step(path: Path) -> tuple[int, str]:
    number = re.search(r"-(\d+)$", path.name)
    return (int(number.group(1)) if number else -1, path.name)


def _read(path: Path) -> CheckpointFolder:
    weights = next((path / name for name in ADAPTER_WEIGHTS if (path / name).is_file()), None)
    if weights is None:
        raise CheckpointError(f"{path}: no adapter weights; looked for {' and '.join(ADAPTER_WEIGHTS)}")
    lora = _read_json(path / ADAPTER_CONFIG)
    if lora.get("peft_type") != "LORA":
        raise CheckpointError(
            f"{path}: the adapter is {lora.get('peft_type')!r}; only LORA adapters are supported"
        )
    state = _read_json(path / "trainer_state.json") if (path / "trainer_state.json").is_file() else {}
    return CheckpointFolder(
        path, lora, weights, int(state.get("global_step") or 0), _learning_rate_weight(state)
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: not a JSON object")
    return value


def _learning_rate_weight(state: dict[str, Any]) -> float:
    """Mean logged learning rate over the last epoch before the checkpoint."""
    end = float(state.get("epoch") or 0.0)
    rates = [
        float(entry["learning_rate"])
        for entry in state.get("log_history", [])
        if "learning_rate" in entry and end - 1 < float(entry.get("epoch", 0.0)) <= end
    ]
    mean = sum(rates) / len(rates) if rates else 0.0
    return mean if mean > 0 else 1.0
