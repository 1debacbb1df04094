"""The tokenizer that belongs to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradstore.checkpoint.folder import CheckpointFolder
from gradstore.checkpoint.quiet import quiet
from gradstore.checkpoint.revision import wanted_revision
from gradstore.errors import CheckpointError, first_line

__all__ = ["load_tokenizer", "tokenizer_at"]

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
    for place in (str(checkpoint.path), base or checkpoint.base):
        if place is None:
            continue
        if Path(place).is_dir() and not any((Path(place) / name).is_file() for name in TOKENIZER_FILES):
            continue
        return tokenizer_at(
            place, revision=wanted_revision(place, checkpoint.lora), trust_remote_code=trust_remote_code
        )
    return None


def tokenizer_at(place: str, *, revision: str | None = None, trust_remote_code: bool = False) -> Any:
    """The tokenizer of a folder or of a hub model.

    Raises
    ------
    CheckpointError
        If there is none, or it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        with quiet():
            return AutoTokenizer.from_pretrained(
                place, revision=revision, trust_remote_code=trust_remote_code
            )
    except (OSError, ValueError) as error:
        raise CheckpointError(f"tokenizer of {place}: cannot be loaded: {first_line(error)}") from error
