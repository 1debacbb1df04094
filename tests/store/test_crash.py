"""A kill at any instant and the same command again: the same bytes, and only unfinished chunks are made anew.

A few kills, to save time: GRADSTORE_KILLS says how many.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.killing import KILLS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["dataset", "direction", "merge", "convert", "artefact"])
def test_killed_before_random_requests_and_repeated_leaves_the_same_bytes(kind: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.crash_driver", tmp_path, kind, str(KILLS)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=550,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["kills"] == KILLS
    assert result["wrong"] == []


@pytest.mark.parametrize("kind", ["one", "two", "direction"])
def test_killed_at_random_moments_processes_leave_the_same_bytes(kind: str, tmp_path: Path) -> None:
    """One process, two at once, and two that add a direction each to a sealed data set."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.race_driver", tmp_path, kind, str(KILLS)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=550,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["kills"] >= KILLS
    assert result["wrong"] == []
