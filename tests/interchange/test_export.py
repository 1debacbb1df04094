"""Exports are complete or absent, never in the place of something, and LESS can go on from them."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import gradstore
from gradstore.errors import IncompatibleError, StoreNotFoundError, StoreWriteError, UsageError
from gradstore.store import Store, write_artefact
from tests.interchange.helpers import matrix

torch = pytest.importorskip("torch")

FORMATS = ["less", "npy", "parquet"]


def test_less_layout(store: Store, tmp_path: Path) -> None:
    pool = store.dataset("pool").read("adam", 0, 200)
    made = gradstore.export(store, tmp_path / "grads", dataset="pool", fmt="less")
    assert made.path == tmp_path / "grads" / "pool-ckpt42-adam" / "dim12"
    assert sorted(path.name for path in made.path.iterdir()) == [
        "all_orig.pt",
        "all_unormalized.pt",
        "grads-160.pt",
        "grads-200.pt",
    ]
    load = {path.name: torch.load(path, weights_only=True) for path in made.path.iterdir()}
    assert (torch.cat([load["grads-160.pt"], load["grads-200.pt"]]).numpy() == pool).all()
    assert (load["all_unormalized.pt"].numpy() == pool).all()
    unit = torch.nn.functional.normalize(torch.from_numpy(pool).double(), dim=1)
    np.testing.assert_allclose(load["all_orig.pt"], unit, rtol=1e-6)
    assert load["all_orig.pt"].dtype == torch.float32
    assert (load["all_orig.pt"][[3, 150]] == 0).all()  # invalid rows keep their numbers
    again = gradstore.import_gradients(tmp_path / "again.zarr", made.path, name="pool")
    assert (again.read("adam", 0, 200) == pool).all()


def test_npy_layout(store: Store, tmp_path: Path) -> None:
    gradstore.export(store, tmp_path / "out", dataset="pool", fmt="npy")
    assert (np.load(tmp_path / "out/gradients.npy") == store.dataset("pool").read("adam", 0, 200)).all()
    assert (tmp_path / "out/ids.txt").read_text().splitlines()[7] == "row-7-é"
    about = json.loads((tmp_path / "out/meta.json").read_text())
    assert about["invalid"] == {"3": "zero gradient", "150": "non-finite gradient"}
    assert (about["direction"], about["digest"]) == ("adam", store.dataset("pool").digest_of("adam"))
    gradstore.import_arrays(tmp_path / "g.zarr", name="odd", gradients=matrix(1), ids=["a\nb"])
    with pytest.raises(UsageError, match=r"does not fit on a line of ids\.txt"):
        gradstore.export(store, tmp_path / "odd", dataset="odd", fmt="npy")
    assert not (tmp_path / "odd").exists()


@pytest.mark.parametrize("fmt", FORMATS)
def test_nothing_is_overwritten(fmt: str, store: Store, tmp_path: Path) -> None:
    made = gradstore.export(store, tmp_path / "out", dataset="pool", fmt=fmt)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    with pytest.raises(UsageError, match="exists and is not overwritten"):
        gradstore.export(store, tmp_path / "out", dataset="pool", fmt=fmt)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    assert made.path.exists()


@pytest.fixture
def small_files(store: Store) -> Iterator[None]:  # after the store
    """The system refuses files of more than 4 KiB, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.usefixtures("small_files")
def test_a_refusing_disk_leaves_nothing_behind(fmt: str, store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreWriteError, match="cannot be written") as caught:
        gradstore.export(store, tmp_path / "new" / "out", dataset="pool", fmt=fmt)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("fmt", FORMATS)
def test_names_that_do_not_exist_are_refused(fmt: str, store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="unknown data set 'pol'"):
        gradstore.export(store, tmp_path / "out", dataset="pol", fmt=fmt)
    with pytest.raises(UsageError, match="unknown direction 'sgd'"):
        gradstore.export(store, tmp_path / "out", dataset="pool", fmt=fmt, direction="sgd")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="unknown format 'lass'; did you mean 'less'"):
        gradstore.export(store, tmp_path / "out", dataset="pool", fmt="lass")


def test_less_knows_three_directions(tmp_path: Path) -> None:
    gradstore.import_arrays(tmp_path / "s.zarr", name="x", gradients=matrix(), direction="precond")
    with pytest.raises(UsageError, match="LESS's files are of adam, sgd, sign, not 'precond'"):
        gradstore.export(tmp_path / "s.zarr", tmp_path / "out", dataset="x", fmt="less")


@pytest.fixture
def chosen(store: Store, tmp_path: Path) -> Store:
    """The store with a target and a selection ``less-bbh`` of eight rows."""
    options = {"checkpoint": "checkpoint-42", "target": True}
    gradstore.import_arrays(tmp_path / "g.zarr", name="bbh", gradients=matrix(5, 12, seed=1), **options)
    gradstore.select(store, selector="less", target="bbh", budget=8)
    gradstore.select(store, selector="random", budget=8, name="some")
    return store


def test_a_selection_as_less_writes_it(chosen: Store, tmp_path: Path) -> None:
    folder = gradstore.export_selection(chosen, tmp_path, selection="less-bbh")
    assert folder == tmp_path / "bbh"
    scores = torch.load(folder / "pool_influence_score.pt", weights_only=True)
    pool, target = (
        chosen.dataset(name).read(d, 0, n) for name, d, n in (("pool", "adam", 200), ("bbh", "sgd", 5))
    )
    unit = [torch.nn.functional.normalize(torch.from_numpy(rows), dim=1) for rows in (pool, target)]
    expected = (unit[0] @ unit[1].T).mean(dim=1)  # matching.py with one subtask
    expected[[3, 150]] = -torch.inf
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-6)
    header, *lines = (folder / "sorted.csv").read_text().splitlines()
    assert header == "file name, index, score"
    assert len(lines) == 198
    order = [int(line.split(", ")[1]) for line in lines]
    assert order == torch.sort(scores, descending=True, stable=True).indices[:198].tolist()
    assert lines[0] == f"pool, {order[0]}, {round(float(scores[order[0]]), 6)}"
    written = [json.loads(line)["text"] for line in (folder / "top_num8.jsonl").read_text().splitlines()]
    assert written == [f"row {row}" for row in order[:8]]
    with pytest.raises(UsageError, match="exists and is not overwritten"):
        gradstore.export_selection(chosen, tmp_path, selection="less-bbh")


def test_a_selection_without_scores_is_refused(chosen: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no target, which LESS's files need"):
        gradstore.export_selection(chosen, tmp_path, selection="some")
    with pytest.raises(StoreNotFoundError, match="unknown selection"):
        gradstore.export_selection(chosen, tmp_path, selection="none")


def test_a_selection_of_rows_that_are_gone_is_refused(chosen: Store, tmp_path: Path) -> None:
    from gradstore.store import read_artefact

    made = read_artefact(chosen, "selections", "less-bbh")
    strings = {name: list(values) for name, values in made.strings.items()}
    strings["ids"][0] = "another"
    write_artefact(
        chosen, "selections", "old", arrays=dict(made.arrays), strings=strings, attributes=made.attributes
    )
    with pytest.raises(IncompatibleError, match="has row 'another', which the store holds no more"):
        gradstore.export_selection(chosen, tmp_path, selection="old")
