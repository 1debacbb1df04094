"""Tokenised chunks on disk, so that several checkpoints of one command share them and memory stays flat."""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from gradstore.data.sources import Spool
from gradstore.records import Example

__all__ = ["TokenSpool"]


class TokenSpool(AbstractContextManager["TokenSpool"]):
    """Keeps examples in an anonymous temporary file; a later request for the same key reads them back.

    Parameters
    ----------
    path : Path
        The file that they are of, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._spool = Spool(path, "tokens")
        self._places: dict[Hashable, tuple[int, int]] = {}

    def __exit__(self, *_: object) -> None:
        self._spool.source.file.close()

    def examples(self, key: Hashable, make: Callable[[], list[Example]]) -> list[Example]:
        """The examples kept under `key`, made and kept if there are none.

        Raises
        ------
        DataError
            If there is no room for them.
        """
        if key in self._places:
            start, size = self._places[key]
            return _unpack(self._spool.source.read(start, size))
        examples = make()
        data = _pack(examples)
        start = self._spool.append(data)
        self._spool.flush()
        self._places[key] = (start, len(data))
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
