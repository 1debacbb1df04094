"""``gradstore extract``, ``warmup``, ``demo`` and ``env``."""

from __future__ import annotations

import json
from pathlib import Path

import click
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


def test_dry_run_with_a_price_tells_the_cost(extract) -> None:
    (plan,) = json.loads(extract("--dry-run", "--price-per-hour", 3.6, "--json").stdout)
    assert plan["cost"] == pytest.approx(plan["seconds_estimate"] * 0.001)


def test_a_part_computes_its_chunks_only(extract) -> None:
    (report,) = json.loads(extract("--chunk-rows", 10, "--part", "2/3", "--json").stdout)
    assert (report["computed_chunks"], report["chunks"], report["sealed"]) == (1, 4, False)
    assert "1 of 4 chunks" in extract("--chunk-rows", 10, "--part", "3/3").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--part", "0/3"), "counted from 1"),
        (("--part", "three"), "such as 1/8"),
        (("--lora-r", 4), "`--lora-r` is for `--init-lora`"),
        (("--target-modules", "q_proj"), "`--target-modules` is for `--init-lora`"),
        (("--price-per-hour", 2), "`--price-per-hour` is for `--dry-run`"),
    ],
)
def test_options_that_would_do_nothing_or_make_no_sense_are_refused(
    extract, arguments: tuple[object, ...], said: str
) -> None:
    result = extract(*arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr


def test_a_file_may_hold_options_that_this_run_does_not_use(extract, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("lora-r = 4\nprice-per-hour = 2.0\n")
    assert extract("--config", tmp_path / "run.toml", "--show", 1).exit_code == 0


def test_defaults_of_a_fresh_adapter_are_those_that_help_names() -> None:
    pytest.importorskip("torch")
    from gradstore_cli.commands.extract import command

    from gradstore.gradients.settings import Settings

    shown = {
        option.name: option.show_default for option in command.params if isinstance(option, click.Option)
    }
    settings = Settings(data=Path("rows.jsonl"), name="pool")
    assert (shown["lora_r"], shown["lora_alpha"]) == (str(settings.lora_r), str(settings.lora_alpha))


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


def test_env_says_what_a_launcher_makes_of_this_process(run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(run("env", "--json").stdout)["launcher"] == {}
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "3")
    monkeypatch.setenv("SLURM_LOCALID", "1")
    facts = json.loads(run("env", "--json").stdout)
    assert (facts["part"], facts["local_gpu"]) == ("3/3", 1)
    assert "SLURM_ARRAY_TASK_COUNT=3" in run("env").stdout


def test_env_lists_gpus_without_torch(process, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559 MiB'\n")
    program.chmod(0o755)
    code = "import sys; sys.modules['torch'] = None; from gradstore_cli.main import main; main()"
    result = process(code, "env", "--json", PATH=str(tmp_path))
    assert json.loads(result.stdout)["gpus"] == ["NVIDIA H100 80GB HBM3, 81559 MiB"]
