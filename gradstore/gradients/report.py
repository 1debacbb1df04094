"""What an extraction says when it ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradstore.data import DataFile
    from gradstore.gradients.pipeline import Tally
    from gradstore.store import Dataset

__all__ = ["ExtractReport"]


@dataclass(frozen=True, slots=True)
class ExtractReport:
    """What was done for one checkpoint and data set.

    Attributes
    ----------
    checkpoint, name : str
        Where the data set lies in the store.
    continues : str
        The data set whose file has grown by these rows; or nothing.
    sealed : bool
        Whether the data set is finished; if not, other processes or parts have the rest, and the counts below speak of
        what this process computed.
    rows, valid, truncated, duplicates, tokens : int
        `duplicates` are rows whose content repeats an earlier row's; they are kept.
    invalid : dict from reason to int
        Rows without a gradient; they are in the store, marked as such.
    directions : tuple of str
        Those asked for.
    fmt : str
        The rows' format.
    chunks, computed_chunks, missing_chunks : int
        All chunks, those that this run computed, and those that nobody has finished yet.
    unattributed : tuple of str
        Trained parameters whose gradients are not part of the rows.
    bytes : int
        Size of the data set in the store.
    seconds : float
        Time spent computing and writing.
    """

    checkpoint: str
    name: str
    continues: str
    sealed: bool
    rows: int
    valid: int
    truncated: int
    duplicates: int
    tokens: int
    invalid: dict[str, int]
    directions: tuple[str, ...]
    fmt: str
    chunks: int
    computed_chunks: int
    missing_chunks: int
    unattributed: tuple[str, ...]
    bytes: int
    seconds: float

    @classmethod
    def of(
        cls,
        dataset: Dataset | None,
        tally: Tally,
        file: DataFile,
        *,
        checkpoint: str,
        name: str,
        continues: str,
        directions: tuple[str, ...],
        chunks: int,
        missing: int,
        unattributed: tuple[str, ...],
        seconds: float,
    ) -> ExtractReport:
        """From the finished data set, or from what this process did if others have the rest."""
        invalid = tally.invalid if dataset is None else dict(Counter(r for r in dataset.reasons if r))
        return cls(
            checkpoint=checkpoint,
            name=name,
            continues=continues,
            sealed=dataset is not None,
            rows=len(file.rows),
            valid=tally.valid if dataset is None else int(dataset.valid.sum()),
            truncated=tally.truncated if dataset is None else int(dataset.truncated.sum()),
            duplicates=file.duplicates,
            tokens=tally.tokens if dataset is None else int(dataset.tokens[dataset.valid].sum()),
            invalid=invalid,
            directions=directions,
            fmt=file.fmt,
            chunks=chunks,
            computed_chunks=tally.chunks,
            missing_chunks=missing,
            unattributed=unattributed,
            bytes=0 if dataset is None else dataset.size,
            seconds=seconds,
        )
