"""The workload as files that every contestant reads: a base model, an adapter with Adam's moments, rows of tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

VOCABULARY = 4096
PROMPT_SHARE = 1 / 3  # of each random row is not learned


@dataclass(frozen=True)
class Workload:
    """A checkpoint folder and its rows; `lengths` are those of the rows in their order."""

    folder: Path
    checkpoint: Path
    rows: list[dict[str, Any]]

    @property
    def lengths(self) -> list[int]:
        return [len(row["input_ids"]) for row in self.rows]

    def tokens(self, rows: int) -> int:
        """Tokens of the first `rows` rows: contestants that see fewer rows are compared by tokens."""
        return sum(self.lengths[:rows])

    def file(self, rows: int) -> Path:
        """The first `rows` rows as a jsonl file in the tokens format."""
        path = self.folder / f"rows-{rows}.jsonl"
        if not path.is_file():
            path.write_text("".join(json.dumps(row) + "\n" for row in self.rows[:rows]))
        return path


def random_workload(
    folder: Path, rows: int, *, hidden: int = 256, layers: int = 4, longest: int = 256
) -> Workload:
    """A random Llama with LoRA r=8 on q, k, v, o, saved as the Trainer saves it, and rows of random tokens."""
    base, checkpoint = folder / "base", folder / "run" / "checkpoint-10"
    save_model(base, checkpoint, hidden, layers)
    save_tokenizer(checkpoint)
    draw = np.random.default_rng(0)
    made = []
    for i in range(rows):
        tokens = draw.integers(0, VOCABULARY, int(draw.integers(32, longest + 1))).tolist()
        prompt = int(len(tokens) * PROMPT_SHARE)
        made.append({"id": f"r{i}", "input_ids": tokens, "labels": [-100] * prompt + tokens[prompt:]})
    return Workload(folder, checkpoint, made)


def save_model(base: Path, checkpoint: Path, hidden: int, layers: int) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=hidden,
            intermediate_size=hidden * 11 // 4,
            num_hidden_layers=layers,
            num_attention_heads=hidden // 32,
        )
    )
    model.save_pretrained(base)
    model.name_or_path = str(base)  # what peft writes as the adapter's base
    lora = LoraConfig(
        r=8,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, lora)
    adapted.save_pretrained(checkpoint)
    draw = torch.Generator().manual_seed(1)
    trained = [p for p in adapted.parameters() if p.requires_grad]
    state = {
        i: {
            "step": torch.tensor(10.0),
            "exp_avg": torch.randn(p.shape, generator=draw) * 1e-4,
            "exp_avg_sq": torch.rand(p.shape, generator=draw) * 1e-7,
        }
        for i, p in enumerate(trained)
    }
    group = {"lr": 1e-4, "betas": (0.9, 0.999), "eps": 1e-8, "params": list(range(len(trained)))}
    torch.save({"state": state, "param_groups": [group]}, checkpoint / "optimizer.pt")


def save_tokenizer(folder: Path) -> None:
    """bergson wants a tokenizer even where rows are tokens."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}))
    special = {"eos_token": "w2", "pad_token": "w2"}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)


def real_workload(folder: Path, checkpoint: Path, data: Path, rows: int, max_length: int) -> Workload:
    """A trained adapter and the first rows of a data file that have something to learn, as tokens."""
    from gradstore.checkpoint import find_checkpoints, load_tokenizer
    from gradstore.data import ChatTokenizer, load_rows

    found = find_checkpoints(checkpoint)[0]
    chat = ChatTokenizer(load_tokenizer(found), template=None, max_length=max_length)
    file = load_rows(data, limit=2 * rows)
    made: list[dict[str, Any]] = []
    for row in file.rows:
        example = chat.encode(row, file.fmt)
        if not example.reason and len(made) < rows:
            tokens, labels = example.input_ids.tolist(), example.labels.tolist()
            made.append({"id": row.id, "input_ids": tokens, "labels": labels})
    return Workload(folder, checkpoint, made)
