"""The contestants that are loops: a plain training step, and LESS's loop. None of gradstore's code takes part."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

DIM = 8192
LESS_ROWS = 16  # LESS projects this many gradients together
LESS_COLUMNS = 128  # and draws the signs anew for every block of so many columns

Row = dict[str, Any]


def load(checkpoint: Path, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> torch.nn.Module:
    """The base model with its adapter, trainable."""
    from peft import PeftConfig, PeftModel
    from transformers import AutoModelForCausalLM

    base = PeftConfig.from_pretrained(str(checkpoint)).base_model_name_or_path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
        adapted: torch.nn.Module = PeftModel.from_pretrained(model, str(checkpoint), is_trainable=True)
    return adapted.to(device=device, dtype=dtype).eval()


def batches(rows: list[Row], budget: int, device: torch.device) -> Iterator[dict[str, torch.Tensor]]:
    """Rows of similar length, at most `budget` tokens with padding: what a fast training loop would see."""
    order = sorted(rows, key=lambda row: -len(row["input_ids"]))
    while order:
        longest = len(order[0]["input_ids"])
        taken, order = order[: max(1, budget // longest)], order[max(1, budget // longest) :]
        yield {name: values.to(device) for name, values in padded(taken).items()}


def place(model: torch.nn.Module) -> torch.device:
    return next(model.parameters()).device


def padded(rows: list[Row]) -> dict[str, torch.Tensor]:
    longest = max(len(row["input_ids"]) for row in rows)
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full((len(rows), longest), -100)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for i, row in enumerate(rows):
        size = len(row["input_ids"])
        tokens[i, :size] = torch.as_tensor(row["input_ids"])
        labels[i, :size] = torch.as_tensor(row["labels"])
        mask[i, :size] = 1
    return {"input_ids": tokens, "labels": labels, "attention_mask": mask}


def plain(model: torch.nn.Module, rows: list[Row], budget: int) -> None:
    """Forward and backward of a training step with a frozen base: the batch-summed gradient of the adapter."""
    for batch in batches(rows, budget, place(model)):
        model(**batch, use_cache=False).loss.backward()
        model.zero_grad()


def frozen(model: torch.nn.Module, rows: list[Row], budget: int) -> None:
    """The same without any weight's gradient: backward to the embeddings only."""
    trained = [p for p in model.parameters() if p.requires_grad]
    embed = model.get_input_embeddings()  # type: ignore[operator]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        for batch in batches(rows, budget, place(model)):
            inputs = embed(batch.pop("input_ids")).detach().requires_grad_(True)
            model(inputs_embeds=inputs, **batch, use_cache=False).loss.backward()
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def less(model: torch.nn.Module, rows: list[Row], moments: Moments, project: Project) -> None:
    """LESS's `collect_grads`: one row at a time, Adam direction, projected sixteen rows together."""
    m, v = moments
    trained = [p for p in model.parameters() if p.requires_grad]
    held: list[torch.Tensor] = []
    for row in rows:
        (batch,) = batches([row], 1, place(model))
        model(**batch, use_cache=False).loss.backward()
        g = torch.cat([p.grad.flatten() for p in trained if p.grad is not None])
        model.zero_grad()
        held.append((0.9 * m + 0.1 * g) / torch.sqrt(0.999 * v + 0.001 * g**2 + 1e-8))
        if len(held) == LESS_ROWS:
            project(torch.stack(held))
            held.clear()
    if held:
        project(torch.stack(held))


Moments = tuple[torch.Tensor, torch.Tensor]
Project = Callable[[torch.Tensor], object]


def load_moments(checkpoint: Path) -> Moments:
    state = torch.load(checkpoint / "optimizer.pt", weights_only=True)["state"]
    m = torch.cat([state[i]["exp_avg"].flatten().float() for i in sorted(state)])
    v = torch.cat([state[i]["exp_avg_sq"].flatten().float() for i in sorted(state)])
    return m, v


def redrawn(gradients: torch.Tensor) -> torch.Tensor:
    """A dense projection whose signs are drawn block by block, each time, as LESS's projector does."""
    parts = []
    for block in range(DIM // LESS_COLUMNS):
        draw = torch.Generator().manual_seed(1000 * block)
        signs = torch.empty(gradients.shape[1], LESS_COLUMNS).bernoulli_(0.5, generator=draw)
        parts.append(gradients @ signs.mul_(2).sub_(1))
    return torch.cat(parts, dim=1)


def kept(size: int) -> Project:
    """The same with the whole matrix held in memory, which LESS does not do."""
    signs = torch.empty(size, DIM).bernoulli_(0.5).mul_(2).sub_(1)
    return lambda gradients: gradients @ signs


def raw_gradients(model: torch.nn.Module, rows: list[Row]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The exact gradient of each row, one after the other, by autograd alone."""
    trained = [p for p in model.parameters() if p.requires_grad]
    exact = []
    for row in rows:
        model(**padded([row]), use_cache=False).loss.backward()
        exact.append(torch.cat([p.grad.flatten() for p in trained if p.grad is not None]).numpy())
        model.zero_grad()
    return np.stack(exact).astype(np.float64)
