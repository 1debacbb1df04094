"""Folders of LESS: ``{name}-ckpt{step}-{adam|sgd|sign}/dim{K}/grads-{count}.pt``.

Source: ``less/data_selection/collect_grad_reps.py`` of princeton-nlp/LESS. The number in a file's name is that of its
last row, counted from 1. ``all_unormalized.pt`` holds all rows, ``all_orig.pt`` all rows divided by their norms.
"""

from __future__ import annotations

import re
from pathlib import Path

from gradstore.errors import DataError
from gradstore.interchange.source import Source, Stacked, inside, member, names_in, regular
from gradstore.interchange.tensors import TensorRows, map_tensor

__all__ = ["UNIT_NOTE", "layout", "matrix_folder", "read_less"]

UNIT_NOTE = "its rows have norm 1: the norms of the gradients are lost"

_RUN = re.compile(r".+-ckpt(\d+)-(adam|sgd|sign)", re.ASCII)
_DIM = re.compile(r"dim(\d+)", re.ASCII)
_PART = re.compile(r"grads-(\d+)\.pt", re.ASCII)
_WHOLE, _UNIT = "all_unormalized.pt", "all_orig.pt"


def read_less(path: Path, key: str | None) -> Source:  # noqa: ARG001 (a Reader)
    """A folder of one run, its ``dim…`` folder or not, or one of the two files with all rows."""
    if not path.is_dir():
        return _source(map_tensor(regular(path)), path, path.parent, path.name == _UNIT)
    folder = matrix_folder(path)
    names = set(names_in(folder))
    if any(_PART.fullmatch(name) for name in names):
        return _source(_parts(folder, names), path, folder, False)
    for name in (_WHOLE, _UNIT):
        if name in names:
            return _source(map_tensor(member(folder, name)), path, folder, name == _UNIT)
    raise DataError(f"{folder}: has neither grads-….pt nor {_WHOLE} nor {_UNIT}, so LESS did not write it")


def matrix_folder(path: Path) -> Path:
    """The folder with the files: `path` itself, or its only ``dim…`` folder.

    Raises
    ------
    DataError
        If it has several of them.
    """
    inner = [name for name in names_in(path) if _DIM.fullmatch(name) and (path / name).is_dir()]
    if not inner or _DIM.fullmatch(path.name):
        return path
    if len(inner) > 1:
        raise DataError(f"{path}: holds {', '.join(inner)}; name one of them, such as {path / inner[0]}")
    return inside(path, inner[0])


def layout(folder: Path) -> tuple[int | None, str | None]:
    """Step and direction that the names of the folders tell."""
    for name in (folder.absolute().name, folder.absolute().parent.name):
        run = _RUN.fullmatch(name)
        if run:
            return int(run[1]), run[2]
    return None, None


def _parts(folder: Path, names: set[str]) -> Stacked:
    """The rows of all ``grads-….pt``, if they follow each other without a gap."""
    numbered = sorted((int(part[1]), name) for name in names if (part := _PART.fullmatch(name)))
    pieces, done = [], 0
    for last, name in numbered:
        piece = map_tensor(member(folder, name))
        if piece.shape[0] != last - done:
            raise DataError(
                f"{folder / name}: has {piece.shape[0]:,} rows, but by its name and the file before it those "
                f"from {done + 1:,} to {last:,}: a file is missing or cut off"
            )
        pieces.append(piece)
        done = last
    for name in (_WHOLE, _UNIT):
        if name in names and (total := map_tensor(member(folder, name)).shape[0]) != done:
            raise DataError(
                f"{folder}: {numbered[-1][1]} ends at row {done:,}, but {name} has {total:,} rows: they are "
                "not of one run"
            )
    return Stacked(pieces, folder)


def _source(rows: TensorRows | Stacked, path: Path, folder: Path, unit: bool) -> Source:
    step, direction = layout(folder)
    dim = _DIM.fullmatch(folder.absolute().name)
    if dim and int(dim[1]) != rows.shape[1]:
        raise DataError(
            f"{folder}: its rows have {rows.shape[1]:,} numbers, not {int(dim[1]):,} as its name says"
        )
    return Source(rows, "less", path, {}, step, direction, (UNIT_NOTE,) if unit else ())
