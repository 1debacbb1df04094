"""A kill at any instant and the same command again: the same bytes, and only unfinished chunks are made anew."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).with_name("crash_driver.py")


@pytest.mark.parametrize("kind", ["dataset", "artifact"])
def test_killed_before_any_request_and_repeated_leaves_the_same_bytes(kind: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, DRIVER, tmp_path, kind], capture_output=True, text=True, check=False, timeout=550
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["steps"] > 50
    assert result["wrong"] == []
