"""Progress stays off stdout, says the same in logs as on a terminal, and tells processes apart."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from gradstore_cli import bars, console


@pytest.fixture
def ten_seconds_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.arange(0.0, 1000.0, 10.0))
    monkeypatch.setattr(bars.time, "monotonic", lambda: float(next(clock)))


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str], ten_seconds_a_look: None) -> None:
    with console.progress(1000, "tokens", "pool") as bar:
        for _ in range(10):
            bar.update(100)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "pool: 300 of 1,000 tokens (30.0 %), 10 tokens/s, about 1 min 10 s left",
        "pool: 600 of 1,000 tokens (60.0 %), 10 tokens/s, about 40 s left",
        "pool: 900 of 1,000 tokens (90.0 %), 10 tokens/s, about 10 s left",
        "pool: 1,000 of 1,000 tokens in 1 min 50 s, 9.1 tokens/s",
    ]


def test_slow_work_tells_the_time_of_one_unit(
    capsys: pytest.CaptureFixture[str], ten_seconds_a_look: None
) -> None:
    with console.progress(3, "steps", "warm-up") as bar:
        for _ in range(3):
            bar.update(1)
    assert capsys.readouterr().err == "warm-up: 3 of 3 steps in 40 s, 13 s/step\n"


def test_a_corrected_total_and_its_note_are_in_the_line(
    capsys: pytest.CaptureFixture[str], ten_seconds_a_look: None
) -> None:
    with console.progress(100, "tokens", "pool") as bar:
        for done in range(1, 4):
            bar.estimate(400, f"{done}/12 rows")
            bar.update(33)
    assert capsys.readouterr().err.splitlines() == [
        "pool: 99 of 400 tokens, 3/12 rows (24.8 %), 3.3 tokens/s, about 1 min 31 s left",
        "pool: 99 of 400 tokens, 3/12 rows in 40 s, 2.5 tokens/s",
    ]


def test_an_estimate_below_what_is_done_does_not_end_beyond_the_total(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.progress(100, "tokens", "pool") as bar:
        bar.update(60)
        bar.estimate(50)
    assert capsys.readouterr().err.startswith("pool: 60 of 60 tokens in ")


def test_a_terminal_gets_a_bar_with_speed_and_note(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with console.progress(10, "tokens", "pool") as bar:
        bar.estimate(20, "5/9 rows")
        bar.update(10)
    shown = capsys.readouterr()
    assert shown.out == ""
    last = shown.err.split("\r")[-1]
    for text in ("pool", "50%", "10.0/20.0", "tokens/s", "5/9 rows"):
        assert text in last


@pytest.mark.parametrize("pair", [("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")])
def test_only_the_first_process_draws_and_the_others_name_their_part(
    pair: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for rank in range(2):
        for name, value in zip(pair, (str(rank), "2"), strict=True):
            monkeypatch.setenv(name, value)
        with console.progress(10, "tokens", "pool") as bar:
            bar.update(10)
        console.log("loading")
        lines = capsys.readouterr().err.splitlines()
        if rank:
            assert lines[0].startswith("2/2: pool: 10 of 10 tokens")
            assert lines[1] == "2/2: loading"
        else:
            assert any("100%" in line for line in lines)
            assert lines[-1] == "loading"


def test_bytes_are_told_in_units_people_read(capsys: pytest.CaptureFixture[str]) -> None:
    with bars.PlainBar(3 << 20, "bytes", "push") as bar:
        bar.update(3 << 20)
    line = capsys.readouterr().err
    assert line.startswith("push: 3.0 MiB of 3.0 MiB in ")
    assert re.search(r"(B|iB)/s$", line.strip())
