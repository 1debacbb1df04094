"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# A shared machine may stall for seconds: a deadline would fail tests that are right.
settings.register_profile(
    "gradstore", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("gradstore")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Models, data and golden files beside the project; absent on most machines."""
    folder = Path(__file__).parents[2] / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip("needs ../shared (models, data, golden files), which is not here")
    return folder
