"""The tokenizer that belongs to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradstore.checkpoint.folder import CheckpointFolder
from gradstore.checkpoint.revision import wanted_revision
from gradstore.errors import CheckpointError

__all__ = ["load_tokenizer"]

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")


def load_tokenizer(
    checkpoint: CheckpointFolder, base: str | None = None, *, trust_remote_code: bool = False
) -> Any | None:
    """The checkpoint's own tokenizer, else the base model's, else None.

    Raises
    ------
    CheckpointError
        If there is one that cannot be loaded.
    """
    from transformers import AutoTokenizer

    for place in (str(checkpoint.path), base or checkpoint.base):
        if place is None:
            continue
        if Path(place).is_dir() and not any((Path(place) / name).is_file() for name in TOKENIZER_FILES):
            continue
        try:
            return AutoTokenizer.from_pretrained(
                place,
                revision=wanted_revision(place, checkpoint.lora),
                trust_remote_code=trust_remote_code,
            )
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"tokenizer of {place}: cannot be loaded: {reason}") from error
    return None
