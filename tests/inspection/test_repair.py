"""A repair brings back exactly what was there, and changes nothing that is whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from gradstore.errors import UsageError
from gradstore.inspection import verify
from gradstore.inspection.repair import repair
from tests.store.everything import Scratch, build, objects

DATASET = "checkpoints/step-1/int8"
UNFINISHED = "checkpoints/step-1/begun"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Path:
    return build(tmp_path_factory.mktemp("repair") / "s", make, ("int8",))


@pytest.fixture
def scratch(whole: Path, tmp_path: Path) -> Scratch:
    return Scratch(whole, tmp_path / "s")


def test_every_object_comes_back_from_a_copy(whole: Path, scratch: Scratch, make: SimpleNamespace) -> None:
    """All objects of all sealed folders damaged at once; manifests and what is not sealed stay."""
    damaged = [
        name
        for name in scratch.objects
        if not name.startswith(UNFINISHED)
        and not name.endswith("manifest.json")
        and not (
            name.endswith("zarr.json")
            and name.count("/") < 3
            and not name.startswith(("graphs/", "selections/"))
        )
        and name not in ("README.md", "index.json", "graphs/zarr.json", "selections/zarr.json")
    ]
    for number, name in enumerate(damaged):
        path = scratch.path / name
        path.unlink() if number % 2 else path.write_bytes(b"damaged")
    done = repair(scratch.path, source=whole)
    assert sorted(done.replaced) == sorted([*damaged, "index.json"])  # it listed groups that were gone
    assert [problem.where for problem in done.problems] == [UNFINISHED]
    assert objects(scratch.path) == scratch.objects


def test_only_the_very_bytes_are_taken(whole: Path, scratch: Scratch, tmp_path: Path) -> None:
    other = Path(shutil.copytree(whole, tmp_path / "other"))
    name = f"{DATASET}/sgd/gradient/c/0/0"
    data = scratch.objects[name]
    (other / name).write_bytes(data[:-1] + b"?")
    (scratch.path / name).write_bytes(b"damaged")
    done = repair(scratch.path, source=other)
    assert done.replaced == []
    assert [problem.where for problem in done.problems] == [UNFINISHED, name]
    assert (scratch.path / name).read_bytes() == b"damaged"


def test_damaged_chunks_are_named_with_the_command_that_computes_only_them(scratch: Scratch) -> None:
    for chunk in (0, 2):
        (scratch.path / f"{DATASET}/sgd/gradient/c/{chunk}/0").unlink()
    done = repair(scratch.path)
    assert done.replaced == done.reopened == []
    assert len(done.advice) == 1
    assert f"{DATASET}/sgd: 2 damaged" in done.advice[0]
    assert "(--chunk-rows 4 and --part 1/3, --part 3/3)" in done.advice[0]
    assert f"`gradstore store verify {scratch.path} --repair --from OTHER`" in done.advice[0]


def test_a_store_that_has_only_that_chunk_is_enough(
    whole: Path, scratch: Scratch, tmp_path: Path, make: SimpleNamespace
) -> None:
    """What an extraction of one part writes: not sealed, and the same bytes."""
    name = f"{DATASET}/sgd/gradient/c/1/0"
    (scratch.path / name).write_bytes(b"")
    make.write_some(tmp_path / "part", [1], name="int8", directions={"sgd": 16})
    done = repair(scratch.path, source=tmp_path / "part")
    assert done.replaced == [name]
    assert objects(scratch.path) == scratch.objects


@pytest.mark.parametrize("name", ["sgd/gradient/c/1/0", "sgd/parts/1.npz", "parts/1.npz"])
@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_a_damaged_chunk_of_an_unfinished_data_set_is_computed_again(
    name: str, how: str, scratch: Scratch, make: SimpleNamespace, tmp_path: Path
) -> None:
    path = scratch.path / UNFINISHED / name
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(b"damaged")
    done = repair(scratch.path)
    if (how, "parts" in name) != ("gone", True):  # a part that is gone is no damage: its chunk is unfinished
        assert len(done.reopened) == 1
    assert [problem.where for problem in done.problems if "not finished" not in problem.what] in (
        [],
        [f"{UNFINISHED}/sgd/gradient/c/1/0"],  # of a chunk that will be written anew
    )
    make.write(scratch.path, name="begun", directions={"sgd": 16})
    make.write(tmp_path / "straight", name="begun", directions={"sgd": 16})
    assert verify(scratch.path) == []
    assert objects(scratch.path / UNFINISHED) == objects(tmp_path / "straight" / UNFINISHED)


def test_a_listing_is_written_anew(scratch: Scratch, make: SimpleNamespace) -> None:
    (scratch.path / "index.json").write_bytes(b"{}")
    assert repair(scratch.path).replaced == ["index.json"]
    assert objects(scratch.path) == scratch.objects


def test_a_store_is_not_repaired_from_itself(scratch: Scratch) -> None:
    with pytest.raises(UsageError, match="give a copy of it"):
        repair(scratch.path, source=scratch.path)


def test_a_whole_store_stays_as_it_is(whole: Path, scratch: Scratch, make: SimpleNamespace) -> None:
    done = repair(scratch.path, source=whole)
    assert done.replaced == done.reopened == done.advice == []
    assert objects(scratch.path) == scratch.objects
