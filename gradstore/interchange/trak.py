"""Folders of TRAK: ``{save_dir}/{model_id}/grads.mmap``, which are ``.npy`` files by another name.

Source: ``trak/savers.py`` of traker 0.3.2 (``MmapSaver``). ``grads`` are the projected gradients of the model output
function of the train rows, ``features`` the same after whitening, ``{experiment}_grads`` those of target rows. Rows
that were not featurised yet are zero.
"""

from __future__ import annotations

from pathlib import Path

from gradstore.errors import DataError
from gradstore.interchange.arrays import map_npy
from gradstore.interchange.source import Source, inside, member, names_in, regular

__all__ = ["read_trak"]

_SUFFIX = ".mmap"


def read_trak(path: Path, key: str | None) -> Source:
    """A file, the folder of a model, or the folder around it if that holds one model."""
    if not path.is_dir():
        return Source(map_npy(regular(path)), "trak", path, {}, None, "sgd")
    folder = path
    names = names_in(path)
    if not any(name.endswith(_SUFFIX) for name in names):
        models = [name for name in names if name.isascii() and name.isdigit()]
        if len(models) != 1:
            raise DataError(
                f"{path}: holds {'models ' + ', '.join(models) + '; name one' if models else 'no model'}, "
                f"such as {path / (models[0] if models else '0')}"
            )
        folder = inside(path, models[0])
        names = names_in(folder)
    name = f"{key or 'grads'}{_SUFFIX}"
    if name not in names:
        held = [each.removesuffix(_SUFFIX) for each in names if each.endswith(_SUFFIX)]
        raise DataError(f"{folder}: has no {name}; name one of {', '.join(held) or 'none'} with --key")
    return Source(map_npy(member(folder, name)), "trak", path, {}, None, "sgd")
