"""One team extracts into a bucket; another, which can only read it, adds a target and selects on its own machine."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import gradstore
from gradstore.demo.model import make_model
from gradstore.storage import open_folder
from gradstore.store import Store, open_store
from tests.s3 import READER, READER_SECRET

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_teams"
ROWS = [
    {
        "id": f"sum-{n}",
        "messages": [{"role": "user", "content": f"{n} + 1?"}, {"role": "assistant", "content": f"{n + 1}"}],
    }
    for n in range(60)
]
OPTIONS = ("--dim", "256", "--chunk-rows", "10")


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(program: Path | str, *options: str, folder: Path, **environment: object) -> str:
    """What a program prints to stderr."""
    done = subprocess.run(
        [program, *options],
        cwd=folder, env=os.environ | {name: str(value) for name, value in environment.items()},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


def contents(store: Store) -> dict[str, bytes | None]:
    return {name: store.folder.get(name) for name in store.folder.files()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teams")
    make_model(folder / "model", ROWS, steps=2, hidden=32, layers=1)
    gradstore.warmup(
        model=str(folder / "model"), data=str(write(folder / "warm.jsonl", ROWS[:20])), out=str(folder / "run"),
        fraction=1.0, epochs=1, lr=1e-3, lora_r=2, lora_alpha=4, batch_size=10,
    )  # fmt: skip
    return folder


def test_a_team_that_can_only_read_the_bucket_selects_what_one_store_would_give(
    trained: Path, bucket: str, tmp_path: Path, quick_command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", quick_command)
    pool, target = write(tmp_path / "pool.jsonl", ROWS[:50]), write(tmp_path / "target.jsonl", ROWS[50:])
    run(EXAMPLE / "cluster.sh", *OPTIONS, folder=tmp_path, SHARED=bucket, RUN=trained / "run", POOL=pool)
    shared = open_store(bucket)
    before = contents(shared)

    reader = {"AWS_ACCESS_KEY_ID": READER, "AWS_SECRET_ACCESS_KEY": READER_SECRET}
    laptop = {
        "SHARED": bucket,
        "GRADSTORE_CACHE": tmp_path / "laptop",
        "BASE": trained / "model",
        "TARGET": target,
        **reader,
    }
    said = run(EXAMPLE / "laptop.sh", folder=tmp_path, MINE="mine.zarr", OUT="picked.jsonl", **laptop)
    assert "of vectors to download: pool (adam)" in said
    assert contents(shared) == before
    words = ("--selector", "g2is", "--target", "mine", "--fraction", "0.05", "-o", "again.jsonl")
    said = run("gradstore", "select", "mine.zarr", *words, folder=tmp_path, **laptop)
    assert "to download" not in said  # what was downloaded is kept

    (checkpoint,) = shared.checkpoints
    one = tmp_path / "one.zarr"
    for data, name, goal in ((pool, "pool", False), (target, "mine", True)):
        gradstore.extract(
            one, checkpoints=[trained / "run"], data=data, name=name, target=goal, dim=256, chunk_rows=10
        )
    gradstore.build_graph(one, train=["pool"])
    gradstore.select(one, selector="g2is", target="mine", budget=0.05).write(tmp_path / "one.jsonl")
    picked = [(tmp_path / name).read_text() for name in ("picked.jsonl", "again.jsonl", "one.jsonl")]
    assert picked[0] == picked[1] == picked[2] != ""

    # The bucket holds what a disk would: one writer or two, here or there.
    local = open_folder(one).at(f"checkpoints/{checkpoint}/pool")
    remote = shared.folder.at(f"checkpoints/{checkpoint}/pool")
    assert sorted(local.files()) == sorted(remote.files())
    assert all(local.get(name) == remote.get(name) for name in local.files())
