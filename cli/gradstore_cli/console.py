"""How the command line speaks: results on stdout; notes, errors and progress on stderr."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gradstore.progress import Bar

__all__ = [
    "count",
    "duration",
    "emit",
    "emit_json",
    "error",
    "facts",
    "listening",
    "log",
    "percent",
    "progress",
    "say",
    "shown",
    "size",
    "table",
    "warn",
]

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What drives a terminal (all controls but tab and newline, and those that turn the direction of text), and halves of
characters, which nothing can print."""


def shown(text: str) -> str:
    """What of `text` may go to a terminal: names and rows of somebody else's store may hold anything."""
    return _CONTROLS.sub("", text)


def emit(text: str) -> None:
    """Print a result on stdout, without what would drive the terminal."""
    click.echo(shown(text))


def emit_json(value: Any) -> None:
    """Print `value` as the one JSON document on stdout."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    click.echo(_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text))  # they stand in strings only


def say(text: str) -> None:
    """Print a note for people on stderr, without what would drive the terminal."""
    click.echo(shown(text), err=True)


def log(text: str) -> None:
    """Print a note on stderr without tearing a progress bar that is being drawn."""
    from tqdm import tqdm

    from gradstore_cli.bars import prefix

    tqdm.write(prefix() + shown(text), file=sys.stderr)


class _Listener(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log(record.getMessage())


@contextmanager
def listening() -> Iterator[None]:
    """Print what the library tells of while it waits; a program that runs a command keeps its own logging."""
    ours, listener = logging.getLogger("gradstore"), _Listener()
    before = ours.level
    ours.setLevel(logging.INFO)
    ours.addHandler(listener)
    try:
        yield
    finally:
        ours.removeHandler(listener)
        ours.setLevel(before)


def progress(total: int, unit: str, label: str) -> Bar:
    """Return a bar on stderr if that is a terminal, else one that prints a line now and then.

    Parameters
    ----------
    total : int
        Units until the work is done.
    unit : str
        Plural noun of what is counted, such as ``"tokens"``.
    label : str
        What is being done, such as ``"extract pool"``.
    """
    from gradstore_cli.bars import make_bar

    return make_bar(total, unit, label)


def error(message: str) -> None:
    """Print one line on stderr: red on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    _coloured(f"error: {' '.join(message.splitlines())}", "red")


def warn(message: str) -> None:
    """Print one line on stderr: yellow on a terminal, as `error` is red."""
    _coloured(f"warning: {' '.join(message.splitlines())}", "yellow")


def _coloured(line: str, colour: str) -> None:
    line = shown(line)
    plainly = not sys.stderr.isatty() or os.environ.get("NO_COLOR")
    click.echo(line if plainly else click.style(line, fg=colour), err=True)


def plain(value: Any) -> Any:
    """JSON values for records, paths, numbers and arrays; NaN and infinity are null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # arrays and scalars, without importing numpy
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


def count(number: int) -> str:
    """A whole number with separators, such as ``24,560``."""
    return f"{number:,}"


def size(number: float) -> str:
    """Bytes with a binary unit, such as ``813.2 KiB``; written like the store's own overview."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} TiB"


def duration(seconds: float) -> str:
    """A time span in its two largest units, such as ``2 h 05 min``."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def percent(share: float) -> str:
    """A share as per cent, such as ``3.1 %``."""
    return f"{100 * share:.1f} %"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> str:
    """Columns two spaces apart under `header`; those named in `right` are aligned to the right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    aligned = (
        "  ".join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for cell, width, name in zip(line, widths, header, strict=True)
        )
        for line in lines
    )
    return "\n".join(line.rstrip() for line in aligned)


def facts(pairs: Mapping[str, str], indent: str = "") -> str:
    """One line for each name and value, the values aligned; empty values are left out."""
    shown = {name: value for name, value in pairs.items() if value}
    width = max(map(len, shown), default=0)
    return "\n".join(f"{indent}{name.ljust(width)}  {value}" for name, value in shown.items())
