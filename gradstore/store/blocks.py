"""From a block of finished rows to what is stored of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.records import GradientBlock
from gradstore.store.arrays import ArraySpec, encode_chunk
from gradstore.store.columns import packed, utf8
from gradstore.store.encodings import encoding, row_norms
from gradstore.store.fidelity import fidelity, sampled
from gradstore.store.layout import CONTENT_BYTES
from gradstore.store.manifest import Entry
from gradstore.store.parts import Part
from gradstore.store.settings import Settings, VectorSettings

__all__ = ["Piece", "check_block", "coded", "columns_part", "encoded"]

_SAFE = np.float32(1e30)
"""Rows of smaller numbers have a norm that float32 has, however many they are."""


class Piece(NamedTuple):
    """A chunk of one direction, ready to be published."""

    direction: str
    objects: Mapping[str, bytes]
    part: Part


def check_block(
    block: GradientBlock,
    rows: int,
    vectors: Mapping[str, VectorSettings],
    needed: Collection[str],
    what: str,
) -> None:
    """Refuse a block that does not fit its chunk, or holds numbers that are none.

    Parameters
    ----------
    block : GradientBlock
    rows : int
        Rows of the chunk.
    vectors : Mapping from str to VectorSettings
        Directions that it may have.
    needed : collection of str
        Directions that it must have.
    what : str
        What the chunk is called in a message.

    Raises
    ------
    UsageError
    """
    texts = (block.ids, block.sources, block.subtasks, block.reasons, block.records)
    numbers = (block.loss, block.tokens, block.valid, block.truncated, block.contents)
    if any(len(column) != rows for column in (*texts, *numbers)):
        raise UsageError(f"{what} has {rows} rows, but the block's columns do not all have as many")
    if block.contents.shape != (rows, CONTENT_BYTES) or block.contents.dtype != np.uint8:
        raise UsageError(
            f"{what}: contents are uint8 of shape {(rows, CONTENT_BYTES)}, "
            f"not {block.contents.dtype} of shape {block.contents.shape}"
        )
    if not set(needed) <= set(block.gradients) <= set(vectors):
        raise UsageError(f"{what} needs the directions {', '.join(needed)}, not {', '.join(block.gradients)}")
    for direction, gradients in block.gradients.items():
        shape = (rows, vectors[direction].dim)
        if gradients.shape != shape or gradients.dtype != np.float32:
            raise UsageError(
                f"{what}, {direction}: gradients are float32 of shape {shape}, "
                f"not {gradients.dtype} of shape {gradients.shape}"
            )
        bad = block.valid & ~_finite(gradients)
        if bad.any():
            raise UsageError(
                f"{what}, {direction}: row {block.ids[int(bad.argmax())]!r} is valid but not finite"
            )


def _finite(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Whether the norm of each row is a number that float32 has."""
    largest = np.maximum(rows.max(axis=1), -rows.min(axis=1))
    doubtful = ~(largest < _SAFE)  # NaN too
    fine = np.ones(len(rows), np.bool_)
    fine[doubtful] = np.isfinite(row_norms(rows[doubtful]))
    return fine


def columns_part(block: GradientBlock) -> Part:
    """The columns of a block."""
    strings = {
        "id": utf8(block.ids, "id"),
        "source": utf8(block.sources, "source"),
        "subtask": utf8(block.subtasks, "subtask"),
        "reason": utf8(block.reasons, "reason"),
        "record": block.records,
    }
    arrays: dict[str, npt.NDArray[Any]] = {
        "loss": np.where(block.valid, block.loss, np.float32(np.nan)).astype(np.float32),
        "tokens": block.tokens.astype(np.int32),
        "valid": block.valid,
        "truncated": block.truncated,
        "contents": block.contents,
    }
    for name, values in strings.items():
        arrays[f"{name}/data"], arrays[f"{name}/offsets"] = packed(values)
    return Part(arrays)


def encoded(
    block: GradientBlock, direction: str, vectors: VectorSettings, settings: Settings, chunk: int
) -> Piece:
    """The chunk of one direction; rows of invalid examples become zero."""
    kind = encoding(vectors.encoding)
    rows = block.gradients[direction]
    if not block.valid.all():
        rows = np.where(block.valid[:, None], rows, np.float32(0))
    codes, scale = kind.encode(rows)
    measured = None
    if scale is not None and chunk == 0:
        some = sampled(block.valid)
        measured = fidelity(
            rows[some], kind.decode(codes[some], scale[some], vectors.dim), np.ones(len(some), np.bool_)
        )
    return coded(direction, vectors.gradient(settings), chunk, codes, row_norms(rows), scale, measured)


def coded(
    direction: str,
    spec: ArraySpec,
    chunk: int,
    codes: npt.NDArray[Any],
    norm: npt.NDArray[np.float32],
    scale: npt.NDArray[np.float32] | None,
    measured: Mapping[str, Any] | None,
) -> Piece:
    """The chunk of one direction from its codes and what is kept of each row beside them."""
    name, data = f"gradient/{spec.key(chunk)}", encode_chunk(spec, codes)
    arrays = {"norm": norm} if scale is None else {"norm": norm, "scale": scale}
    return Piece(direction, {name: data}, Part(arrays, {name: Entry.of(data)}, measured))
