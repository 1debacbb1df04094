"""Puts the columns of all parts together, chunk by chunk in bounded memory."""

from __future__ import annotations

from typing import Any

from gradstore.errors import CorruptError
from gradstore.store.columns import ArrayStream, StringStream
from gradstore.store.encodings import encoding
from gradstore.store.layout import COLUMNS, NUMBER_COLUMNS, PARTS, STRING_COLUMNS
from gradstore.store.manifest import Recorder
from gradstore.store.parts import Part, read_part
from gradstore.store.settings import Settings

__all__ = ["consolidate"]


def consolidate(recorder: Recorder, settings: Settings) -> dict[str, Any]:
    """Publish the columns of a data set whose chunks are all finished.

    Returns
    -------
    dict
        Facts for the manifest: ``valid`` (rows) and ``fidelity`` (by direction).

    Raises
    ------
    CorruptError
        If a part is damaged or an object it names is gone.
    """
    strings = {name: StringStream(recorder, f"{COLUMNS}/{name}") for name in STRING_COLUMNS}
    numbers = {
        name: ArrayStream(recorder, name, dtype, settings.column(dtype).chunk)
        for name, dtype in _number_columns(settings).items()
    }
    facts: dict[str, Any] = {"valid": 0, "fidelity": {}}
    for chunk in range(len(settings.chunks)):
        part = read_part(recorder.folder, chunk)
        _check_objects(recorder, chunk, part)
        recorder.objects.update(part.objects)
        for name, string_stream in strings.items():
            place = f"{COLUMNS}/{name}"
            string_stream.append(part.columns[f"{place}/data"], part.columns[f"{place}/offsets"])
        for name, stream in numbers.items():
            stream.append(part.columns[name])
        facts["valid"] += int(part.columns[f"{COLUMNS}/valid"].sum())
        facts["fidelity"].update(part.fidelity)
    for string_stream in strings.values():
        string_stream.finish()
    for stream in numbers.values():
        stream.finish()
    return facts


def _number_columns(settings: Settings) -> dict[str, str]:
    """Type of each column of numbers, by name relative to the data set."""
    columns = {f"{COLUMNS}/{name}": dtype for name, dtype in NUMBER_COLUMNS.items()}
    per_row = ("norm", "scale") if encoding(settings.encoding).scaled else ("norm",)
    return columns | {
        f"{direction}/{name}": "float32" for direction in settings.directions for name in per_row
    }


def _check_objects(recorder: Recorder, chunk: int, part: Part) -> None:
    for name, entry in part.objects.items():
        if recorder.folder.size(name) != entry.size:
            raise CorruptError(
                f"{recorder.folder.root / name} is gone or cut short: delete "
                f"{recorder.folder.root / PARTS / f'{chunk}.npz'} and run the same command again"
            )
