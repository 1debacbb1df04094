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
from gradstore.store.parts import Part
from gradstore.store.settings import Settings, VectorSettings

__all__ = ["Piece", "checked_norms", "coded", "columns_part", "encoded"]

Norms = npt.NDArray[np.float32]


class Piece(NamedTuple):
    """A chunk of one direction, ready to be published; its part lacks the objects' checksums."""

    direction: str
    objects: Mapping[str, bytes]
    part: Part


def checked_norms(
    block: GradientBlock,
    rows: int,
    vectors: Mapping[str, VectorSettings],
    needed: Collection[str],
    what: str,
) -> dict[str, Norms]:
    """Norms of a block's rows, by direction; refuse one that does not fit its chunk, or holds numbers that are none.

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
    norms = {}
    for direction, gradients in block.gradients.items():
        shape = (rows, vectors[direction].dim)
        if gradients.shape != shape or gradients.dtype != np.float32:
            raise UsageError(
                f"{what}, {direction}: gradients are float32 of shape {shape}, "
                f"not {gradients.dtype} of shape {gradients.shape}"
            )
        norms[direction] = row_norms(gradients)
        bad = block.valid & ~np.isfinite(norms[direction])  # a row with a number that is none has no norm
        if bad.any():
            raise UsageError(
                f"{what}, {direction}: row {block.ids[int(bad.argmax())]!r} is valid but not finite"
            )
    return norms


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
    block: GradientBlock,
    direction: str,
    norms: Norms,
    vectors: VectorSettings,
    settings: Settings,
    chunk: int,
) -> Piece:
    """The chunk of one direction; rows of invalid examples become zero."""
    kind = encoding(vectors.encoding)
    rows = block.gradients[direction]
    if not block.valid.all():
        rows = np.where(block.valid[:, None], rows, np.float32(0))
        norms = np.where(block.valid, norms, np.float32(0))
    codes, scale = kind.encode(rows)
    measured = None
    if scale is not None and chunk == 0:
        some = sampled(block.valid)
        measured = fidelity(
            rows[some], kind.decode(codes[some], scale[some], vectors.dim), np.ones(len(some), np.bool_)
        )
    return coded(direction, vectors.gradient(settings), chunk, codes, norms, scale, measured)


def coded(
    direction: str,
    spec: ArraySpec,
    chunk: int,
    codes: npt.NDArray[Any],
    norms: Norms,
    scale: npt.NDArray[np.float32] | None,
    measured: Mapping[str, Any] | None,
) -> Piece:
    """The chunk of one direction from its codes and what is kept of each row beside them."""
    arrays = {"norm": norms} if scale is None else {"norm": norms, "scale": scale}
    name = f"gradient/{spec.key(chunk)}"
    return Piece(direction, {name: encode_chunk(spec, codes)}, Part(arrays, fidelity=measured))
