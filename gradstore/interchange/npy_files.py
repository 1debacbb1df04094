"""Writes a folder of plain NumPy: ``gradients.npy``, ``ids.txt`` and ``meta.json``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.progress import Bar
from gradstore.storage.complete import fresh_folder

if TYPE_CHECKING:
    from gradstore.store import Dataset

__all__ = ["write_blocks", "write_npy"]

Float = npt.NDArray[np.float32]


def write_npy(dataset: Dataset, direction: str, out: Path, bar: Bar) -> Path:
    """Write the folder and return it.

    Raises
    ------
    UsageError
        If an id has a line break.
    """
    ids = [str(name) for name in dataset.ids]
    for name in ids:
        if name.splitlines() != [name]:
            raise UsageError(f"id {name!r} does not fit on a line of ids.txt: export parquet instead")
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(dataset), dataset.dim(direction))}
    about = {
        "dataset": dataset.name,
        "checkpoint": dataset.checkpoint,
        "direction": direction,
        "encoding": dataset.encoding(direction),
        "digest": dataset.digest_of(direction),
        "target": bool(dataset.attributes.get("target")),
        "identity": dataset.identity.to_json(),
        "invalid": {int(row): str(dataset.reasons[row]) for row in np.flatnonzero(~dataset.valid)},
    }
    with fresh_folder(out) as folder:
        with (folder / "gradients.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            write_blocks(dataset, direction, file, bar)
        (folder / "ids.txt").write_text("".join(f"{name}\n" for name in ids), encoding="utf-8")
        text = json.dumps(about, indent=2, ensure_ascii=False)
        (folder / "meta.json").write_text(f"{text}\n", encoding="utf-8")
    return out


def write_blocks(
    dataset: Dataset,
    direction: str,
    file: IO[bytes],
    bar: Bar,
    change: Callable[[Float], Float] | None = None,
) -> None:
    """Append all rows, each block of them changed by `change`, as little-endian float32."""
    for _, rows in dataset.blocks(direction):
        made = rows if change is None else change(rows)
        file.write(np.ascontiguousarray(made, "<f4").view(np.uint8).data)
        bar.update(len(rows))
