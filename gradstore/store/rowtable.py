"""What is known of the rows of a sealed data set beside their vectors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.store.columns import read_offsets, read_spans, read_strings
from gradstore.store.layout import COLUMNS
from gradstore.store.manifest import Sealed
from gradstore.store.settings import Settings

__all__ = ["Choice", "RowTable"]

Strings = npt.NDArray[np.object_]
Choice = Sequence[int] | Sequence[str] | npt.NDArray[Any]
"""Row numbers; ids; or a bool for each row."""


class RowTable:
    """The columns of a data set: read when first used, and kept.

    Parameters
    ----------
    sealed : Sealed
        The data set's objects.
    settings : Settings
        What its ``zarr.json`` says.
    name : str
    """

    def __init__(self, sealed: Sealed, settings: Settings, name: str) -> None:
        self.name = name
        self._sealed, self._settings = sealed, settings

    @property
    def chunks(self) -> list[range]:
        """Rows of each chunk."""
        return self._settings.chunks

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What its maker wrote about it (JSON values); ``target`` says whether it is a target set."""
        return self._settings.attributes

    @property
    def content_digest(self) -> str:
        """Digest of the rows it was made from."""
        return self._settings.content_digest

    def __len__(self) -> int:
        return self._settings.rows

    @cached_property
    def ids(self) -> Strings:
        """Row ids, shape (N,)."""
        return self._strings("id")

    @cached_property
    def sources(self) -> Strings:
        """Where each row comes from, shape (N,)."""
        return self._strings("source")

    @cached_property
    def subtasks(self) -> Strings:
        """Subtask of each row, ``""`` where there is none; shape (N,)."""
        return self._strings("subtask")

    @cached_property
    def reasons(self) -> Strings:
        """Why a row is invalid, ``""`` where it is valid; shape (N,)."""
        return self._strings("reason")

    @cached_property
    def loss(self) -> npt.NDArray[np.float32]:
        """Mean cross-entropy of each row, NaN where unknown; shape (N,)."""
        return self._numbers("loss")

    @cached_property
    def tokens(self) -> npt.NDArray[np.int32]:
        """Tokens of each row, learned or not, shape (N,)."""
        return self._numbers("tokens")

    @cached_property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Whether each row has a gradient, shape (N,)."""
        return self._numbers("valid")

    @cached_property
    def truncated(self) -> npt.NDArray[np.bool_]:
        """Whether tokens of a row were cut, shape (N,)."""
        return self._numbers("truncated")

    @cached_property
    def contents(self) -> npt.NDArray[np.uint8]:
        """Hash of each row's content, shape (N, 12)."""
        return self._numbers("contents")

    @cached_property
    def has_records(self) -> bool:
        """Whether the original rows are in the store."""
        return int(self._record_offsets[-1]) > 0

    def records(self, rows: Choice) -> list[dict[str, Any]]:
        """Original rows, chosen as in `take`; only the chunks that hold them are read.

        Raises
        ------
        UsageError
            If the data set does not hold its original rows, or there is no such row.
        """
        wanted = self._rows(rows).tolist()
        if not self.has_records:
            raise UsageError(
                f"data set {self.name!r} does not hold its original rows: give the data file it was made from"
            )
        spans = read_spans(self._sealed, f"{COLUMNS}/record", self._record_offsets, wanted)
        try:
            return [json.loads(span) for span in spans]
        except ValueError as error:
            raise self._sealed.damage(f"{COLUMNS}/record", f"holds a row that is no JSON ({error})") from None

    @cached_property
    def _record_offsets(self) -> npt.NDArray[np.int64]:
        return read_offsets(self._sealed, f"{COLUMNS}/record", len(self))

    def _strings(self, name: str) -> Strings:
        return read_strings(self._sealed, f"{COLUMNS}/{name}", len(self))

    def _numbers(self, name: str) -> npt.NDArray[Any]:
        return self._sealed.array(f"{COLUMNS}/{name}", self._settings.column(name))

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def _rows(self, rows: Choice) -> npt.NDArray[np.int64]:
        wanted = np.asarray(rows)
        if wanted.dtype.kind in "UO" and wanted.ndim == 1 and len(wanted):
            unknown = next((name for name in wanted.tolist() if name not in self._row_of), None)
            if unknown is not None:
                raise UsageError(f"data set {self.name!r} has no row of the id {unknown!r}")
            return np.array([self._row_of[name] for name in wanted.tolist()], np.int64)
        if wanted.dtype == np.bool_ and wanted.shape == (len(self),):
            return np.flatnonzero(wanted)
        if wanted.ndim != 1 or (len(wanted) and wanted.dtype.kind not in "iu"):
            raise UsageError(
                f"rows of data set {self.name!r} are given as numbers, as ids, or as a bool for each of its "
                f"{len(self)} rows"
            )
        wrong = wanted[(wanted < 0) | (wanted >= len(self))]
        if len(wrong):
            raise UsageError(f"row {wrong[0]} of data set {self.name!r}: it has rows 0 to {len(self)}")
        return wanted.astype(np.int64)
