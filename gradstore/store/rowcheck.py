"""Reads a sealed data set chunk by chunk for what `gradstore.store.meaning` looks at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gradstore.store.arrays import decode_chunk
from gradstore.store.encodings import encoding
from gradstore.store.fidelity import fidelity
from gradstore.store.folder import DatasetFolder
from gradstore.store.manifest import Manifest
from gradstore.store.meaning import ColumnCheck, row_problems
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
    dataset: DatasetFolder, direction: str, manifest: Manifest, chunks: Iterable[tuple[str, bytes | None]]
) -> Iterator[str]:
    """What the vectors of a sealed direction cannot be.

    Parameters
    ----------
    dataset : DatasetFolder
    direction : str
    manifest : Manifest
        The direction's.
    chunks : iterable of (str, bytes or None)
        Names and bytes of the chunks of its codes, in any order; None where they are damaged.
    """
    pieces, vectors, settings = Pieces(dataset), dataset.vectors[direction], dataset.settings
    spec, kind = vectors.gradient(settings), encoding(vectors.encoding)
    places = {f"gradient/{spec.key(chunk)}": chunk for chunk in range(spec.chunks)}
    known = manifest.facts.get("fidelity")
    # Of rows that came from another encoding the manifest names that, unless there was no order to keep.
    original = isinstance(known, dict) and "source" not in known
    first = f"gradient/{spec.key(0)}"
    for name, data in sorted(chunks, key=lambda each: each[0] != first):
        chunk = places.pop(name, -1)
        if chunk < 0:
            yield f"has an object {name} that is no chunk"
        elif data is not None:
            codes = decode_chunk(spec, chunk, data, dataset.of(direction).where(name))
            columns, part = pieces.columns(chunk), pieces.vectors(direction, chunk)
            if columns is None:
                continue
            valid = columns.arrays["valid"]
            if chunk == 0 and known is None and not kind.scaled:
                original = fidelity(codes, codes, valid) is not None
            scalars = dict(part.arrays)
            yield from row_problems(
                settings.span(chunk), vectors, codes, scalars, valid, original=original
            )
    yield from (f"lacks its chunk {name}" for name in places)
