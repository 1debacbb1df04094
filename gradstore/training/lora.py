"""The training itself: transformers' Trainer on a peft model, made quiet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from gradstore.checkpoint import base
from gradstore.checkpoint.linears import check_target_modules
from gradstore.checkpoint.quiet import quiet
from gradstore.errors import GradstoreError
from gradstore.progress import Bar, Progress, silent
from gradstore.records import Example

if TYPE_CHECKING:
    from gradstore.training.recipe import Recipe

__all__ = ["load_base", "pad", "train"]

WARMUP_RATIO = 0.03
# On a CPU padding costs more than calls do: 16 rows of up to 512 tokens took 1.4 s in twos, 4.0 s at once.
MICRO_BATCH_TOKENS = {"cuda": 8192, "cpu": 1024}


def load_base(model: str) -> nn.Module:
    """The base model, in bfloat16 on a GPU that has it and in float32 elsewhere.

    Raises
    ------
    CheckpointError
        If it cannot be loaded, or its files lack weights.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with quiet():
        return base.load_base(model, device=device, dtype="bfloat16" if _has_bfloat16() else "float32")


def train(
    model: nn.Module,
    tokenizer: Any,
    examples: Sequence[Example],
    folder: Path,
    recipe: Recipe,
    *,
    progress: Progress = silent,
) -> tuple[list[Path], list[float]]:
    """Train a new adapter on `examples`, one checkpoint an epoch.

    Returns
    -------
    checkpoints : list of Path
    losses : list of float
        Mean cross-entropy of each optimizer step's batch.

    Raises
    ------
    CheckpointError
        If a target module is not in the model.
    """
    check_target_modules(recipe.target_modules, _linear_names(model))
    micro = recipe.micro_batch or fitting_micro_batch(
        recipe.batch_size, max(len(e.input_ids) for e in examples)
    )
    steps = recipe.epochs * -(-len(examples) // recipe.batch_size)
    with quiet():
        set_seed(recipe.seed)
        adapter = LoraConfig(
            r=recipe.lora_r,
            lora_alpha=recipe.lora_alpha,
            lora_dropout=recipe.lora_dropout,
            target_modules=list(recipe.target_modules),
            task_type="CAUSAL_LM",
        )
        trainer = Trainer(
            model=get_peft_model(model, adapter),
            args=_arguments(folder, recipe, micro, steps),
            train_dataset=[{"input_ids": e.input_ids, "labels": e.labels} for e in examples],
            data_collator=partial(pad, pad_id=_pad_id(tokenizer)),
            processing_class=tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        with progress(steps, "steps", "warm-up") as bar:
            trainer.add_callback(_Steps(bar))
            trainer.train()
    losses = [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2])), losses


def pad(rows: Sequence[dict[str, Any]], *, pad_id: int) -> dict[str, torch.Tensor]:
    """Rows of unequal length as one batch, padded on the right.

    Returns
    -------
    dict of int64 tensors, shape (rows, longest)
        ``input_ids``, ``attention_mask`` and ``labels`` (-100 where padded).
    """
    longest = max(len(row["input_ids"]) for row in rows)
    shape = (len(rows), longest)
    ids, labels = torch.full(shape, pad_id), torch.full(shape, -100)
    mask = torch.zeros(shape, dtype=torch.int64)
    for i, row in enumerate(rows):
        length = len(row["input_ids"])
        ids[i, :length] = torch.as_tensor(row["input_ids"])
        labels[i, :length] = torch.as_tensor(row["labels"])
        mask[i, :length] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def fitting_micro_batch(batch_size: int, longest: int) -> int:
    """The largest divisor of `batch_size` whose padded rows stay within the token budget, at least 1."""
    budget = MICRO_BATCH_TOKENS["cuda" if torch.cuda.is_available() else "cpu"]
    fitting = [n for n in range(1, batch_size + 1) if batch_size % n == 0 and n * longest <= budget]
    return max(fitting, default=1)


class _Steps(TrainerCallback):  # type: ignore[misc]
    """Counts optimizer steps on the caller's bar, and stops a training that has diverged before it is saved."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.bar.update(1)

    def on_log(
        self, _args: Any, state: Any, _control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        for name in ("loss", "grad_norm"):
            value = float((logs or {}).get(name, 0.0))
            if not math.isfinite(value):
                raise GradstoreError(
                    f"the training diverged: {name} is {value} at step {state.global_step}; use a smaller `--lr`"
                )


def _arguments(folder: Path, recipe: Recipe, micro: int, steps: int) -> TrainingArguments:
    gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=recipe.batch_size // micro,
        learning_rate=recipe.lr,
        lr_scheduler_type="linear",
        warmup_steps=WARMUP_RATIO
        if steps > 1
        else 0,  # below 1 a share; it always takes one step, at a rate of 0
        optim="adamw_torch",
        save_strategy="epoch",
        logging_steps=1,  # LESS weighs a checkpoint by its epoch's mean learning rate, read from this log
        logging_first_step=True,
        logging_nan_inf_filter=False,  # which would tell a loss of 0 instead
        seed=recipe.seed,
        bf16=_has_bfloat16(),
        use_cpu=not gpu,
        dataloader_pin_memory=gpu,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=[],
    )


def _linear_names(model: nn.Module) -> set[str]:
    """All that peft can adapt, the output layer too: what is trained need not be attributed."""
    return {
        path.rpartition(".")[2]
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
    }


def _pad_id(tokenizer: Any) -> int:
    """Any token will do, since padding is masked."""
    return next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)


def _has_bfloat16() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
