"""The things that pages name, tiny: a base model, rows, a run, and a store with graph and selections."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

import gradstore

ROOT = Path(__file__).parents[2]


def _rows(
    prefix: str, count: int, skill: str, make: Callable[[Random], tuple[str, str]]
) -> list[dict[str, Any]]:
    rng = Random(prefix)
    pairs = [make(rng) for _ in range(count)]
    return [
        {
            "id": f"{prefix}{number}",
            "source": skill,
            "messages": [
                {"role": "user", "content": f"{question} ({number})" if number else question},
                {"role": "assistant", "content": answer},
            ],
        }
        for number, (question, answer) in enumerate(pairs)
    ]


@pytest.fixture(scope="session")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything; pages get copies."""
    from gradstore.demo.arithmetic import multiplication, times_table
    from gradstore.demo.language import opposites
    from gradstore.demo.model import make_model

    folder = tmp_path_factory.mktemp("things")
    pool = _rows("p", 52, "math", times_table) + _rows("q", 52, "chat", opposites)
    target = _rows("t", 6, "gsm8k", multiplication) + _rows("u", 4, "gsm8k", opposites)
    for name, rows in {
        "pool": pool,
        "gsm8k": target,
        "target": target,
        "bbh": target[:4],
        "mine": pool[:20],
    }.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    make_model(folder / "BASE", pool, steps=2, hidden=16, layers=1)
    shutil.copytree(folder / "BASE", folder / "gradstore-demo" / "model")
    shutil.copy(ROOT / "examples" / "selector_plugin" / "short_answers.py", folder)
    return folder


@pytest.fixture(scope="session")
def run_folder(things: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `gradstore warmup` leaves: two checkpoints."""
    out = tmp_path_factory.mktemp("warm") / "run"
    before = Path.cwd()
    os.chdir(things)
    try:
        made = gradstore.warmup(
            model="BASE",
            data="pool.jsonl",
            out=out,
            fraction=0.2,
            epochs=2,
            batch_size=8,
            lora_r=2,
            lora_alpha=4,
        )
    finally:
        os.chdir(before)
    for name, checkpoint in zip(("checkpoint-50", "checkpoint-100"), made, strict=True):
        checkpoint.rename(out / name)
    return out


@pytest.fixture(scope="session")
def store_folder(things: Path, run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all that selectors ask for."""
    path = tmp_path_factory.mktemp("store") / "grads.zarr"
    job: dict[str, Any] = {"checkpoints": [run_folder]}
    directions = ["adam", "sgd", "precond", "rds"]
    gradstore.extract(path, **job, data=things / "pool.jsonl", name="pool", directions=directions)
    gradstore.extract(
        path, **job, data=things / "gsm8k.jsonl", name="gsm8k", target=True, directions=["sgd", "rds"]
    )
    gradstore.build_graph(path, neighbours=8, conflicts=4)
    for selector in ("less", "g2is"):
        gradstore.select(path, selector=selector, target="gsm8k", budget=6)
    return path


@pytest.fixture
def team_bucket(bucket: str) -> None:
    """``s3://team-a`` of the pages, on a real server; it stays, so each page has names of its own in it."""
    import obstore
    from obstore.store import S3Store

    obstore.put(S3Store("team-a", client_options={"allow_http": True}), "ready", b"")  # makes the bucket
