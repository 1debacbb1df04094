"""Tokenizers made on the spot: byte-level BPE, as most models have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

CORPUS = [
    "the cat sat on the mat, and the answer is 42.\n\n\nuser assistant system <|im_start|> <|user|>\n",
    "What is 1 + 1?   It is two.\tDoes the model learn   spaces\n\n  and blank lines? Größe, naïve, 你好 👍",
] * 20


def byte_level(*, trim_offsets: bool = True, bos: bool = True) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    around = processors.TemplateProcessing(single="<s> $A" if bos else "$A", special_tokens=[("<s>", 0)])
    backend.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=trim_offsets), around])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=special[0],
        eos_token=special[1],
        extra_special_tokens=special[2:],
    )


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[..., Any]:
    return byte_level


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Begins every text with ``<s>``; has no chat template."""
    return byte_level()
