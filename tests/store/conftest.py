"""A small writer that all tests of the store share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradstore.records import CheckpointIdentity, GradientBlock, ProjectionSpec
from gradstore.store import Dataset, DatasetWriter
from gradstore.store.files import Folder
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


def block(span: range, dim: int, directions: tuple[str, ...], seed: int = 0) -> GradientBlock:
    rows = list(span)
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
        gradients={each: gradients(span.stop, dim, each, seed)[span.start :] for each in directions},
    )


def settings(**changes: Any) -> dict[str, Any]:
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
    given["identity"] = identity(changes.pop("dim", 16))
    return given | changes


def write(path: Path, *, seed: int = 0, **changes: Any) -> Dataset:
    given = settings(**changes)
    with DatasetWriter.open(path, **given) as writer:
        for chunk in writer.missing():
            span = writer.chunks[chunk]
            writer.write(
                chunk, block(span, given["identity"].projection.dim, writer.settings.directions, seed)
            )
        return writer.seal()


def objects(path: Path) -> dict[str, bytes]:
    return {
        each.relative_to(path).as_posix(): each.read_bytes() for each in path.rglob("*") if each.is_file()
    }


def resign(folder: Path) -> None:
    """Make the manifest agree with whatever lies in the folder: damage that checksums cannot show."""
    place = Folder(folder)
    manifest = read_manifest(place)
    assert manifest is not None
    entries = {name: Entry.of(data) for name in manifest.objects if (data := place.get(name)) is not None}
    (folder / "manifest.json").write_bytes(Manifest(entries, manifest.facts).to_bytes())


@pytest.fixture(scope="session", autouse=True)
def no_power_cuts() -> Iterator[None]:
    """Waiting for the disk after each small object would take most of these tests' time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def make() -> SimpleNamespace:
    return SimpleNamespace(
        block=block,
        gradients=gradients,
        identity=identity,
        objects=objects,
        resign=resign,
        settings=settings,
        write=write,
    )


@pytest.fixture(scope="session")
def shared_make() -> SimpleNamespace:
    """`make` for hypothesis, which admits no fixture that is made anew for each test."""
    return SimpleNamespace(gradients=gradients, write=write)
