"""Reads a sealed data set chunk by chunk for what `gradstore.inspection.meaning` looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from gradstore.errors import CorruptError
from gradstore.inspection.meaning import ColumnCheck, row_problems
from gradstore.store.arrays import decode_chunk
from gradstore.store.fidelity import fidelity
from gradstore.store.folder import DatasetFolder
from gradstore.store.manifest import Manifest
from gradstore.store.pieces import Pieces

__all__ = ["check_columns", "check_rows"]


def check_columns(dataset: DatasetFolder, manifest: Manifest) -> Iterator[str]:
    """What the columns of a sealed data set cannot be."""
    pieces, check = Pieces(dataset), ColumnCheck(dataset.settings.rows)
    for chunk, rows in enumerate(dataset.settings.chunks):
        part = pieces.columns(chunk)
        if part is not None:
            yield from check.problems(part, rows)
    yield from check.closing(manifest)


def check_rows(
    dataset: DatasetFolder,
    direction: str,
    manifest: Manifest,
    valid: npt.NDArray[np.bool_],
    read: Callable[[str], bytes | None],
) -> Iterator[str]:
    """What the vectors of a sealed direction cannot be.

    Parameters
    ----------
    dataset : DatasetFolder
    direction : str
    manifest : Manifest
        The direction's.
    valid : ndarray of bool, shape (N,)
    read : callable
        Bytes of an object of the direction; None if it is damaged.
    """
    pieces, vectors, settings = Pieces(dataset), dataset.vectors[direction], dataset.settings
    spec, known = vectors.gradient(settings), manifest.facts.get("fidelity")
    # Of rows that came from another encoding the manifest names that, unless there was no order to keep.
    original = isinstance(known, dict) and "source" not in known
    for chunk, rows in enumerate(settings.chunks):
        name = f"gradient/{spec.key(chunk)}"
        data = read(name) if name in manifest.objects else None
        if name not in manifest.objects:
            yield f"lacks {name} in its manifest"
        if data is None:
            continue
        try:
            codes = decode_chunk(spec, chunk, data, dataset.of(direction).where(name))
        except CorruptError as error:
            yield f"cannot be read: {error}"
            continue
        here = valid[rows.start : rows.stop]
        if chunk == 0 and known is None and vectors.encoding == "exact":
            original = fidelity(codes, codes, here) is not None
        scalars = dict(pieces.vectors(direction, chunk).arrays)
        yield from row_problems(rows, vectors, codes, scalars, here, original=original)
