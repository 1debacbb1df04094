"""A JSON list, one element at a time."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from gradstore.data.jsontext import broken, not_utf8, unreadable
from gradstore.errors import DataError

__all__ = ["read_list"]

_BLANKS = re.compile(r"[ \t\n\r]*")
_NEAR_END = 16  # more than a literal, an escape, or what separates a number from its next digit


def read_list(stream: IO[bytes], path: Path, piece: int = 1 << 20) -> Iterator[Any]:
    """The elements of the JSON list that a file holds, in memory for `piece` bytes and the longest element.

    Raises
    ------
    DataError
        If the file is no JSON list; with line and column.
    """
    text = _Window(stream, path, piece)
    text.expect("[", "Expecting value")
    if text.next() == "]":
        text.position += 1
    else:
        while True:
            yield text.element()
            if text.next() != ",":
                break
            text.position += 1
        text.expect("]", "Expecting ',' delimiter")
    if text.next():
        raise text.broken(json.JSONDecodeError("Extra data", text.text, text.position))


class _Window:
    """The part of a file's text that is in memory."""

    def __init__(self, stream: IO[bytes], path: Path, piece: int) -> None:
        self._stream, self._path, self._piece = stream, path, piece
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._scan = json.JSONDecoder().raw_decode
        self._line, self._column = 1, 0  # where the window begins
        self._ended = False
        self.text = ""
        self.position = 0

    def next(self) -> str:
        """The next character that is not blank; ``""`` at the end."""
        while True:
            self.position = _BLANKS.match(self.text, self.position).end()  # type: ignore[union-attr]
            if self.position < len(self.text) or self._ended:
                return self.text[self.position : self.position + 1]
            self._more()

    def expect(self, character: str, message: str) -> None:
        if self.next() != character:
            raise self.broken(json.JSONDecodeError(message, self.text, self.position))
        self.position += 1

    def element(self) -> Any:
        self.next()
        while True:
            try:
                value, end = self._scan(self.text, self.position)
            except json.JSONDecodeError as error:
                cut = error.pos > len(self.text) - _NEAR_END or error.msg.startswith("Unterminated string")
                if self._ended or not cut:
                    raise self.broken(error) from error
            except (RecursionError, ValueError) as error:
                raise unreadable(self._path, self._place(self.position)[0], error) from error
            else:
                if self._ended or end < len(self.text) - _NEAR_END:  # else a number may go on
                    self.position = end
                    return value
            self._more()

    def broken(self, error: json.JSONDecodeError) -> DataError:
        return broken(self._path, *self._place(error.pos), error)

    def _place(self, position: int) -> tuple[int, int]:
        """Line and column of a position in the window."""
        lines = self.text.count("\n", 0, position)
        before = position - self.text.rindex("\n", 0, position) if lines else position + self._column + 1
        return self._line + lines, before

    def _more(self) -> None:
        """Drop what was read, and read as much as is left again, so that no element is tried often."""
        line, column = self._place(self.position)
        self._line, self._column, self.text = line, column - 1, self.text[self.position :]
        self.position = 0
        data = self._stream.read(max(self._piece, len(self.text)))
        self._ended = not data
        try:
            self.text += self._decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise not_utf8(error, self._path, self._line + self.text.count("\n")) from error
