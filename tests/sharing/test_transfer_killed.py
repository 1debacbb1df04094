"""Push and pull killed at random moments: nothing half-made is readable, and a rerun completes.

A few kills, to save time: GRADSTORE_KILLS says how many.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.killing import KILLS


def killed(folder: Path, kind: str, kills: int, *url: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.sharing.transfer_driver", folder, kind, str(kills), *url],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=550,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["push", "pull"])
def test_killed_at_random_moments_nothing_half_made_is_readable_and_a_rerun_completes(
    kind: str, tmp_path: Path
) -> None:
    result = killed(tmp_path, kind, KILLS)
    assert result["kills"] >= KILLS
    assert result["wrong"] == []


def test_a_push_to_a_bucket_that_is_killed_shows_nothing_half_made_and_a_rerun_completes(
    bucket: str, tmp_path: Path
) -> None:
    """Fewer kills still: what a killed process holds in a bucket is free after a second only."""
    kills = int(os.environ.get("GRADSTORE_KILLS", "3"))
    result = killed(tmp_path, "push", kills, bucket)
    assert result["kills"] >= kills
    assert result["wrong"] == []
