"""The Hub's own client against a server that speaks its HTTP interface: pushed, opened, verified, with the command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.hub import REPOSITORY, TOKEN, Hub

pytest.importorskip("huggingface_hub")
PLACE = f"hf://datasets/{REPOSITORY}/stores/one"
MAIN = "import sys; from gradstore_cli.main import main; sys.argv[0] = 'gradstore'; main()"
ROWS = (
    "import sys, gradstore; store = gradstore.open(sys.argv[1]);"
    " print(store.dataset('pool').take('sgd', range(10)).tobytes().hex())"
)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        yield server


def run(hub: Hub, folder: Path, *words: str, key: str = TOKEN) -> subprocess.CompletedProcess[str]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": key,
        "HF_HUB_DISABLE_XET": "1",  # a service of its own beside the Hub
        "HF_HOME": str(folder / "home"),
        "GRADSTORE_CACHE": str(folder / "cache"),
    }
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, env=environment, timeout=200
    )


def gradstore(hub: Hub, folder: Path, *words: str, **options: str) -> subprocess.CompletedProcess[str]:
    return run(hub, folder, "-c", MAIN, *words, **options)


def test_a_store_is_pushed_read_and_verified_by_the_hub_s_own_client(
    hub: Hub, tmp_path: Path, make: SimpleNamespace
) -> None:
    path = tmp_path / "s"
    make.write(path)
    refused = gradstore(hub, tmp_path, "store", "push", str(path), PLACE, key="hf_wrong")
    assert refused.returncode == 1, refused.stderr
    assert "401" in refused.stderr
    assert "hf_wrong" not in refused.stderr
    done = gradstore(hub, tmp_path, "store", "push", str(path), PLACE)
    assert done.returncode == 0, done.stderr
    assert "Processing Files" not in done.stderr  # the library's bars beside ours
    assert hub.private
    assert hub.large, "no file went the way of large files"
    *objects, visible, _ = hub.commits
    assert max(map(len, objects)) <= 100
    assert not any(name.endswith("manifest.json") for names in objects for name in names)
    assert any(name.endswith("manifest.json") for name in visible)
    there = {name.removeprefix("stores/one/"): data for name, data in (hub.files or {}).items()}
    for name, data in make.objects(path).items():
        assert there[name] == data
    before = len(hub.commits)
    again = gradstore(hub, tmp_path, "store", "push", str(path), PLACE)
    assert again.returncode == 0, again.stderr
    assert sum(map(len, hub.commits[before:])) == 0
    assert gradstore(hub, tmp_path, "store", "verify", PLACE).returncode == 0
    mine, theirs = (run(hub, tmp_path, "-c", ROWS, each) for each in (str(path), PLACE))
    assert mine.stdout == theirs.stdout != ""
