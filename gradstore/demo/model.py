"""A small language model made on the spot: tokenizer, architecture and a minute of training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from gradstore.checkpoint.quiet import quiet
from gradstore.progress import Progress, silent

__all__ = ["make_model", "make_tokenizer"]

END, PAD = "<|end|>", "<|pad|>"
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
VOCABULARY = 640
BATCH = 32
LEARNING_RATE = 3e-3


def make_model(
    folder: Path,
    lessons: Sequence[dict[str, Any]],
    *,
    steps: int,
    hidden: int = 128,
    layers: int = 3,
    seed: int = 0,
    progress: Progress = silent,
) -> list[float]:
    """Train a Llama from scratch on `lessons` and save it as a Hugging Face model folder.

    Parameters
    ----------
    folder : Path
        Where the model and its tokenizer are saved.
    lessons : sequence of dict
        Rows in the messages format.
    steps : int
        Batches of 32 rows.
    hidden, layers : int
        Size of the model.
    seed : int
        Decides initial weights and order; the random state of torch is left as it was.

    Returns
    -------
    list of float
        Mean cross-entropy of each batch, in nats a token.
    """
    tokenizer = make_tokenizer(lessons)
    rows = [tokenizer.apply_chat_template(row["messages"], return_dict=False) for row in lessons]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=hidden,
                intermediate_size=3 * hidden,
                num_hidden_layers=layers,
                num_attention_heads=4,
                num_key_value_heads=4,
                max_position_embeddings=1024,
                tie_word_embeddings=True,
                bos_token_id=None,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        losses = _train(model, rows, steps, seed, progress)
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return losses


def make_tokenizer(lessons: Sequence[dict[str, Any]]) -> PreTrainedTokenizerFast:
    """A byte-level BPE that keeps every digit a token of its own, with a chat template."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, END, "<|user|>", "<|assistant|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator((m["content"] for row in lessons for m in row["messages"]), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=END, pad_token=PAD)
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _train(
    model: LlamaForCausalLM, rows: list[list[int]], steps: int, seed: int, progress: Progress
) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    # The scheduler divides by the steps of its rise less one.
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=max(steps, 20), pct_start=0.1
    )
    losses = []
    model.train()
    with progress(steps, "steps", "the demo's model") as bar:
        for batch in _batches(rows, steps, seed):
            longest = max(map(len, batch))
            ids = torch.tensor([row + [0] * (longest - len(row)) for row in batch])
            mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in batch])
            loss = model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
            bar.update(1)
    return losses


def _batches(rows: list[list[int]], steps: int, seed: int) -> Iterator[list[list[int]]]:
    """Random batches whose rows have similar lengths, so that little is padded."""
    rng = Random(seed)
    for step in range(steps):
        if step % 8 == 0:
            group = sorted(rng.choices(rows, k=8 * BATCH), key=len)
            order = rng.sample(range(8), 8)
        start = order[step % 8] * BATCH
        yield group[start : start + BATCH]
