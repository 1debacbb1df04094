"""Ways to run the command line, and a small real store."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from gradstore_cli.main import cli

Run = Callable[..., Result]
Process = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run() -> Run:
    """Run a command line in this process; ``exit_code``, ``stdout`` and ``stderr`` come back."""

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def process() -> Process:
    """Run Python code in a fresh process, which has none of this one's imports."""

    def invoke(code: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=os.environ | environment,
            timeout=120,
            check=False,
        )

    return invoke


@pytest.fixture(scope="session")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with vectors, ids and rows of a pool of two sources and of a target."""
    folder = tmp_path_factory.mktemp("arrays")
    rng = np.random.default_rng(0)
    centre = rng.normal(size=16)
    pool = rng.normal(size=(60, 16))
    pool[:20] += 2 * centre
    np.save(folder / "pool.npy", pool.astype(np.float32))
    np.save(folder / "gsm8k.npy", (rng.normal(size=(8, 16)) + 2 * centre).astype(np.float32))
    (folder / "ids.txt").write_text("".join(f"t{i}\n" for i in range(8)))
    rows = ({"id": f"p{i}", "source": "math" if i < 20 else "chat", "text": f"row {i}"} for i in range(60))
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="session")
def built(arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with those arrays and a graph, made by the command line; not to be changed."""
    path = tmp_path_factory.mktemp("built") / "grads.zarr"
    pool, target = arrays / "pool.npy", arrays / "gsm8k.npy"
    for arguments in (
        ("store", "import", path, pool, "--name", "pool", "--rows", arrays / "pool.jsonl"),
        (
            "store",
            "import",
            path,
            target,
            "--name",
            "gsm8k",
            "--ids",
            arrays / "ids.txt",
            "--target",
        ),
        ("graph", path, "-m", "8"),
    ):
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Path:
    """A copy of that store which a test may change."""
    return Path(shutil.copytree(built, tmp_path / "grads.zarr"))
