"""The examples run as their pages say."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstore
from gradstore.select import select
from gradstore.testing import tiny_store

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*command: object, folder: Path | None = None, **environment: object) -> str:
    """Run a program and return what it printed."""
    more = {"OMP_NUM_THREADS": "1", **{name: str(value) for name, value in environment.items()}}
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | more,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``base/``, ``pool.jsonl`` and ``target.jsonl`` of make_data.py."""
    folder = tmp_path_factory.mktemp("data")
    runpy.run_path(str(EXAMPLES / "make_data.py"))["main"](folder)
    return folder


@pytest.fixture(scope="module")
def quickstart(data: Path, quick_command: str) -> Path:
    """What quickstart.sh leaves in its folder."""
    files = {
        "BASE": data / "base",
        "POOL": data / "pool.jsonl",
        "TARGET": data / "target.jsonl",
        "PATH": quick_command,
    }
    out = run(EXAMPLES / "quickstart" / "quickstart.sh", "qs", folder=data, **files)
    assert "qs/grads.zarr: ready" in out
    return data / "qs"


def test_the_page_lists_every_example() -> None:
    page = (EXAMPLES / "README.md").read_text()
    for each in EXAMPLES.iterdir():
        if each.is_dir() and each.name != "__pycache__":
            assert f"({each.name}/README.md)" in page, each.name
            assert (each / "README.md").is_file()


def test_the_quickstart_chooses_rows_of_the_pool(quickstart: Path, data: Path) -> None:
    pool, picked = rows_of(data / "pool.jsonl"), rows_of(quickstart / "picked.jsonl")
    assert len(picked) == round(0.1 * len(pool))
    assert all(row in pool for row in picked)


def test_compare_lays_five_selectors_side_by_side(
    quickstart: Path, tmp_path: Path, quick_command: str
) -> None:
    script = EXAMPLES / "compare_selectors" / "compare.sh"
    shown = run(script, quickstart / "grads.zarr", "target", tmp_path, PATH=quick_command)
    for selector in ("random", "low-loss", "less", "round-robin", "g2is"):
        assert f"{selector}-target" in shown
        assert rows_of(tmp_path / f"{selector}.jsonl")


