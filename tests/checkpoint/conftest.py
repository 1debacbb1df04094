"""What the tests of checkpoints share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gradstore.checkpoint import LoadedModel, find_checkpoints, load_model


@dataclass
class Trained:
    """A checkpoint just trained, with what was in memory when it was saved."""

    model: Any
    optimizer: Any
    path: Path

    def load(self, **options: Any) -> LoadedModel:
        return load_model(find_checkpoints(self.path)[0], **options)

    def state(self, name: str) -> dict[str, Any]:
        """The optimizer's state of the parameter that peft calls `name`, with ``.default`` in it."""
        return self.optimizer.state[dict(self.model.named_parameters())[name]]  # type: ignore[no-any-return]

    def attributed(self, loaded: LoadedModel) -> dict[str, str]:
        """Peft's name of each attributed parameter by ours."""
        mine = {name.replace(".default", ""): name for name, _ in self.model.named_parameters()}
        return {name: mine[name] for name in loaded.linears}


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., Trained]:
    """``trained(name, optimizer, **lora)``: a LoRA checkpoint, with peft's settings and an optimizer of choice."""
    from tests.architectures import adapt, train

    def make(
        name: str = "llama", optimizer: Callable[[list[dict[str, Any]]], Any] | None = None, **lora: Any
    ) -> Trained:
        import torch

        made: list[Any] = []

        def keep(groups: list[dict[str, Any]]) -> Any:
            made.append(optimizer(groups) if optimizer else torch.optim.AdamW(groups, lr=1e-2))
            return made[0]

        model = adapt(name, tmp_path, **lora)
        path = train(model, tmp_path / "run" / "checkpoint-3", keep)
        return Trained(model.eval(), made[0], path)

    return make


@pytest.fixture
def copy(architecture: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """``copy(name)``: as ``architecture(name)``, free to be changed."""

    def make(name: str = "llama", **options: Any) -> Path:
        source = architecture(name, **options)
        return Path(shutil.copytree(source, tmp_path / source.name))

    return make
