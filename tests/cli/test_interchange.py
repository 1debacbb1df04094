"""``gradstore store import`` and ``export``: one line for what is wrong, and what goes out comes back."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")


@pytest.fixture
def less_run(tmp_path: Path) -> Path:
    folder = tmp_path / "dolly-ckpt105-adam" / "dim16"
    folder.mkdir(parents=True)
    torch.save(torch.ones(3, 16), folder / "grads-3.pt")
    return folder


def test_a_folder_of_less_tells_its_checkpoint_and_direction(run, less_run: Path, tmp_path: Path) -> None:
    result = run("store", "import", tmp_path / "g.zarr", less_run, "--name", "dolly", "--json")
    assert result.exit_code == 0, result.output
    (checkpoint,) = json.loads(result.stdout)["checkpoints"]
    assert checkpoint["name"] == "checkpoint-105"
    assert "3 of 3 rows" in result.stderr
    chosen = ("--checkpoint", "mine", "--direction", "sgd", "--weight", 0.5, "--encoding", "int8")
    result = run("store", "import", tmp_path / "g.zarr", less_run, "--name", "x", *chosen, "--json")
    mine = next(each for each in json.loads(result.stdout)["checkpoints"] if each["name"] == "mine")
    assert mine["identity"]["weight"] == 0.5
    assert list(mine["datasets"][0]["directions"]) == ["sgd"]


@pytest.mark.parametrize("fmt", ["less", "npy", "parquet"])
def test_what_goes_out_comes_back(fmt: str, run, built: Path, tmp_path: Path) -> None:
    import gradstore

    result = run("store", "export", built, tmp_path / "out", "--dataset", "pool", "--format", fmt)
    assert result.exit_code == 0, result.output
    path = Path(result.stdout.strip())
    assert path.is_relative_to(tmp_path)
    option = ("--format", fmt)
    again = run("store", "import", tmp_path / "g.zarr", path, "--name", "pool", *option)
    assert again.exit_code == 0, again.output
    pool, mine = (gradstore.open(store).dataset("pool") for store in (built, tmp_path / "g.zarr"))
    assert (mine.read("adam", 0, 60) == pool.read("adam", 0, 60)).all()


def test_notes_about_what_is_lost_go_to_stderr(run, less_run: Path, tmp_path: Path) -> None:
    (less_run / "grads-3.pt").rename(less_run / "all_orig.pt")
    result = run("store", "import", tmp_path / "g.zarr", less_run, "--name", "dolly")
    assert "the norms of the gradients are lost" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("import", "g.zarr", "none.npy", "--name", "x"), 1, "none.npy: there is no such file or folder"),
        (("import", "g.zarr", "{empty}", "--name", "x"), 1, "no known format (an empty folder)"),
        (("import", "g.zarr", "{pool}", "--name", "x", "--key", "a"), 2, "npy files hold one matrix"),
        (("import", "g.zarr", "{pool}", "--name", "x", "--ids", "{pool}"), 1, "no UTF-8 text"),
        (("export", "{built}", "{out}", "--format", "npy"), 2, "give either --dataset or --selection"),
        (("export", "{built}", "{out}", "--format", "npy", "--selection", "x"), 2, "goes with --format less"),
        (("export", "{built}", "{out}", "--format", "less", "--selection", "x"), 2, "unknown selection 'x'"),
        (("export", "{built}", "{empty}", "--format", "npy", "--dataset", "pool"), 2, "is not overwritten"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments: tuple[str, ...], code: int, message: str, run, built: Path, arrays: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    places = {
        "built": built,
        "empty": tmp_path / "empty",
        "out": tmp_path / "out",
        "pool": arrays / "pool.npy",
    }
    result = run("store", *(each.format(**places) for each in arguments))
    assert result.exit_code == code, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_named(
    run, less_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = run("store", "import", tmp_path / "g.zarr", less_run, "--name", "x")
    assert result.exit_code == 1
    assert "this needs torch: pip install 'gradstore[extract]'" in result.stderr
    np.save(tmp_path / "g.npy", np.ones((2, 3)))
    assert run("store", "import", tmp_path / "g.zarr", tmp_path / "g.npy", "--name", "x").exit_code == 0


def test_a_selection_goes_out(run, store: Path, tmp_path: Path) -> None:
    options = ("--selector", "less", "--target", "gsm8k", "-n", 5, "-o", tmp_path / "p.jsonl")
    assert run("select", store, *options).exit_code == 0
    export = ("store", "export", store, tmp_path / "out", "--format", "less", "--selection", "less-gsm8k")
    result = run(*export, "--json")
    assert result.exit_code == 0, result.output
    folder = Path(json.loads(result.stdout)["path"])
    assert (folder / "top_num5.jsonl").read_text() == (tmp_path / "p.jsonl").read_text()
    assert torch.load(folder / "pool_influence_score.pt", weights_only=True).shape == (60,)
