"""Records of a data file, one by one, each with the place it comes from."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from gradstore.data.columnar import read_dataset, read_parquet
from gradstore.data.jsonlist import read_list
from gradstore.data.jsontext import BOM, Entry, read_lines, read_whole
from gradstore.data.sources import Source
from gradstore.errors import DataError

__all__ = ["Reading", "read_records"]

_JSON = (".jsonl", ".json", ".ndjson")


@dataclass(frozen=True, slots=True)
class Reading:
    """The records of a file.

    Iteration gives the number of the line or row, the record, its JSON text as it stands in the file and where
    that begins; an empty text if the file does not hold it so.

    Attributes
    ----------
    path : Path
    unit : str
        What stands between the path and the number in messages.
    source : Source or None
        The file itself if it is plain JSON lines, so that records can be read again from where they stand.

    Raises
    ------
    DataError
        By the iteration, if the file cannot be read, or a row is broken or no object; with file and line.
    """

    path: Path
    unit: str
    source: Source | None
    entries: Iterable[Entry]

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any], bytes, int]]:
        with _told(self.path):
            for number, value, data, start in self.entries:
                if not isinstance(value, dict):
                    kind = type(value).__name__
                    raise DataError(
                        f"{self.where(number)}: a row must be an object with named fields, not a {kind}"
                    )
                yield number, value, data, start

    def where(self, number: int) -> str:
        """The place of a record, such as ``"train.jsonl:12"``."""
        return f"{self.path}{self.unit}{number}"


def read_records(path: Path) -> Reading:
    """Records of JSON lines, JSON, Parquet or a `datasets` folder, told apart by content.

    Parameters
    ----------
    path : Path
        JSON and JSON lines may be gzipped. A folder is one that ``Dataset.save_to_disk`` wrote.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    with _told(path):
        if path.is_dir():
            return Reading(path, " row ", None, _numbered(read_dataset(path)))
        with path.open("rb") as stream:
            magic = stream.read(4)
        if magic == b"PAR1" or path.suffix == ".parquet":
            return Reading(path, " row ", None, _numbered(read_parquet(path)))
        packed = magic.startswith(b"\x1f\x8b")
        if _is_json(path, packed):
            return Reading(path, " row ", None, _numbered(_json_values(path, packed)))
        _check_lines(path, packed)
        if packed:
            return Reading(path, ":", None, _packed_lines(path))
        source = Source(path.open("rb"), path, shared=True)
        return Reading(path, ":", source, read_lines(source.file, path))


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: broken gzip data ({error}); copy or compress the file again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _open(path: Path, packed: bool) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")


def _is_json(path: Path, packed: bool) -> bool:
    """Whether a file is one JSON value, not JSON lines (which some call ``.json``)."""
    with _open(path, packed) as stream:
        start = _first(stream)
        if start == b"[" or not path.name.removesuffix(".gz").endswith(".json"):
            return start == b"["
        more = any(line.strip() for line in stream) if _is_value(start + stream.readline()) else False
    return not more


def _check_lines(path: Path, packed: bool) -> None:
    """Refuse a table or plain text by its name: its first line is no broken JSON but none."""
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix.lower() in ("", *_JSON):
        return
    with _open(path, packed) as stream:
        if _first(stream) not in (b"", b"{"):
            raise DataError(
                f"{path}: {suffix} is not read; give .jsonl, .jsonl.gz, .json, .parquet or a datasets folder"
            )


def _first(stream: IO[bytes]) -> bytes:
    """The first byte that is neither blank nor part of a byte order mark."""
    while (byte := stream.read(1)) and (byte.isspace() or byte in BOM):
        pass
    return byte


def _is_value(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _json_values(path: Path, packed: bool) -> Iterator[Any]:
    with _open(path, packed) as stream:
        start = _first(stream)
        stream.seek(0)
        yield from read_list(stream, path) if start == b"[" else read_whole(stream, path)


def _packed_lines(path: Path) -> Iterator[Entry]:
    with _open(path, packed=True) as stream:
        yield from read_lines(stream, path)


def _numbered(values: Iterable[Any]) -> Iterator[Entry]:
    return ((number, value, b"", 0) for number, value in enumerate(values, 1))
