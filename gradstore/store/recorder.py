"""Writes the objects of a folder and then its manifest."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from gradstore.errors import CorruptError
from gradstore.storage import Folder
from gradstore.store.arrays import ArraySpec, encode_chunk, rows_per_chunk
from gradstore.store.layout import MANIFEST, METADATA
from gradstore.store.manifest import Entry, Manifest

__all__ = ["Recorder"]

_TOGETHER = 8 << 20
"""Bytes that wait for each other, so that the disk is waited for once for all of them."""


class Recorder:
    """Publishes objects in a folder, several at a time, and remembers what the manifest must say of them."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.objects: dict[str, Entry] = {}
        self._waiting: dict[str, bytes] = {}

    def put(self, name: str, data: bytes) -> None:
        """Publish an object, at the latest before the manifest."""
        self._waiting[name] = data
        self.objects[name] = Entry.of(data)
        if sum(map(len, self._waiting.values())) >= _TOGETHER:
            self._publish()

    def ensure(self, name: str, data: bytes) -> None:
        """Publish an object unless it is there with these bytes."""
        if self.folder.get(name) != data:
            self.folder.put(name, data)
        self.objects[name] = Entry.of(data)

    def keep(self, name: str) -> None:
        """Record an object that was published before.

        Raises
        ------
        CorruptError
            If it is gone.
        """
        data = self.folder.get(name)
        if data is None:
            raise CorruptError(f"{self.folder.where(name)} is gone: run the same command again")
        self.objects[name] = Entry.of(data)

    def put_array(self, name: str, values: npt.NDArray[Any]) -> None:
        """Publish a whole array in chunks of 8 MiB."""
        row_bytes = values[:1].nbytes
        spec = ArraySpec(values.shape, rows_per_chunk(len(values), row_bytes), values.dtype.name)
        for index in range(spec.chunks):
            rows = spec.rows(index)
            self.put(f"{name}/{spec.key(index)}", encode_chunk(spec, values[rows.start : rows.stop]))
        self.put(f"{name}/{METADATA}", spec.document())

    def seal(self, **facts: Any) -> Manifest:
        """Publish the manifest; it is never changed."""
        self._publish()
        manifest = Manifest(dict(sorted(self.objects.items())), facts)
        self.folder.create(MANIFEST, manifest.to_bytes())
        return manifest

    def _publish(self) -> None:
        self.folder.put_in_order([self._waiting])
        self._waiting = {}