def test_the_notebook_runs_on_a_shared_store_and_leaves_it_as_it_is(
    quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = pytest.importorskip("nbclient"), pytest.importorskip("ipykernel")
    nbformat = pytest.importorskip("nbformat")
    page = nbformat.read(EXAMPLES / "notebook" / "explore.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in page.cells), "outputs are not committed"
    before = sorted(each for each in (quickstart / "grads.zarr").rglob("*"))
    monkeypatch.setenv("STORE", str(quickstart / "grads.zarr"))
    client.NotebookClient(page, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert sorted(each for each in (quickstart / "grads.zarr").rglob("*")) == before
    assert {"try-g2is", "try-less", "try-random"} <= set(gradstore.open(tmp_path / "mine.zarr").selections)


def test_rows_of_ones_own_keep_their_limits(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = EXAMPLES / "own_dataset" / "own_dataset.py"
    monkeypatch.setattr(sys, "argv", list(map(str, (script, data / "base", tmp_path))))
    runpy.run_path(str(script), run_name="__main__")
    picked, goal = rows_of(tmp_path / "picked.jsonl"), rows_of(tmp_path / "returns.jsonl")
    counts = Counter(row["dataset"] for row in picked)
    assert len(picked) == 20
    assert max(counts.values()) <= 12
    assert not {row["id"] for row in picked} & {row["id"] for row in goal}
    pool = gradstore.open(tmp_path / "grads.zarr").dataset("pool")
    assert {pool.ids[row]: pool.reasons[row] for row in np.flatnonzero(~pool.valid)} == {
        "billing-3": "no assistant turn"
    }


def test_gradients_of_less_are_chosen_from_without_computing_anything(
    tmp_path: Path, quick_command: str
) -> None:
    runpy.run_path(str(EXAMPLES / "less_gradients" / "make_less.py"))["main"](tmp_path)
    files = (tmp_path / "grads", tmp_path / "pool.jsonl", tmp_path / "target.jsonl", tmp_path)
    run(EXAMPLES / "less_gradients" / "import_less.sh", *files, PATH=quick_command)
    picked = rows_of(tmp_path / "picked.jsonl")
    assert Counter(row["dataset"] for row in picked) == {"algebra": 15}
    assert gradstore.open(tmp_path / "less.zarr").checkpoints == ("checkpoint-105", "checkpoint-211")


@pytest.mark.long  # what a Trainer leaves is read everywhere: `warmup` is one
def test_the_recipe_with_trl_trains_on_what_was_chosen(data: Path, tmp_path: Path) -> None:
    if find_spec("trl") is None:
        pytest.skip("needs TRL: pip install trl")
    files = (data / "base", data / "pool.jsonl", data / "target.jsonl", tmp_path)
    shown = run(
        sys.executable, EXAMPLES / "trl" / "recipe.py", *files, "--budget", 16, "--dim", 256, "--epochs", 1
    )
    assert len(rows_of(tmp_path / "less.jsonl")) == 16
    losses = [float(line.split()[-1]) for line in shown.splitlines() if "loss on the target" in line]
    assert len(losses) == 2
    assert all(0 < loss < 10 for loss in losses)
    assert (tmp_path / "tuned-less").is_dir()


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


def test_the_plug_in_is_found_when_it_is_installed(tmp_path: Path) -> None:
    """A real distribution, installed by pip beside a broken one, and used from the command line."""
    site, folder = tmp_path / "site", tmp_path / "plugin"
    shutil.copytree(EXAMPLES / "selector_plugin", folder)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        site,
    ]
    subprocess.run([*pip, folder], check=True, capture_output=True, timeout=120)
    broken = site / "broken_rows-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-rows\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[gradstore.selectors]\nbroken = gone:Gone\n")
    tiny_store(tmp_path / "s.zarr")

    def gradstore_(*arguments: object) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(site), *filter(None, sys.path)])
        command = [sys.executable, "-c", "from gradstore_cli.main import main; main()", *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}
        )

    listed = gradstore_("selectors")
    assert "short-answers" in listed.stdout
    assert "broken-rows" in listed.stderr
    assert listed.returncode == 0
    shown = gradstore_("selectors", "short-answers")
    assert "half_length: a whole number; default 200" in shown.stdout
    assert "Number of tokens at which" in shown.stdout
    out = tmp_path / "picked.jsonl"
    budget = ("--target", "target", "-n", 5, "-p", "half_length=50", "-o", out)
    done = gradstore_("select", tmp_path / "s.zarr", "--selector", "short-answers", *budget, "--explain", 1)
    assert done.returncode == 0, done.stderr
    assert len(out.read_text().splitlines()) == 5
    assert "because  cosine" in done.stdout
    again = gradstore_(
        "select", tmp_path / "s.zarr", "--replay", tmp_path / "picked.selection.json", "-o", out
    )
    assert again.returncode == 0, again.stderr


def test_the_page_on_plug_ins_shows_the_example_whole() -> None:
    page = (EXAMPLES.parent / "docs" / "selectors" / "plugins.md").read_text(encoding="utf-8")
    for name in ("short_answers.py", "pyproject.toml", "test_short_answers.py"):
        assert (EXAMPLES / "selector_plugin" / name).read_text(encoding="utf-8") in page, name


# What a cluster does, as far as the scripts can tell: an array's tasks run at once, a requeued one runs again, and the
# first task that has finished a chunk is pre-empted.
SBATCH = """#!/usr/bin/env bash
count=1
for word; do case $word in --array=1-*) count=${word#--array=1-} ;; esac; done
script=${!#}
job=$((100 + $(ls "$CLUSTER" | wc -l)))
: > "$CLUSTER/job-$job"
export SLURM_ARRAY_JOB_ID=$job SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_COUNT=$count
for task in $(seq "$count"); do
  (
    export SLURM_ARRAY_TASK_ID=$task SLURM_JOB_ID=$job-$task
    code=0; bash "$script" || code=$?
    if [[ -e $CLUSTER/requeue-$SLURM_JOB_ID ]]; then code=0; bash "$script" || code=$?; fi
    exit "$code"
  ) 1>&2 &
  tasks+=($!)
done
for task in "${tasks[@]}"; do wait "$task" || exit 1; done
echo "$job"
"""
SRUN = """#!/usr/bin/env bash
export SLURM_PROCID=0 SLURM_NTASKS=1 SLURM_LOCALID=0
"$@" &
if mkdir "$CLUSTER/preempted" 2>/dev/null; then
  while kill -0 $! 2>/dev/null && ! compgen -G "$3/checkpoints/*/*/*/parts/*.npz" >/dev/null; do sleep 0.01; done
  kill -TERM $!
fi
wait $!
"""
SCONTROL = """#!/usr/bin/env bash
[[ $1 == requeue ]] && : > "$CLUSTER/requeue-$2"
"""


