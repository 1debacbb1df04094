"""Documents that no checksum covers come back from a copy of the store, and from nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from gradstore.errors import CorruptError, StoreNotFoundError
from gradstore.inspection import diagnose, repair, verify
from gradstore.store import new_store
from tests.store.everything import Scratch, build, objects

CHECKPOINT = "checkpoints/step-1"
UNFINISHED = f"{CHECKPOINT}/begun"
DOCUMENTS = [
    f"{CHECKPOINT}/zarr.json",
    f"{CHECKPOINT}/adapter/manifest.json",
    f"{CHECKPOINT}/int8/manifest.json",
    f"{CHECKPOINT}/int8/sgd/manifest.json",
    "graphs/default/manifest.json",
    "selections/chosen/manifest.json",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Path:
    return build(tmp_path_factory.mktemp("documents") / "s", make, ("int8",))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Path:
    """A store with the same names and other rows."""
    path: Path = tmp_path_factory.mktemp("stranger") / "s"
    make.write(path, name="int8", rows=7, directions={"sgd": 16}, encoding="int8")
    return path


@pytest.fixture
def scratch(whole: Path, tmp_path: Path) -> Scratch:
    return Scratch(whole, tmp_path / "s")


def places(path: Path) -> list[str]:
    return [problem.where for problem in verify(path) if problem.where != UNFINISHED]


def test_a_checkpoint_without_its_document_is_one_problem_and_nobody_is_told_to_delete_it(
    scratch: Scratch,
) -> None:
    (scratch.path / CHECKPOINT / "zarr.json").unlink()
    (problem,) = verify(scratch.path)
    assert problem.where == CHECKPOINT
    assert "aim, begun, int8, zipped, adapter and has lost its zarr.json" in problem.what
    assert f"`gradstore store verify {scratch.path} --repair --from OTHER`" in problem.what
    assert "delete" not in problem.what
    found = diagnose(scratch.path)
    assert (found.state, len(found.findings)) == ("damaged", 1)
    assert "step-1 holds aim, begun, int8, zipped, adapter" in found.findings[0].what


def test_a_data_set_without_any_document_is_one_problem(whole: Path, scratch: Scratch) -> None:
    for name in ("zarr.json", "manifest.json"):
        (scratch.path / CHECKPOINT / "int8" / name).unlink()
    assert places(scratch.path) == [f"{CHECKPOINT}/int8"]
    repair(scratch.path, source=whole)
    assert objects(scratch.path) == scratch.objects


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_told_once_and_comes_back(name: str, whole: Path, scratch: Scratch) -> None:
    file = scratch.path / name
    for damage in (None, file.read_bytes()[:50]):
        if damage is not None:
            file.write_bytes(damage)
        elif name in DOCUMENTS[1:2] + DOCUMENTS[3:4]:  # without its manifest it is only not finished
            continue
        else:
            file.unlink()
        (found,) = places(scratch.path)
        assert name.startswith(found)
        done = repair(scratch.path, source=whole)
        assert name in done.replaced
        assert objects(scratch.path) == scratch.objects


def test_documents_and_objects_come_back_together(whole: Path, scratch: Scratch) -> None:
    (scratch.path / "zarr.json").write_bytes(b"{")
    (scratch.path / "checkpoints/zarr.json").unlink()
    (scratch.path / CHECKPOINT / "zarr.json").unlink()
    for name in ("manifest.json", "columns/loss/c/0", "sgd/norm/zarr.json"):
        (scratch.path / CHECKPOINT / "int8" / name).write_bytes(b"damaged")
    repair(scratch.path, source=whole)
    assert objects(scratch.path) == scratch.objects


@pytest.mark.parametrize("name", [*DOCUMENTS[:1], *DOCUMENTS[2:4]])
def test_a_document_of_another_store_is_not_taken(
    name: str, scratch: Scratch, stranger: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(stranger, tmp_path / "other"))
    if name == DOCUMENTS[0]:  # the same data sets at a checkpoint with another adapter
        shutil.rmtree(other)
        shutil.copytree(scratch.path, other)
        document = other / name
        text = document.read_text()
        assert '"adapter_digest":"' in text
        document.write_bytes(another_identity(other / CHECKPOINT))
    (scratch.path / name).write_bytes(b"{")
    done = repair(scratch.path, source=other)
    assert done.replaced == []
    assert (scratch.path / name).read_bytes() == b"{"
    assert any("--repair --from OTHER" in line for line in done.advice)


def another_identity(group: Path) -> bytes:
    from dataclasses import replace

    from gradstore.storage import open_folder
    from gradstore.store.identity import identity_document, read_identity

    identity = read_identity(open_folder(group))
    assert identity is not None
    return identity_document(replace(identity, adapter_digest="f" * 64))


@pytest.mark.parametrize("damage", [None, b"{"])
def test_a_root_comes_back_from_a_copy_of_this_store_only(
    damage: bytes | None, whole: Path, scratch: Scratch, stranger: Path
) -> None:
    root = scratch.path / "zarr.json"
    root.unlink() if damage is None else root.write_bytes(damage)
    with pytest.raises(CorruptError, match="is no copy of this store"):
        repair(scratch.path, source=stranger)
    with pytest.raises((CorruptError, StoreNotFoundError)):
        repair(scratch.path)
    assert root.exists() is (damage is not None)
    found = diagnose(scratch.path)
    assert found.state == "damaged"
    assert f"`gradstore store verify {scratch.path} --repair --from COPY`" in found.findings[0].what
    assert repair(scratch.path, source=whole).replaced == ["zarr.json"]
    assert objects(scratch.path) == scratch.objects


def test_the_root_of_an_overlay_is_given_to_that_overlay_only(whole: Path, tmp_path: Path) -> None:
    new_store(tmp_path / "over", on=whole)
    broken = Path(shutil.copytree(whole, tmp_path / "broken"))
    (broken / "zarr.json").unlink()
    with pytest.raises(CorruptError, match="is no copy of this store"):
        repair(broken, source=tmp_path / "over")


def test_a_doctor_offers_nothing_that_reads_what_is_damaged(scratch: Scratch) -> None:
    (scratch.path / f"{CHECKPOINT}/int8/manifest.json").write_bytes(b"{")
    commands = {each.command.split()[1] for each in diagnose(scratch.path).findings if each.command}
    assert commands <= {"store", "extract"}


def test_progress_ends_at_its_total_with_chunks_that_are_in_no_manifest(whole: Path) -> None:
    counts: dict[str, int] = {}

    class Bar:
        def update(self, count: int) -> None:
            counts["done"] += count

        def estimate(self, total: int, note: str = "") -> None:  # noqa: ARG002 (a Bar)
            counts["total"] = total

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    def progress(total: int, unit: str, label: str) -> Bar:
        counts.update(done=0, total=total)
        return Bar()

    verify(whole, progress=progress)
    assert counts["done"] == counts["total"] > 0
