"""Kill -9 during extraction at random moments, with one writer and with two: the rerun gives the identical store.

A few kills, to save time: GRADSTORE_KILLS says how many. tests/store kills the writer by itself more often.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("writers", [1, pytest.param(2, marks=pytest.mark.long)])
def test_killed_and_rerun_is_identical_and_repeats_only_what_was_not_finished(
    writers: int, tiny_run: Path, token_rows: Path, tmp_path: Path
) -> None:
    driver = Path(__file__).with_name("kill_driver.py")
    arguments = [driver, tmp_path, tiny_run / "run" / "checkpoint-8", token_rows, writers]
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["code"] == 0
    moments = told["moments"]
    assert sum(-signal.SIGKILL in moment["killed"] for moment in moments) > len(moments) // 2
    for moment in moments:
        assert set(moment["killed"]) <= {0, -signal.SIGKILL}, done.stderr
        assert moment["rerun"] == [0] * writers, done.stderr
        assert moment["same"], moment
        assert moment["chunks"] == 15
        # What a process may lose: a chunk that is being written, and one that is computed but not handed on.
        assert moment["repeated"] <= 2 * writers, moment
