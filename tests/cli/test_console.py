"""Figures read calmly, tables align."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from gradstore_cli import console


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (832_717, "813.2 KiB"),
        (25 << 30, "25.0 GiB"),
        (3 << 40, "3.0 TiB"),
    ],
)
def test_sizes(number: float, text: str) -> None:
    assert console.size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.9, "9.9 s"),
        (59, "59 s"),
        (59.7, "1 min 00 s"),
        (250, "4 min 10 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text


def test_table_aligns_and_leaves_no_trailing_blanks() -> None:
    text = console.table(("name", "rows"), [("pool", "24,560"), ("a", "1")], right=("rows",))
    assert text == "name    rows\npool  24,560\na          1"


def test_facts_leave_out_what_is_empty() -> None:
    assert console.facts({"a": "1", "none": "", "long": "2"}) == "a     1\nlong  2"


def test_json_of_numpy_values_and_numbers_that_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit_json({"a": np.float32(0.5), "b": np.arange(2), "c": float("nan"), "d": np.array([np.inf])})
    assert json.loads(capsys.readouterr().out) == {"a": 0.5, "b": [0, 1], "c": None, "d": [None]}


def test_what_would_drive_the_terminal_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit("a\x1b[31mb\x07\x00\x7f\x9bc\td\r\ne\ud800é")
    assert capsys.readouterr().out == "a[31mbc\td\neé\n"


def test_nothing_on_stderr_drives_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    evil = "a\x1b]0;owned\x07b\x9b2J\u202ec"
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        console.say(evil)
        console.log(evil)
        console.warn(evil)
        console.error(evil)
        with console.progress(2, "rows", evil) as bar:
            bar.estimate(2, evil)
            bar.update(2)
        told = capsys.readouterr().err
        assert told.count("a]0;ownedb2Jc") >= 6
        assert not set(told.replace("\x1b[A", "")) & {*"\x1b\x07\x9b\u202e"}  # tqdm moves up by one


def test_json_escapes_what_would_drive_the_terminal_and_loses_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "".join(map(chr, range(0xA1))) + "\ud800"
    console.emit_json({"text": text})
    shown = capsys.readouterr().out
    assert not [each for each in shown if (ord(each) < 32 and each != "\n") or 127 <= ord(each) < 160]
    assert json.loads(shown) == {"text": text}


def test_warnings_and_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.warn("low\nrecall\x1b[0m")
    console.error("bad\nstore")
    assert capsys.readouterr().err == "warning: low recall[0m\nerror: bad store\n"
