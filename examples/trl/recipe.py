"""Train, extract, select, train on the picks, with TRL's SFTTrainer: ``python recipe.py BASE POOL TARGET FOLDER``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer, set_seed

import gradstore

try:
    from trl import SFTConfig, SFTTrainer
except ModuleNotFoundError as error:
    raise SystemExit(f"this example needs TRL ({error}): pip install trl") from None


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tune(base: Path, rows: list[dict[str, Any]], out: Path, given: argparse.Namespace) -> SFTTrainer:
    """An ordinary LoRA run; nothing in it knows of gradstore."""
    set_seed(0)
    trainer = SFTTrainer(
        model=str(base),
        args=SFTConfig(
            output_dir=str(out),
            num_train_epochs=given.epochs,
            per_device_train_batch_size=8,
            learning_rate=given.lr,
            lr_scheduler_type="linear",
            save_strategy="epoch",  # the checkpoints keep the optimizer's state, which `adam` needs
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
        ),
        train_dataset=Dataset.from_list([{"messages": row["messages"]} for row in rows]),
        peft_config=LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    trainer.train()
    return trainer


@torch.inference_mode()
def loss_on(trainer: SFTTrainer, base: Path, rows: list[dict[str, Any]]) -> float:
    """Mean cross-entropy of the rows, in nats a token."""
    tokenizer, model = AutoTokenizer.from_pretrained(base), trainer.model.eval()
    total, tokens = 0.0, 0
    for row in rows:
        ids = tokenizer.apply_chat_template(row["messages"], return_tensors="pt", return_dict=True)[
            "input_ids"
        ]
        ids = ids.to(model.device)
        total += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
        tokens += ids.shape[1] - 1
    return total / tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path, help="folder of a model with a chat template")
    parser.add_argument("pool", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--warm", type=float, default=0.2, help="share of the pool for the first run")
    parser.add_argument("--budget", type=int, default=40, help="rows to choose")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--dim", type=int, default=8192)
    given = parser.parse_args()

    pool, target = rows_of(given.pool), rows_of(given.target)
    few, held_out = given.folder / "target.jsonl", target[len(target) // 2 :]
    given.folder.mkdir(parents=True, exist_ok=True)
    few.write_text("".join(json.dumps(row) + "\n" for row in target[: len(target) // 2]))

    # 1. Train on a part of the pool.
    tune(given.base, pool[: int(given.warm * len(pool))], given.folder / "warm", given)
    # 2. Extract with that run's checkpoints, as the Trainer left them.
    store = given.folder / "grads.zarr"
    job = {"checkpoints": [given.folder / "warm"], "dim": given.dim}
    gradstore.extract(store, data=given.pool, name="pool", **job)
    gradstore.extract(store, data=few, name="target", target=True, **job)
    # 3. Select, by gradients and at random.
    for selector in ("random", "less"):
        picked = gradstore.select(store, selector=selector, target="target", budget=given.budget)
        picked.write(given.folder / f"{selector}.jsonl")
    # 4. Train on the picks, from the base model, and see what each run makes of target rows that nobody has seen.
    for selector in ("random", "less"):
        rows = rows_of(given.folder / f"{selector}.jsonl")
        trainer = tune(given.base, rows, given.folder / f"tuned-{selector}", given)
        print(
            f"{selector:<7} {len(rows)} rows, loss on the target {loss_on(trainer, given.base, held_out):.4f}"
        )


if __name__ == "__main__":
    main()
