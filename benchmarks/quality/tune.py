"""Training an adapter on some rows, and the loss of others: the mean over rows of the mean over a row's tokens."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from gradstore.data import ChatTokenizer, load_rows
from gradstore.records import Example, Row

BATCH = 16
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOKENS = {"cuda": 16384, "cpu": 1024}[DEVICE]
"""Of padded rows in one pass: on a CPU short passes waste least."""
WARMUP = 0.03


class Trainee:
    """A base model that is trained on one choice after the other, each time from the start.

    In float32 on a CPU, in mixed precision on a GPU.
    """

    def __init__(self, folder: str, max_length: int = 1024) -> None:
        self._base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(DEVICE)
        self._chat = ChatTokenizer(
            AutoTokenizer.from_pretrained(folder), template=None, max_length=max_length
        )

    def read(self, path: Path, count: int) -> list[Example]:
        """Evenly spread rows of a file."""
        file = load_rows(path)
        rows = file.rows[:: max(1, len(file.rows) // count)][:count]
        return self._learnable(rows, file.fmt)

    def examples(self, records: Sequence[Mapping[str, Any]]) -> list[Example]:
        """Original rows as tokens."""
        rows = [Row(str(place), record, "", "", f"pick {place + 1}") for place, record in enumerate(records)]
        return self._learnable(rows, "messages")

    def _learnable(self, rows: Sequence[Row], fmt: str) -> list[Example]:
        return [example for row in rows if not (example := self._chat.encode(row, fmt)).reason]

    def untrained(self) -> torch.nn.Module:
        return self._base

    def trained(self, examples: Sequence[Example], *, steps: int, lr: float, seed: int) -> torch.nn.Module:
        """A LoRA adapter (r = 8 on q, k, v, o) after `steps` of AdamW on 16 rows each, falling linearly."""
        torch.manual_seed(seed)
        shape = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
        model = get_peft_model(copy.deepcopy(self._base), shape).train()
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0)
        rising = max(1, round(WARMUP * steps))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / rising, (steps - step) / max(1, steps - rising))
        )
        drawn = _again_and_again(examples, seed)
        for _ in range(steps):
            batch = list(itertools.islice(drawn, BATCH))
            for some in passes(batch):
                (row_losses(model, some).sum() / len(batch)).backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        return model.eval()


def loss(model: torch.nn.Module, examples: Sequence[Example]) -> float:
    with torch.inference_mode():
        return float(torch.cat([row_losses(model, some) for some in passes(examples)]).mean())


def passes(examples: Sequence[Example]) -> Iterator[list[Example]]:
    """Rows of like length together, as many as `TOKENS` hold."""
    some: list[Example] = []
    for example in sorted(examples, key=lambda example: len(example.input_ids)):
        if some and (len(some) + 1) * len(example.input_ids) > TOKENS:
            yield some
            some = []
        some.append(example)
    if some:
        yield some


def row_losses(model: torch.nn.Module, examples: Sequence[Example]) -> torch.Tensor:
    longest = max(len(example.input_ids) for example in examples)
    ids = torch.zeros((len(examples), longest), dtype=torch.int64)
    labels = torch.full_like(ids, -100)
    for row, example in enumerate(examples):
        ids[row, : len(example.input_ids)] = torch.from_numpy(example.input_ids)
        labels[row, : len(example.labels)] = torch.from_numpy(example.labels)
    ids, labels = ids.to(DEVICE), labels.to(DEVICE)
    # Padding on the right needs no mask: no learned token looks at it.
    with torch.autocast(DEVICE, torch.bfloat16, enabled=DEVICE == "cuda"):
        logits = model(input_ids=ids).logits[:, :-1]
    learned = labels[:, 1:] != -100
    losses = cross_entropy(logits[learned].float(), labels[:, 1:][learned], reduction="none")
    rows = torch.arange(len(examples), device=DEVICE)[:, None].expand_as(learned)[learned]
    return torch.zeros(len(examples), device=DEVICE).index_add(0, rows, losses) / learned.sum(dim=1)


def _again_and_again(examples: Sequence[Example], seed: int) -> Iterator[Example]:
    """All rows in a new order, over and over."""
    order = random.Random(seed)  # noqa: S311
    while True:
        yield from order.sample(list(examples), len(examples))
