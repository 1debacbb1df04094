"""Tokenised chunks on disk, so that several checkpoints of one command share them and memory stays flat."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager

import numpy as np

from gradstore.errors import DataError
from gradstore.records import Example

__all__ = ["TokenSpool"]


class TokenSpool(AbstractContextManager["TokenSpool"]):
    """Keeps examples in an anonymous temporary file; a later request for the same key reads them back."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed on leaving)
        self._places: dict[Hashable, tuple[int, int]] = {}
        self._end = 0

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def examples(self, key: Hashable, make: Callable[[], list[Example]]) -> list[Example]:
        """The examples kept under `key`, made and kept if there are none.

        Raises
        ------
        DataError
            If there is no room for them.
        """
        if key in self._places:
            start, size = self._places[key]
            return _unpack(os.pread(self._file.fileno(), size, start))
        examples = make()
        data = _pack(examples)
        try:
            self._file.write(data)
        except OSError as error:
            raise DataError(
                f"no room for tokens in {tempfile.gettempdir()} ({error.strerror}):"
                " set TMPDIR to a folder on a larger disk"
            ) from error
        self._places[key] = (self._end, len(data))
        self._end += len(data)
        return examples


def _pack(examples: Sequence[Example]) -> bytes:
    buffer = io.BytesIO()
    empty = np.zeros(0, np.int32)
    np.savez(
        buffer,
        lengths=np.array([len(example.input_ids) for example in examples]),
        input_ids=np.concatenate([empty, *(example.input_ids for example in examples)]),
        labels=np.concatenate([empty, *(example.labels for example in examples)]),
        reasons=np.array([example.reason for example in examples], dtype=np.str_),
        truncated=np.array([example.truncated for example in examples], dtype=np.bool_),
    )
    return buffer.getvalue()


def _unpack(data: bytes) -> list[Example]:
    with np.load(io.BytesIO(data), allow_pickle=False) as packed:
        ends = np.cumsum(packed["lengths"])[:-1]
        columns = (np.split(packed[name], ends) for name in ("input_ids", "labels"))
        rest = (packed[name].tolist() for name in ("reasons", "truncated"))
        return [Example(*fields) for fields in zip(*columns, *rest, strict=True)]
