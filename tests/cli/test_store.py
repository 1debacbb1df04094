"""``gradstore store``: what it lists is what the store holds, and damage is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def by_name(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def test_ls_shows_every_data_set_and_graph(run, built: Path) -> None:
    result = run("store", "ls", built)
    assert result.exit_code == 0, result.output
    for name in ("imported", "pool", "60 rows", "gsm8k", "8 rows", "target", "default"):
        assert name in result.stdout


def test_ls_json(run, built: Path) -> None:
    found = json.loads(run("store", "ls", built, "--json").stdout)
    datasets = by_name(found["checkpoints"], "imported")["datasets"]
    assert by_name(datasets, "gsm8k")["rows"] == 8
    assert by_name(datasets, "gsm8k")["target"] is True
    assert found["graphs"] == ["default"]


def test_info_shows_sources_and_projection(run, built: Path) -> None:
    text = run("store", "info", built).stdout
    assert "chat 40, math 20" in text
    assert "external" in text
    found = json.loads(run("store", "info", built, "--json").stdout)
    checkpoint = by_name(found["checkpoints"], "imported")
    assert by_name(checkpoint["datasets"], "pool")["sources"] == {"chat": 40, "math": 20}
    assert checkpoint["identity"]["projection"]["kind"] == "external"


def test_verify_accepts_a_sound_store(run, built: Path) -> None:
    result = run("store", "verify", built)
    assert (result.exit_code, result.stdout) == (0, "no problems\n")
    assert json.loads(run("store", "verify", built, "--json").stdout) == {"ok": True, "problems": []}


def test_verify_lists_damage_and_exits_with_4(run, store: Path) -> None:
    chunk = store / "checkpoints/imported/pool/adam/gradient/c/0/0"
    content = bytearray(chunk.read_bytes())
    content[7] ^= 1
    chunk.write_bytes(content)
    result = run("store", "verify", store)
    assert result.exit_code == 4
    assert "gradient" in result.stdout
    found = run("store", "verify", store, "--json")
    assert found.exit_code == 4
    assert json.loads(found.stdout)["ok"] is False


@pytest.mark.parametrize("command", ["ls", "info", "verify"])
def test_no_store_is_exit_2(run, tmp_path: Path, command: str) -> None:
    result = run("store", command, tmp_path / "none.zarr")
    assert result.exit_code == 2
    assert "none.zarr" in result.stderr
    assert result.stdout == ""


def test_import_keeps_vectors_ids_and_rows(run, arrays: Path, built: Path) -> None:
    import gradstore

    pool = gradstore.open(built).dataset("pool")
    np.testing.assert_array_equal(pool.read("adam", 0, 60), np.load(arrays / "pool.npy"))
    assert list(pool.ids[:2]) == ["p0", "p1"]
    assert pool.records([3]) == [{"id": "p3", "source": "math", "text": "row 3"}]
    target = gradstore.open(built).dataset("gsm8k")
    assert list(target.ids) == [f"t{i}" for i in range(8)]
    assert target.directions == ("sgd",)
    assert target.attributes["target"] is True


def test_import_reports_the_store(run, arrays: Path, tmp_path: Path) -> None:
    arguments = ("store", "import", tmp_path / "g.zarr", "--name", "pool", "--gradients", arrays / "pool.npy")
    checkpoint = by_name(json.loads(run(*arguments, "--json").stdout)["checkpoints"], "imported")
    assert by_name(checkpoint["datasets"], "pool")["rows"] == 60


def test_import_refuses_what_is_no_array(run, arrays: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil.npy"
    np.save(evil, np.array([{}], dtype=object), allow_pickle=True)
    archive = tmp_path / "several.npz"
    np.savez(archive, a=np.zeros(2))
    for file in (arrays / "pool.jsonl", evil, archive):
        result = run("store", "import", tmp_path / "g.zarr", "--name", "pool", "--gradients", file)
        assert result.exit_code == 1, result.output
        assert file.name in result.stderr
        assert result.stderr.count("\n") == 1


def test_import_of_a_missing_file_names_it(run, tmp_path: Path) -> None:
    result = run("store", "import", tmp_path / "g.zarr", "--name", "pool", "--gradients", "none.npy")
    assert result.exit_code == 1
    assert "none.npy" in result.stderr


def test_import_refuses_another_number_of_ids(run, arrays: Path, tmp_path: Path) -> None:
    result = run(
        "store", "import", tmp_path / "g.zarr", "--name", "p", "--gradients", arrays / "pool.npy",
        "--ids", arrays / "ids.txt",
    )  # fmt: skip
    assert result.exit_code in (1, 2)
    assert result.stderr.startswith("error: ")
