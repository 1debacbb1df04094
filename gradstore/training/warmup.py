"""`warmup`: a base model and a few rows -> LoRA checkpoints with optimizer state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from gradstore.checkpoint.tokenizer import tokenizer_at
from gradstore.data import ChatTokenizer, load_rows
from gradstore.data.templates import template_text
from gradstore.errors import CheckpointError, DataError, UsageError
from gradstore.progress import Log, Progress, silent, unheard
from gradstore.records import Row
from gradstore.training.recipe import Recipe

__all__ = ["warmup"]


def warmup(
    *,
    model: str | Path,
    data: str | Path,
    out: str | Path,
    fraction: float = 0.05,
    epochs: int = 4,
    lr: float = 2e-5,
    lora_r: int = 128,
    lora_alpha: int = 512,
    lora_dropout: float = 0.1,
    target_modules: Sequence[str] = ("q_proj", "k_proj", "v_proj", "o_proj"),
    batch_size: int = 128,
    micro_batch: int | None = None,
    max_length: int = 2048,
    seed: int = 0,
    chat_template: str | None = None,
    fmt: str | None = None,
    progress: Progress = silent,
    log: Log = unheard,
) -> list[Path]:
    """Train a LoRA adapter on a random part of the rows and keep one checkpoint an epoch.

    The defaults are those of LESS (Xia et al. 2024): 5 % of the rows, 4 epochs, linear schedule with 3 %
    warm-up steps. Each checkpoint holds the adapter, Adam's moments, the training log and the tokenizer,
    which is all that `extract` asks for. The rows chosen and the settings are written to ``out/warmup.json``.

    Parameters
    ----------
    model : str or path
        Folder or hub id of the base model.
    data : path
        Rows in any format that `extract` reads.
    out : path
        The run folder; it must not hold checkpoints yet.
    fraction : float
        Share of the rows to train on, in (0, 1]; at least one row.
    epochs, lr, lora_r, lora_alpha, lora_dropout
        Passes over the chosen rows, peak learning rate, and the adapter's shape.
    target_modules : sequence of str
        Last names of the linear modules that get LoRA matrices.
    batch_size : int
        Rows per optimizer step.
    micro_batch : int, optional
        Rows per forward pass, a divisor of `batch_size`; by default what a token budget allows.
    max_length : int
        Tokens after which a row is cut.
    seed : int
        Decides the rows, their order and the initial adapter.
    chat_template, fmt : str, optional
        Chat template instead of the tokenizer's (saved with each checkpoint); format of the rows.
    progress, log : callable, optional
        ``progress(total, unit, label)`` gives a context manager with ``update(n)``; ``log(line)`` hears what
        happens.

    Returns
    -------
    list of Path
        The checkpoint folders, by step.

    Raises
    ------
    UsageError
        If a setting cannot be right, or `out` holds checkpoints already.
    CheckpointError
        If the model cannot be loaded, has no tokenizer, or lacks a target module.
    DataError
        If the rows cannot be read, or none of the chosen ones has a learned token.
    GradstoreError
        If the training diverges.
    """
    recipe = Recipe(
        epochs=epochs,
        lr=lr,
        lora_r=lora_r,
        lora_alpha=lora_alpha,
        lora_dropout=lora_dropout,
        target_modules=tuple(target_modules),
        batch_size=batch_size,
        micro_batch=micro_batch,
        seed=seed,
    )
    recipe.check()
    if not 0 < fraction <= 1:
        raise UsageError(f"`--fraction` must lie in (0, 1], not {fraction}")
    folder = _free_run_folder(Path(out))
    base = _resolve_model(str(model))
    file = load_rows(data, fmt=fmt)
    rows = choose_rows(file.rows, fraction, seed)

    from gradstore.training.lora import load_base, train

    tokenizer = tokenizer_at(base)
    chat = ChatTokenizer(tokenizer, template=chat_template, max_length=max_length)
    pairs = [(row, chat.encode(row, file.fmt)) for row in rows]
    learnable = [(row, example) for row, example in pairs if not example.reason]
    if not learnable:
        raise DataError(
            f"{data}: none of the {len(rows)} chosen rows has a learned token: {pairs[0][1].reason}"
        )
    if chat_template is not None:
        tokenizer.chat_template = template_text(chat_template, tokenizer)
    left_out = len(rows) - len(learnable)
    log(f"warm-up on {len(learnable)} of {len(file.rows)} rows ({left_out} left out: nothing to learn)")
    checkpoints, losses = train(
        load_base(base), tokenizer, [example for _, example in learnable], folder, recipe, progress=progress
    )
    log(f"loss {losses[0]:.3f} at first, {losses[-1]:.3f} at last, after {len(losses)} steps")
    report = {
        "model": base,
        "data": str(data),
        "format": file.fmt,
        "fraction": fraction,
        "max_length": max_length,
        **asdict(recipe),
        "left_out": left_out,
        "losses": losses,
        "ids": [row.id for row, _ in learnable],
    }
    (folder / "warmup.json").write_text(
        json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return checkpoints


def choose_rows(rows: Sequence[Row], fraction: float, seed: int) -> list[Row]:
    """int(N · `fraction`) rows, at least one, drawn without replacement; the same for the same seed."""
    count = max(1, int(len(rows) * fraction))
    order = np.random.default_rng(seed).permutation(len(rows))
    return [rows[i] for i in order[:count]]


def _free_run_folder(folder: Path) -> Path:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; give a folder for the checkpoints")
    if any(folder.glob("checkpoint-*")):
        raise UsageError(f"{folder}: holds checkpoints already; give another `--out`, or delete it")
    return folder


def _resolve_model(model: str) -> str:
    """An absolute path for a folder, so that checkpoints can be used from anywhere; a hub id as it is."""
    folder = Path(model).expanduser()
    if (folder / "adapter_config.json").is_file():
        raise CheckpointError(f"{model}: is a LoRA adapter; give the base model that it was made for")
    if folder.is_dir():
        return str(folder.resolve())
    if folder.is_absolute() or model.startswith(".") or model.count("/") > 1:
        raise CheckpointError(f"{model}: no such folder; give a model folder or the id of a model on the hub")
    return model
