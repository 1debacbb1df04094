"""``gradstore extract``, ``warmup``, ``demo`` and ``env``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

WITHOUT_TORCH = (
    "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
    "from gradstore_cli.main import main; main()"
)


@pytest.fixture
def extract(run, shared: Path, tmp_path: Path):
    """Run extract on a tiny model with 37 rows of tokens."""
    run_folder = shared / "golden" / "less_tiny"

    def invoke(*arguments: object):
        return run(
            "extract", tmp_path / "grads.zarr", "--checkpoint", run_folder / "checkpoint-10",
            "--base", run_folder / "base", "--data", run_folder / "inputs.jsonl", "--name", "pool",
            "--dim", 64, "--device", "cpu", *arguments,
        )  # fmt: skip

    return invoke


def test_extract_reports_and_repeats_for_nothing(extract) -> None:
    first = extract("--direction", "adam,sgd", "--chunk-rows", 10)
    assert first.exit_code == 0, first.output
    header, line = first.stdout.splitlines()
    assert header.split()[:2] == ["checkpoint", "data"]
    assert "adam,sgd" in line.split()
    again = json.loads(extract("--direction", "adam,sgd", "--chunk-rows", 10, "--json").stdout)
    assert [report["computed_chunks"] for report in again] == [0]
    assert again[0]["rows"] == 37


def test_dry_run_writes_nothing(extract, tmp_path: Path) -> None:
    result = extract("--dry-run")
    assert result.exit_code == 0, result.output
    assert "about" in result.stdout
    assert not (tmp_path / "grads.zarr").exists()
    assert json.loads(extract("--dry-run", "--json").stdout)[0]["rows"] == 37


def test_show_prints_rows_and_writes_nothing(extract, tmp_path: Path) -> None:
    result = extract("--show", 2)
    assert result.exit_code == 0, result.output
    assert len(json.loads(extract("--show", 2, "--json").stdout)) == 2
    assert not (tmp_path / "grads.zarr").exists()


def test_another_projection_in_the_same_checkpoint_is_exit_3(extract) -> None:
    assert extract().exit_code == 0
    result = extract("--seed", 1, "--name", "other")
    assert result.exit_code == 3, result.output
    assert "seed" in result.stderr


def test_without_torch_one_line_names_the_extra(process, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "one"}\n')
    commands = (
        ("extract", tmp_path / "g.zarr", "--checkpoint", "run", "--data", "d.jsonl", "--name", "pool"),
        ("warmup", "--model", "base", "--data", rows, "--out", tmp_path / "run"),
    )
    for command in commands:
        result = process(WITHOUT_TORCH, *command)
        assert result.returncode == 1
        assert result.stderr == "error: this needs torch: pip install 'gradstore[extract]'\n"


def test_warmup_without_data_names_the_file(run, tmp_path: Path) -> None:
    result = run("warmup", "--model", tmp_path, "--data", tmp_path / "none.jsonl", "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")


def test_env_needs_no_torch_and_prints_versions(process) -> None:
    code = "import sys; from gradstore_cli.main import cli\ntry: cli.main()\nfinally: assert 'torch' not in sys.modules"
    result = process(code, "env", "--json")
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert {"python", "gradstore", "numpy", "zarr", "torch", "cpus", "memory"} <= set(facts)
