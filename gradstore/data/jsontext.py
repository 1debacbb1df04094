"""JSON as users have it: errors told by file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from gradstore.errors import DataError

__all__ = ["BOM", "Entry", "broken", "not_utf8", "parse", "read_lines", "read_whole", "unreadable"]

BOM = b"\xef\xbb\xbf"

Entry = tuple[int, Any, bytes, int]
"""Line or row number; value; its JSON text as it stands in the file, and where that begins (else ``b""``, 0)."""


def read_lines(stream: IO[bytes], path: Path) -> Iterator[Entry]:
    """The values of JSON lines, one by one; blank lines are none."""
    start = 0
    for number, line in enumerate(stream, 1):
        data = line.removeprefix(BOM)
        text = data.rstrip(b"\r\n")
        if text.strip():
            yield number, parse(text, path, number), text, start + len(line) - len(data)
        start += len(line)


def read_whole(stream: IO[bytes], path: Path) -> list[Any]:
    """The list ``data`` of the one object that a file holds."""
    value = parse(stream.read().removeprefix(BOM), path, 1)
    rows = value.get("data") if isinstance(value, dict) else None
    if not isinstance(rows, list):
        raise DataError(
            f'{path}: neither a list of rows nor an object with a list "data"; write one, or JSON lines'
        )
    return rows


def parse(data: bytes, path: Path, line: int) -> Any:
    """The JSON value of `data`, which begins in line `line` of the file."""
    try:
        return json.loads(data.decode())
    except UnicodeDecodeError as error:
        raise not_utf8(error, path, line) from error
    except json.JSONDecodeError as error:
        raise broken(path, line + error.lineno - 1, error.colno, error) from error
    except (RecursionError, ValueError) as error:
        raise unreadable(path, line, error) from error


def broken(path: Path, line: int, column: int, error: json.JSONDecodeError) -> DataError:
    """What is wrong with a text that is no JSON."""
    return DataError(
        f"{path}:{line}: broken JSON: {error.msg} at column {column}; repair the line or take it out"
    )


def not_utf8(error: UnicodeDecodeError, path: Path, line: int) -> DataError:
    """What is wrong with bytes that begin in line `line` and are no text."""
    place, byte = line + error.object.count(b"\n", 0, error.start), error.object[error.start]
    return DataError(
        f"{path}:{place}: not UTF-8 (byte 0x{byte:02x}); convert the file to UTF-8, such as with iconv"
    )


def unreadable(path: Path, line: int, error: Exception) -> DataError:
    """JSON that is nested too deep, or has a number of thousands of digits."""
    return DataError(f"{path}:{line}: JSON that cannot be read ({error}); take the row out")
