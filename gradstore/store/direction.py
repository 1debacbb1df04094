"""Reads the vectors of one sealed direction."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import CorruptError, IncompatibleError
from gradstore.storage import Folder
from gradstore.store.encodings import encoding
from gradstore.store.layout import MANIFEST, METADATA
from gradstore.store.manifest import Sealed, read_manifest
from gradstore.store.settings import Settings, VectorSettings

__all__ = ["Direction", "open_direction"]

Rows = npt.NDArray[np.float32]


class Direction:
    """One sealed direction of a data set; made by `open_direction`.

    Attributes
    ----------
    vectors : VectorSettings
        Length and encoding of a row.
    manifest : Manifest
    """

    def __init__(self, sealed: Sealed, settings: Settings, verified: bool) -> None:
        self.manifest = sealed.manifest
        self.vectors = VectorSettings.parse(sealed.group(), sealed.folder.where(METADATA))
        self._sealed, self._settings, self._verified = sealed, settings, verified
        if not isinstance(self.manifest.facts.get("fidelity"), dict | None):
            raise sealed.damage(MANIFEST, "has a fidelity that is none")
        self._encoding = encoding(self.vectors.encoding)
        self._spec = sealed.spec("gradient", self.vectors.gradient(settings))

    @cached_property
    def norms(self) -> Rows:
        """Norm of each row before encoding."""
        return self._sealed.array("norm", self._settings.scalars)

    @cached_property
    def _scale(self) -> Rows:
        return self._sealed.array("scale", self._settings.scalars)

    @property
    def download_size(self) -> int:
        """Bytes of its chunks that are not on this machine."""
        return sum(
            self._sealed.entry(key).size
            for key in map(self._key, range(self._spec.chunks))
            if self._absent(key)
        )

    def download(self, chunk: int) -> int:
        """Get a chunk onto this machine, if it is not here; returns its number."""
        key = self._key(chunk)
        if self._absent(key):
            self._sealed.folder.file(key, self._sealed.entry(key))
        return chunk

    def _key(self, chunk: int) -> str:
        return f"gradient/{self._spec.key(chunk)}"

    def _absent(self, key: str) -> bool:
        return self._sealed.folder.absent(key, self._sealed.entry(key))

    def encoded(
        self, chunk: int, rows: slice | npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[Any], Rows | None]:
        """Codes and scales of some rows of a chunk, counted from its first; the codes are mapped if they can be."""
        whole = self._verified or self._spec.compression != "none"
        codes = (self._sealed.chunk if whole else self._sealed.mapped)("gradient", self._spec, chunk)[rows]
        span = self._settings.span(chunk)
        return codes, self._scale[span.start : span.stop][rows] if self._encoding.scaled else None

    def decode(self, chunk: int, rows: slice | npt.NDArray[np.int64]) -> Rows:
        """Some rows of a chunk, counted from its first."""
        return self._encoding.decode(*self.encoded(chunk, rows), self.vectors.dim)


def open_direction(
    folder: Folder, name: str, settings: Settings, dataset: str, *, verified: bool = False
) -> Direction:
    """Open a direction of a data set.

    Parameters
    ----------
    folder : Folder
        The direction's.
    name : str
    settings : Settings
        Of the data set.
    dataset : str
        Digest of the data set's manifest.
    verified : bool
        Check every chunk against its checksum when it is read, instead of mapping its file.

    Raises
    ------
    CorruptError
        If it is damaged.
    IncompatibleError
        If it was made for other rows.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise CorruptError(f"{folder.where(MANIFEST)} is gone: restore it from a copy of the store")
    if manifest.facts.get("dataset") != dataset:
        raise IncompatibleError(
            f"direction {name!r} in {folder} was made for other rows than the columns beside it: restore both from "
            "one copy of the store"
        )
    return Direction(Sealed(folder, manifest), settings, verified)
