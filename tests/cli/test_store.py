"""``gradstore store``: what it lists is what the store holds, and damage is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradstore.store import Dataset


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


def test_info_takes_counts_from_manifests_and_reads_no_column_for_them(
    run, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(dataset: Dataset) -> None:
        raise AssertionError(f"read a column of {dataset.name}")

    for name in ("sources", "reasons"):
        monkeypatch.setattr(Dataset, name, property(read))
    result = run("store", "info", built)
    assert result.exit_code == 0, result.output
    assert "chat 40, math 20" in result.stdout


def test_verify_accepts_a_sound_store(run, built: Path) -> None:
    result = run("store", "verify", built)
    assert (result.exit_code, result.stdout) == (0, "no problems\n")
    assert json.loads(run("store", "verify", built, "--json").stdout) == {
        "ok": True,
        "problems": [],
        "base": None,
    }


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
    arguments = ("store", "import", tmp_path / "g.zarr", arrays / "pool.npy", "--name", "pool")
    checkpoint = by_name(json.loads(run(*arguments, "--json").stdout)["checkpoints"], "imported")
    assert by_name(checkpoint["datasets"], "pool")["rows"] == 60


def test_import_refuses_what_is_no_array(run, arrays: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil.npy"
    np.save(evil, np.array([{}], dtype=object), allow_pickle=True)
    archive = tmp_path / "several.npz"
    np.savez(archive, a=np.zeros(2))
    for file in (arrays / "pool.jsonl", evil, archive):
        result = run("store", "import", tmp_path / "g.zarr", file, "--name", "pool")
        assert result.exit_code == 1, result.output
        assert file.name in result.stderr
        assert result.stderr.count("\n") == 1


def test_import_of_a_missing_file_names_it(run, tmp_path: Path) -> None:
    result = run("store", "import", tmp_path / "g.zarr", "none.npy", "--name", "pool")
    assert result.exit_code == 1
    assert "none.npy" in result.stderr


def test_import_refuses_another_number_of_ids(run, arrays: Path, tmp_path: Path) -> None:
    result = run(
        "store", "import", tmp_path / "g.zarr", arrays / "pool.npy", "--name", "p",
        "--ids", arrays / "ids.txt",
    )  # fmt: skip
    assert result.exit_code in (1, 2)
    assert result.stderr.startswith("error: ")


def test_merge_joins_stores_and_reports(run, arrays: Path, tmp_path: Path) -> None:
    for name in ("pool", "gsm8k"):
        vectors = (arrays / f"{name}.npy", "--name", name)
        assert run("store", "import", tmp_path / f"{name}.zarr", *vectors).exit_code == 0
    parts = [tmp_path / "pool.zarr", tmp_path / "gsm8k.zarr"]
    result = run("store", "merge", tmp_path / "out.zarr", *parts)
    assert result.exit_code == 0, result.output
    header, *lines = result.stdout.splitlines()
    assert header.split() == ["checkpoint", "data", "set", "rows", "chunks", "copied", "finished", "missing"]
    assert [line.split() for line in lines] == [
        ["imported", "gsm8k", "8", "1", "1", "adam", "none"],
        ["imported", "pool", "60", "1", "1", "adam", "none"],
    ]
    (first, _) = json.loads(run("store", "merge", tmp_path / "out.zarr", *parts, "--json").stdout)
    assert (first["name"], first["copied"], first["missing"]) == ("gsm8k", 0, {})
    assert run("store", "verify", tmp_path / "out.zarr").exit_code == 0


def test_merge_refuses_other_content_with_exit_3(run, arrays: Path, tmp_path: Path) -> None:
    for store, vectors in (("a", "pool"), ("b", "gsm8k")):
        arguments = (arrays / f"{vectors}.npy", "--name", "pool")
        assert run("store", "import", tmp_path / store, *arguments).exit_code == 0
    result = run("store", "merge", tmp_path / "out", tmp_path / "a", tmp_path / "b")
    assert result.exit_code == 3
    assert "rows is 60 there, 8 in" in result.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_not_finished_is_told(run, store: Path) -> None:
    from gradstore.records import CheckpointIdentity, ProjectionSpec
    from gradstore.store import DatasetWriter, open_store

    pool = open_store(store).dataset("pool")
    given = {"checkpoint": "imported", "directions": {"rds": 5}, "rows": 60, "encoding": "half"}
    identity = CheckpointIdentity(projection=ProjectionSpec("external", 16, 0))
    more = {"content_digest": pool.content_digest, "attributes": pool.attributes}
    DatasetWriter.open(store, name="pool", identity=identity, **given, **more).close()
    DatasetWriter.open(store, name="more", identity=identity, **given, content_digest="x").close()
    text = run("store", "info", store).stdout
    assert "direction adam  exact, 16 numbers a row" in text
    assert text.count("direction rds   not finished: 0 of 1 chunks") == 1
    assert "more   not finished: 0 of 1 chunks" in run("store", "ls", store).stdout
    result = run("store", "verify", store)
    assert result.exit_code == 4
    assert "checkpoints/imported/more data set 'more'" in result.stdout
    assert "checkpoints/imported/pool/rds direction 'rds' of data set 'pool'" in result.stdout


def test_convert_tells_what_it_kept_and_info_repeats_it(run, built: Path, tmp_path: Path) -> None:
    result = run("store", "convert", built, tmp_path / "small", "--to", "sign", "--dataset", "pool")
    assert result.exit_code == 0, result.output
    (report,) = json.loads(
        run(
            "store", "convert", built, tmp_path / "small", "--to", "sign", "--dataset", "pool", "--json"
        ).stdout
    )
    kept = report["fidelity"]
    assert (report["name"], report["encoding"], report["converted"]) == ("pool", "sign", 0)
    for text in ("imported/pool", "exact", "sign", f"{kept['spearman']:.4f}", f"{kept['top1']:.1%}"):
        assert text in result.stdout
    text = run("store", "info", tmp_path / "small").stdout
    assert f"order of cosines kept to {kept['spearman']}, {kept['top1']:.1%} of the top 1 %" in text


def test_convert_says_what_rows_have_been_through(run, built: Path, tmp_path: Path) -> None:
    run("store", "convert", built, tmp_path / "a", "--to", "int4")
    run("store", "convert", tmp_path / "a", tmp_path / "b", "--to", "sign", "--compression", "zstd")
    text = run("store", "info", tmp_path / "b").stdout
    assert "sign with zstd" in text
    assert "against int4" in text
    assert run("store", "convert", built, built, "--to", "int4").exit_code == 2
    assert run("store", "convert", built, tmp_path / "a", "--to", "sign").exit_code == 3


def test_verify_of_an_overlay_says_that_its_base_was_not_checked(run, built: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "over.zarr"
    assert run("store", "new", overlay, "--on", built).exit_code == 0
    command = f"gradstore store verify {built.resolve()}"
    told = run("store", "verify", overlay).stdout.splitlines()
    assert told == ["no problems", f"the base was not checked: `{command}` does"]
    found = json.loads(run("store", "verify", overlay, "--json").stdout)
    assert found["base"] == {"location": str(built.resolve()), "checked": False, "command": command}
