"""A store that an earlier version wrote opens in all later ones, and says the same."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gradstore.errors import IncompatibleError
from gradstore.inspection import verify
from gradstore.store import open_store, read_artefact, unpack_adapter
from gradstore.store.encodings import ENCODINGS
from tests.store.everything import objects, reseal, use

GOLDEN = Path(__file__).parents[1] / "golden"
STORE = GOLDEN / "format-1.zarr"
EXAMPLE = Path(__file__).parents[2] / "examples" / "read_a_store.py"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    return load(GOLDEN / "make.py")


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORE, tmp_path / "s"))


def test_the_frozen_store_is_well() -> None:
    assert verify(STORE) == []
    assert sum(len(data) for data in objects(STORE).values()) < 100_000


def test_the_frozen_store_says_what_it_said(maker: ModuleType) -> None:
    assert maker.expected(STORE) == json.loads((GOLDEN / "format-1.json").read_text())


def test_the_frozen_store_has_rows_of_the_writer_in_every_encoding(maker: ModuleType) -> None:
    """Not only what was read once: the numbers that were written, within the encoding's error."""
    store = open_store(STORE)
    kinds = set()
    for name in store.datasets("checkpoint-200"):
        dataset = store.dataset(name, "checkpoint-200")
        for direction in dataset.directions:
            kinds.add(dataset.encoding(direction))
            rows = maker.numbers(200, direction, len(dataset))
            kept = dataset.read(direction, 0, len(dataset))
            cosines = (rows * kept).sum(1) / np.maximum(
                np.linalg.norm(rows, axis=1) * np.linalg.norm(kept, axis=1), 1e-30
            )
            least = {"exact": 1 - 1e-6, "half": 1 - 1e-6, "int8": 0.9999, "int4": 0.97, "sign": 0.7}
            assert (cosines[dataset.valid] >= least[dataset.encoding(direction)]).all()
    assert kinds == set(ENCODINGS)


def test_the_same_data_is_written_with_the_same_bytes(maker: ModuleType, tmp_path: Path) -> None:
    """Manifests may tell more than they did, and their digests are others then; what they list are the same objects."""

    def told(path: Path) -> dict[str, Any]:
        free = (
            "README.md",
            "graphs/",
            "selections/",
        )  # words may change, how cosines are rounded, and digests
        return {
            name: json.loads(data)["objects"] if name.endswith("manifest.json") else data
            for name, data in objects(path).items()
            if not name.startswith(free)
        }

    assert told(maker.make(tmp_path / "format-1.zarr")) == told(STORE)


def test_the_same_data_makes_the_same_graph(maker: ModuleType, tmp_path: Path) -> None:
    made, kept = (
        read_artefact(open_store(path), "graphs", "near").arrays
        for path in (maker.make(tmp_path / "format-1.zarr"), STORE)
    )
    np.testing.assert_array_equal(made["neighbours"], kept["neighbours"])
    np.testing.assert_allclose(made["cosines"], kept["cosines"], atol=1e-6)


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def test_members_of_later_versions_are_passed_over_at_every_level(golden: Path, maker: ModuleType) -> None:
    """In groups, in our attributes of them, in manifests and in what they say of an object; with their digests."""
    for name in objects(golden):
        if name.endswith("manifest.json"):
            edit(golden / name, lambda document: document.update(newer={"a": 1}))
            edit(
                golden / name,
                lambda document: [entry.update(newer=1) for entry in document["objects"].values()],
            )
        elif name == "index.json":
            edit(golden / name, lambda document: document.update(newer=1))
        elif name.endswith("zarr.json") and b'"group"' in (golden / name).read_bytes():
            edit(golden / name, lambda document: document["attributes"].update(someone={"else": 1}))
            if b'"gradstore"' in (golden / name).read_bytes():
                edit(golden / name, lambda document: document["attributes"]["gradstore"].update(newer=[1]))
    shutil.rmtree(golden / "graphs")  # tied to digests, which are others now
    (golden / "index.json").unlink()
    reseal(golden)
    use(golden, verified=True)
    assert verify(golden) == []
    rows = open_store(golden).dataset("pool", "checkpoint-100").read("adam", 0, maker.ROWS)
    assert (rows == open_store(STORE).dataset("pool", "checkpoint-100").read("adam", 0, maker.ROWS)).all()


@pytest.mark.parametrize(
    "name", [each for each in objects(STORE) if each.endswith("manifest.json")] + ["zarr.json"]
)
def test_a_newer_format_is_refused_at_every_level_and_says_what_to_upgrade(name: str, golden: Path) -> None:
    if name == "zarr.json":
        edit(golden / name, lambda document: document["attributes"]["gradstore"].update(format=2))
    else:
        edit(golden / name, lambda document: document.update(format=2))
    with pytest.raises(IncompatibleError, match=r"is of format 2, .* reads format 1: upgrade gradstore"):
        use_all(golden)


def use_all(path: Path) -> None:
    use(path)
    store = open_store(path)
    (path.parent / "unpacked").mkdir()
    unpack_adapter(store, "checkpoint-200", path.parent / "unpacked")


def test_a_reader_of_sixty_lines_reads_what_gradstore_reads() -> None:
    """The example knows docs/format.md, Zarr and NumPy, and nothing of gradstore."""
    text = EXAMPLE.read_text()
    assert "import gradstore" not in text
    assert len(text.splitlines()) <= 60
    done = subprocess.run([sys.executable, EXAMPLE, STORE], capture_output=True, text=True, check=True)
    store, lines = open_store(STORE), []
    for checkpoint in store.checkpoints:
        for name in store.datasets(checkpoint):
            dataset = store.dataset(name, checkpoint)
            for direction in dataset.directions:
                lines.append(f"checkpoints/{checkpoint}/{name}/{direction} {dataset.encoding(direction)}")
                rows = dataset.read(direction, 0, len(dataset))
                for one, row, norm in zip(dataset.ids, rows, dataset.norms(direction), strict=True):
                    lines.append(f"  {one} {norm!s} {' '.join(map(str, row[:4]))}")
    assert done.stdout.splitlines() == lines
