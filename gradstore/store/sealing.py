"""Puts the parts of a data set together, chunk by chunk in bounded memory, and publishes its manifests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from gradstore.errors import CorruptError
from gradstore.store.columns import ArrayStream, StringStream
from gradstore.store.folder import DatasetFolder, tidy
from gradstore.store.layout import COLUMNS, METADATA, NUMBER_COLUMNS, STRING_COLUMNS
from gradstore.store.manifest import is_sealed, read_manifest
from gradstore.store.parts import COLUMN_ARRAYS, Part, finished, part_path, read_part
from gradstore.store.recorder import Recorder
from gradstore.store.source_counts import SourceCounts

__all__ = ["seal_finished"]


def seal_finished(dataset: DatasetFolder, checkpoint: str) -> None:
    """Seal the columns and the directions of which every chunk is finished; the caller holds the data set's lock.

    Each manifest is published once and never changed. Killed at any moment and repeated, it leaves the same bytes.

    Parameters
    ----------
    dataset : DatasetFolder
    checkpoint : str
        Digest of what makes its rows comparable.

    Raises
    ------
    CorruptError
        If a part is damaged or an object it names is gone.
    """
    count = len(dataset.settings.chunks)
    if len(finished(dataset.folder, count)) == count:
        if not is_sealed(dataset.folder):
            _seal_columns(dataset, checkpoint)
        for name in dataset.vectors:
            place = dataset.of(name)
            if not is_sealed(place) and len(finished(place, count)) == count:
                _seal_direction(dataset, name)
    tidy(dataset.folder)


def _seal_columns(dataset: DatasetFolder, checkpoint: str) -> None:
    settings, recorder = dataset.settings, Recorder(dataset.folder)
    recorder.keep(METADATA)
    recorder.keep(f"{COLUMNS}/{METADATA}")
    strings = {name: StringStream(recorder, f"{COLUMNS}/{name}") for name in STRING_COLUMNS}
    numbers = {}
    for name in NUMBER_COLUMNS:
        spec = settings.column(name)
        numbers[name] = ArrayStream(
            recorder, f"{COLUMNS}/{name}", spec.dtype, spec.chunk, tail=spec.shape[1:]
        )
    valid = truncated = 0
    reasons: Counter[str] = Counter()
    sources = SourceCounts()
    for chunk, rows in enumerate(settings.chunks):
        part = _part(dataset, "", chunk, len(rows))
        for name, string_stream in strings.items():
            string_stream.append(part.arrays[f"{name}/data"], part.arrays[f"{name}/offsets"])
        for name, stream in numbers.items():
            stream.append(part.arrays[name])
        valid += int(part.arrays["valid"].sum())
        truncated += int(part.arrays["truncated"].sum())
        reasons.update(each for each in _texts(part, "reason") if each)
        sources.add(_texts(part, "source"))
    for string_stream in strings.values():
        string_stream.finish()
    for stream in numbers.values():
        stream.finish()
    recorder.seal(
        checkpoint=checkpoint,
        valid=valid,
        truncated=truncated,
        reasons=dict(reasons),
        sources=sources.found,
    )


def _seal_direction(dataset: DatasetFolder, direction: str) -> None:
    settings, vectors = dataset.settings, dataset.vectors[direction]
    columns = read_manifest(dataset.folder)
    recorder = Recorder(dataset.of(direction))
    recorder.keep(METADATA)
    recorder.keep(f"gradient/{METADATA}")
    spec = settings.scalars
    streams = {name: ArrayStream(recorder, name, spec.dtype, spec.chunk) for name in vectors.scalars}
    fidelity = None
    for chunk, rows in enumerate(settings.chunks):
        part = _part(dataset, direction, chunk, len(rows))
        _check_objects(recorder, chunk, part)
        recorder.objects.update(part.objects)
        for name, stream in streams.items():
            stream.append(part.arrays[name])
        fidelity = part.fidelity if chunk == 0 else fidelity
    for stream in streams.values():
        stream.finish()
    recorder.seal(dataset=columns.digest if columns else "", fidelity=fidelity)


def _part(dataset: DatasetFolder, direction: str, chunk: int, rows: int) -> Part:
    """A part that was there a moment ago; an empty direction is that of the columns."""
    folder = dataset.of(direction)
    names = dataset.vectors[direction].scalars if direction else COLUMN_ARRAYS
    part = read_part(folder, chunk, names, rows)
    if part is None:
        raise CorruptError(f"{folder.where(part_path(chunk))} is gone: run the same command again")
    return part


def _texts(part: Part, column: str) -> Iterator[str]:
    data, offsets = part.arrays[f"{column}/data"].tobytes(), part.arrays[f"{column}/offsets"].tolist()
    return (data[start:stop].decode(errors="replace") for start, stop in pairwise(offsets))


def _check_objects(recorder: Recorder, chunk: int, part: Part) -> None:
    folder = recorder.folder
    for name, entry in part.objects.items():
        if folder.size(name) != entry.size:
            raise CorruptError(
                f"{folder.where(name)} is gone or cut short: delete {folder.where(part_path(chunk))} and run the same "
                "command again"
            )
