"""The examples run as their pages say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from gradstore.select import select
from gradstore.testing import tiny_store

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_own_vectors_chooses_the_topic_asked_for(tmp_path: Path) -> None:
    script = EXAMPLES / "own_vectors" / "own_vectors.py"
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for selector in ("less", "g2is"):
        rows = [json.loads(line) for line in (tmp_path / f"{selector}.jsonl").read_text().splitlines()]
        assert len(rows) == 40
        assert {row["source"] for row in rows} == {"algebra"}


def test_the_plug_in_passes_its_own_test() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_short_answers.py"]
    folder = EXAMPLES / "selector_plugin"
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_plug_in_is_usable_from_its_file(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "s.zarr")
    target = next(name for name in store.datasets() if store.dataset(name).attributes.get("target"))
    place = EXAMPLES / "selector_plugin" / "short_answers.py"
    picked = select(
        store, selector=f"{place}:ShortAnswers", target=target, budget=4, params={"half_length": "7"}
    )
    assert len(picked) == 4
    assert picked.config["parameters"] == {"half_length": 7}
