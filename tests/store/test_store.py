"""Finding things in a store, and showing it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gradstore.errors import IncompatibleError, IncompleteError, StoreNotFoundError, UsageError
from gradstore.interchange import import_arrays
from gradstore.store import DatasetWriter, create_store, forecast, open_store, write_artefact


@pytest.fixture(scope="module")
def several(written: Path, tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Path:
    path = tmp_path_factory.mktemp("several") / "s"
    shutil.copytree(written, path)
    make.write(path, name="gsm8k", attributes={"target": True}, encoding="half", directions=("sgd",))
    make.write(path, name="pool", checkpoint="step-2", identity=make.identity(step=2, dim=16))
    DatasetWriter.open(path, **make.settings(name="half")).close()
    write_artefact(create_store(path), "graphs", "default", arrays={}, strings={}, attributes={})
    return path


@pytest.fixture
def path(several: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(several, tmp_path / "s"))


def test_names_are_listed(path: Path) -> None:
    store = open_store(path)
    assert store.checkpoints == ("step-1", "step-2")
    assert store.datasets() == ("gsm8k", "half", "pool")
    assert store.datasets("step-2") == ("pool",)
    assert store.checkpoints_of("pool") == ("step-1", "step-2")
    assert store.checkpoints_of("pool", "gsm8k") == ("step-1",)
    assert (store.graphs, store.selections) == (("default",), ())
    assert store.identity("step-2").step == 2
    assert store.location == str(path)
    assert store.writable


def test_the_only_checkpoint_need_not_be_named(path: Path) -> None:
    store = open_store(str(path))
    assert store.dataset("gsm8k").checkpoint == "step-1"
    assert store.dataset("pool", "step-2").checkpoint == "step-2"
    with pytest.raises(UsageError, match="held by several checkpoints, name one: step-1, step-2"):
        store.dataset("pool")


def test_an_unknown_name_gets_the_nearest(path: Path) -> None:
    store = open_store(path)
    with pytest.raises(StoreNotFoundError, match="unknown data set 'gsm8'; did you mean 'gsm8k'"):
        store.dataset("gsm8")
    with pytest.raises(StoreNotFoundError, match="unknown data set 'gsm8k'"):
        store.dataset("gsm8k", "step-2")
    with pytest.raises(StoreNotFoundError, match="unknown checkpoint 'step1'; did you mean 'step-1'"):
        store.dataset("pool", "step1")
    with pytest.raises(StoreNotFoundError, match="unknown checkpoint"):
        store.datasets("none")


def test_the_overview_is_aligned(path: Path) -> None:
    lines = repr(open_store(path)).splitlines()
    assert lines[0].startswith(f"Store {path} (format 1, ")
    assert lines[1:] == [
        "  step-1: tiny, step 0, projection sjlt to 16",
        f"    gsm8k  10 rows  9 valid  sgd        half  {size(path, 'gsm8k')}  target",
        "    half   not finished: 0 of 3 chunks",
        f"    pool   10 rows  9 valid  adam, sgd  int8  {size(path, 'pool')}",
        "  step-2: tiny, step 2, projection sjlt to 16",
        f"    pool  10 rows  9 valid  adam, sgd  int8  {size(path, 'pool')}",
        "  graphs: default",
    ]
    assert repr(open_store(path).dataset("gsm8k")).splitlines()[:3] == [
        "Dataset 'gsm8k' of step-1",
        "  rows        10 (9 valid)",
        "  directions  sgd (half, 16 numbers a row)",
    ]


def size(path: Path, name: str) -> str:
    return f"{open_store(path).dataset(name, 'step-1').size / 1024:.1f} KiB"


def test_info_is_plain_json(path: Path) -> None:
    info = json.loads(json.dumps(open_store(path).info()))
    assert [each["name"] for each in info["checkpoints"]] == ["step-1", "step-2"]
    gsm8k, half, pool = info["checkpoints"][0]["datasets"]
    assert gsm8k["target"]
    assert gsm8k["directions"]["sgd"]["encoding"] == "half"
    assert half == {
        "name": "half",
        "sealed": False,
        "rows": 10,
        "chunks_done": 0,
        "chunks": 3,
        "unfinished": {"adam": 0, "sgd": 0},
    }
    assert (pool["rows"], pool["valid"], pool["sealed"], pool["target"]) == (10, 9, True, False)
    assert (pool["truncated"], pool["reasons"]) == (3, {"no learned token": 1})
    assert pool["directions"]["adam"]["dim"] == 16
    assert pool["unfinished"] == {}
    assert pool["bytes"] > 500
    assert info["checkpoints"][1]["identity"]["step"] == 2
    assert info["graphs"] == ["default"]


def test_an_unfinished_direction_is_told_beside_the_finished_ones(path: Path, make: SimpleNamespace) -> None:
    make.write_some(path, [1], name="gsm8k", attributes={"target": True}, directions={"rds": 3})
    store = open_store(path)
    assert "target, rds not finished: 1 of 3 chunks" in repr(store)
    assert store.info()["checkpoints"][0]["datasets"][0]["unfinished"] == {"rds": 1}
    dataset = store.dataset("gsm8k")
    assert dataset.directions == ("sgd",)
    assert dataset.unfinished() == {"rds": 1}
    with pytest.raises(IncompleteError, match=r"direction 'rds' of .*to finish it \(1 of 3 chunks done\)"):
        dataset.read("rds", 0, 1)


def planned(**changes: Any) -> dict[str, Any]:
    given = {"checkpoint": "step-1", "name": "pool", "rows": 10, "directions": {"sgd": 16}, "chunk_rows": 4}
    return given | changes


def test_a_forecast_is_what_will_be_written(tmp_path: Path, make: SimpleNamespace) -> None:
    both = planned(directions={"adam": 16, "rds": 5})
    before = forecast(tmp_path / "s", **both)
    assert (before.chunks, before.chunk_rows, before.missing) == (3, 4, [0, 1, 2])
    make.write_some(tmp_path / "s", [1], directions={"adam": 16, "rds": 5})
    assert forecast(tmp_path / "s", **both).missing == [0, 2]
    make.write(tmp_path / "s", directions={"adam": 16, "rds": 5})
    assert forecast(tmp_path / "s", **both).missing == []
    written = [len(data) - 4 for name, data in make.objects(tmp_path / "s").items() if "gradient/c/" in name]
    assert before.bytes == sum(written)


def test_a_forecast_takes_the_chunks_that_are_there(tmp_path: Path, make: SimpleNamespace) -> None:
    assert forecast(tmp_path / "s", **planned(chunk_rows=None)).chunks == 1
    make.write(tmp_path / "s", directions=("adam",))
    added = forecast(tmp_path / "s", **planned(chunk_rows=None))
    assert (added.chunks, added.missing) == (3, [0, 1, 2])
    assert forecast(tmp_path / "s", **planned(directions={"adam": 16, "sgd": 16})).missing == [0, 1, 2]
    with pytest.raises(IncompatibleError, match="chunk_rows is 4 there, 5 now"):
        forecast(tmp_path / "s", **planned(chunk_rows=5))
    with pytest.raises(IncompatibleError, match="adam: dim is 16 there, 17 now"):
        forecast(tmp_path / "s", **planned(directions={"adam": 17}))


def test_opening_and_listing_import_neither_zarr_nor_torch(path: Path) -> None:
    script = (
        "import sys, gradstore\n"
        "repr(gradstore.open(sys.argv[1]))\n"
        "print(sorted({'zarr', 'numcodecs', 'torch', 'transformers'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_fork_and_threads_read_after_the_parent_has(tmp_path: Path) -> None:
    """Zarr keeps an event loop in a thread, which no fork inherits."""
    import numpy as np

    import_arrays(tmp_path / "s", name="pool", gradients=np.ones((50, 4)), rows=[{"n": n} for n in range(50)])
    script = (
        "import multiprocessing, sys, gradstore\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def read(n):\n"
        "    return gradstore.open(sys.argv[1]).dataset('pool').records([n])[0]['n']\n"
        "assert read(3) == 3\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    assert pool.map(read, range(8)) == list(range(8))\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    assert list(pool.map(read, range(30))) == list(range(30))\n"
        "print('done')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:.*fork:DeprecationWarning", "-c", script, tmp_path / "s"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("done", "")