@pytest.fixture
def cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_run: Path, token_rows: Path, quick_command: str
) -> Path:
    """A folder with SLURM's commands on PATH, and the environment that the scripts ask for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("scontrol", SCONTROL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    state = tmp_path / "cluster"
    state.mkdir()
    environment = {
        "PATH": os.pathsep.join([str(folder), quick_command]),
        "CLUSTER": state,
        "STORE": tmp_path / "grads.zarr",
        "PARTS": tmp_path / "parts",
        "TMPDIR": tmp_path,
        "RUN": tiny_run / "run" / "checkpoint-8",
        "POOL": token_rows,
        "TARGET": token_rows,
        "OUT": tmp_path / "picked.jsonl",
        "OPTIONS": "--dim 256 --chunk-rows 2 --device cpu",
        "FRACTION": "0.1",
        "TASKS": 2,
        "OMP_NUM_THREADS": 1,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    (tmp_path / "parts").mkdir()
    return tmp_path


@pytest.fixture(scope="module")
def whole(tiny_run: Path, token_rows: Path, tmp_path_factory: pytest.TempPathFactory) -> gradstore.Store:
    """The store as one process makes it."""
    path = tmp_path_factory.mktemp("whole") / "s.zarr"
    job = {
        "checkpoints": [tiny_run / "run" / "checkpoint-8"],
        "data": token_rows,
        "dim": 256,
        "chunk_rows": 2,
    }
    gradstore.extract(path, **job, name="pool", device="cpu")
    gradstore.extract(path, **job, name="target", target=True, device="cpu")
    return gradstore.open(path)


def digests(store: gradstore.Store) -> dict[str, tuple[str, ...]]:
    """What identifies every byte of each data set."""
    found = {name: store.dataset(name) for name in store.datasets()}
    return {
        name: (each.digest, *(each.digest_of(direction) for direction in each.directions))
        for name, each in found.items()
    }


@pytest.mark.parametrize("script", ["submit.sh", pytest.param("submit_parts.sh", marks=pytest.mark.long)])
def test_slurm_tasks_of_which_one_is_pre_empted_give_the_store_of_one_process(
    script: str, cluster: Path, whole: gradstore.Store
) -> None:
    done = subprocess.run(
        [EXAMPLES / "slurm" / script], capture_output=True, text=True, check=False, cwd=cluster
    )
    assert done.returncode == 0, done.stderr
    assert "stopped by SIGTERM" in done.stderr
    assert len(list((cluster / "cluster").glob("requeue-*"))) == 1
    assert digests(gradstore.open(cluster / "grads.zarr")) == digests(whole)
    assert len((cluster / "picked.jsonl").read_text().splitlines()) == 6


@pytest.mark.long  # tests/gradients/test_identity.py extracts parts, tests/sharing/test_merge.py merges them
def test_ray_tasks_give_the_store_of_one_process(
    tmp_path: Path, tiny_run: Path, token_rows: Path, whole: gradstore.Store
) -> None:
    if find_spec("ray") is None:
        pytest.skip("needs Ray: pip install ray")
    command = [
        sys.executable, EXAMPLES / "ray" / "extract.py", tmp_path / "grads.zarr",
        "--checkpoint", tiny_run / "run" / "checkpoint-8", "--data", token_rows, "--name", "pool",
        "--parts", tmp_path / "parts", "--count", "2", "--gpus", "0", "--dim", "256", "--chunk-rows", "2",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert digests(gradstore.open(tmp_path / "grads.zarr"))["pool"] == digests(whole)["pool"]
