"""A small writer that all tests of the store share."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradstore.records import CheckpointIdentity, GradientBlock, ProjectionSpec
from gradstore.storage import LocalFolder
from gradstore.store import Dataset, DatasetWriter
from gradstore.store.manifest import Entry, Manifest, read_manifest


def identity(dim: int = 16, **changes: Any) -> CheckpointIdentity:
    given = {"base": "tiny", "base_digest": "b" * 32, "projection": ProjectionSpec("sjlt", dim, 0), **changes}
    return CheckpointIdentity(**given)


def gradients(rows: int, dim: int, direction: str, seed: int = 0) -> np.ndarray:
    """Float32 rows; every seventh (from the sixth) is zero, as rows of invalid examples are."""
    key = int.from_bytes(hashlib.sha256(direction.encode()).digest()[:4])
    matrix = np.random.default_rng([seed, key]).normal(size=(rows, dim)).astype(np.float32) * 1e-5
    matrix[5::7] = 0
    return matrix


def block(
    span: range, dims: int | dict[str, int], directions: tuple[str, ...], seed: int = 0
) -> GradientBlock:
    """Rows of a span; `dims` of all directions, or of each."""
    rows = list(span)
    widths = dims if isinstance(dims, dict) else dict.fromkeys(directions, dims)
    valid = np.array([row % 7 != 5 for row in rows])
    return GradientBlock(
        ids=[f"row-{row}" for row in rows],
        sources=[f"source-{row % 3}" for row in rows],
        subtasks=["" if row % 2 else "täsk" for row in rows],
        reasons=["" if good else "no learned token" for good in valid],
        records=[b'{"n":%d,"text":"%s"}' % (row, b"x" * (row % 50)) for row in rows],
        loss=np.array(rows, dtype=np.float32) / 8,
        tokens=np.array(rows, dtype=np.int32),
        valid=valid,
        truncated=np.array([row % 4 == 1 for row in rows]),
        contents=np.array([[row % 256] * 12 for row in rows], dtype=np.uint8),
        gradients={each: gradients(span.stop, widths[each], each, seed)[span.start :] for each in directions},
    )


def settings(**changes: Any) -> dict[str, Any]:
    """Arguments of `DatasetWriter.open`; directions may be named without their dim."""
    given: dict[str, Any] = {
        "checkpoint": "step-1",
        "name": "pool",
        "rows": 10,
        "directions": ("sgd", "adam"),
        "encoding": "int8",
        "chunk_rows": 4,
        "content_digest": "c" * 32,
        "attributes": {"target": False},
    }
    dim = changes.pop("dim", 16)
    given["identity"] = identity(dim)
    given |= changes
    if not isinstance(given["directions"], dict):
        given["directions"] = dict.fromkeys(given["directions"], dim)
    return given


def fill(writer: DatasetWriter, chunks: Iterable[int], seed: int = 0) -> None:
    """Write chunks."""
    dims = {each: vectors.dim for each, vectors in writer.dataset.vectors.items()}
    for chunk in chunks:
        writer.write(chunk, block(writer.chunks[chunk], dims, writer.directions, seed))


def write(path: Path, *, seed: int = 0, **changes: Any) -> Dataset:
    """Write a data set and seal it."""
    with DatasetWriter.open(path, **settings(**changes)) as writer:
        fill(writer, writer.missing(), seed)
        return writer.seal()


def write_some(path: Path, chunks: Iterable[int], *, seed: int = 0, **changes: Any) -> None:
    """Write some chunks of a data set."""
    with DatasetWriter.open(path, **settings(**changes)) as writer:
        fill(writer, chunks, seed)


def objects(path: Path) -> dict[str, bytes]:
    """All files but the card, which commands write and writers do not."""
    files = (each for each in path.rglob("*") if each.is_file())
    found = {each.relative_to(path).as_posix(): each.read_bytes() for each in files}
    return {name: data for name, data in found.items() if name not in ("README.md", "index.json")}


def resign(folder: Path, **facts: Any) -> None:
    """Make the manifest agree with whatever lies in the folder: damage that checksums cannot show."""
    place = LocalFolder(folder)
    manifest = read_manifest(place)
    assert manifest is not None
    entries = {name: Entry.of(data) for name in manifest.objects if (data := place.get(name)) is not None}
    (folder / "manifest.json").write_bytes(Manifest(entries, {**manifest.facts, **facts}).to_bytes())


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    return SimpleNamespace(
        block=block,
        fill=fill,
        gradients=gradients,
        identity=identity,
        objects=objects,
        resign=resign,
        settings=settings,
        write=write,
        write_some=write_some,
    )


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that `write` made; not to be changed."""
    path = tmp_path_factory.mktemp("written") / "s"
    write(path)
    return path


@pytest.fixture
def store(written: Path, tmp_path: Path) -> Path:
    """A copy of it which a test may change."""
    return Path(shutil.copytree(written, tmp_path / "s"))
