"""Rows as tokens, a chunk at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from gradstore.checkpoint import CheckpointFolder, load_tokenizer
from gradstore.data import ChatTokenizer, DataFile
from gradstore.errors import DataError
from gradstore.gradients.compute import Prepared
from gradstore.gradients.settings import Settings
from gradstore.gradients.spool import TokenSpool
from gradstore.records import Example, Row

__all__ = ["Tokens", "tokens_of"]

LOOK_AHEAD = 16


@dataclass(frozen=True, slots=True)
class Tokens:
    """The rows of a data file, tokenised for one tokenizer and template when they are asked for.

    Attributes
    ----------
    file : DataFile
    chat : ChatTokenizer
    tokenizer : transformers tokenizer, or None
    strict : bool
        Whether a row without a gradient is an error.
    spool : TokenSpool, optional
        Where chunks are kept for the next checkpoint.
    """

    file: DataFile
    chat: ChatTokenizer
    tokenizer: Any | None
    strict: bool = False
    spool: TokenSpool | None = None

    def examples(self, start: int, stop: int) -> list[Example]:
        """Rows ``start`` to ``stop`` (excluded) as tokens."""
        return self.chat.encode_all(self.file.rows[start:stop], self.file.fmt)

    def bytes(self, span: range) -> int:
        """Size of some rows as JSON, which tells how many tokens to expect."""
        return int(self.file.sizes[span.start : span.stop].sum())

    def check_some_learned(self) -> None:
        """Refuse a file without a single learned token; usually the first row shows that there is one.

        Raises
        ------
        DataError
        """
        size, reasons = len(self.file.rows), Counter[str]()
        for start in range(0, size, LOOK_AHEAD):
            found = {example.reason for example in self.examples(start, min(size, start + LOOK_AHEAD))}
            if "" in found:
                return
            reasons.update(found)
        raise DataError(
            f"{self.file.path}: no row has a learned token ({'; '.join(reasons)}); see `--show 3`"
        )

    def prepared(self, span: range, vocabulary: int) -> Prepared:
        """The rows of one chunk, checked against what the model knows.

        Raises
        ------
        DataError
            If a token id lies outside the model's vocabulary, or a row has nothing to learn and that is an error.
        """
        rows = self.file.rows[span.start : span.stop]

        def tokenised() -> list[Example]:
            return self.chat.encode_all(rows, self.file.fmt)

        if self.spool is None:
            examples = tokenised()
        else:
            chat = self.chat
            key = (self.file.digest, chat.tokenizer_digest, chat.template_digest, span.start, span.stop)
            examples = self.spool.examples(key, tokenised)
        for row, example in zip(rows, examples, strict=True):
            check_example(row, example, vocabulary, strict=self.strict)
        return Prepared(rows, examples, self.file.contents[span.start : span.stop])


def check_example(row: Row, example: Example, vocabulary: int, *, strict: bool) -> None:
    """Refuse token ids that the model does not have, which the model itself would meet with a crash."""
    ids = example.input_ids
    if len(ids) and not 0 <= ids.min() <= ids.max() < vocabulary:
        raise DataError(
            f"{row.where}: token id {ids.max()} is outside the model's vocabulary of {vocabulary};"
            " are the rows tokenised for this model?"
        )
    if strict and example.reason:
        raise DataError(
            f"{row.where}: row {row.id!r} has no gradient: {example.reason};"
            " repair or remove it, or leave `--strict` out to keep it as invalid"
        )


def tokens_of(
    file: DataFile, folder: CheckpointFolder, job: Settings, spool: TokenSpool | None = None
) -> Tokens:
    """The data of a job for one checkpoint's tokenizer.

    Raises
    ------
    DataError
        If rows are text and there is no tokenizer.
    """
    tokenizer = load_tokenizer(folder, job.base, trust_remote_code=job.trust_remote_code)
    if tokenizer is None and file.fmt != "tokens":
        raise DataError(
            f"{job.data}: rows are text, but neither {folder.path} nor its base model has a tokenizer;"
            " save one beside the base model, or give rows with input_ids and labels"
        )
    chat = ChatTokenizer(tokenizer, template=job.chat_template, max_length=job.max_length)
    return Tokens(file, chat, tokenizer, job.strict, spool)
