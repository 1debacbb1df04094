"""`verify` finds every kind of damage in every object."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gradstore.errors import CorruptError, GradstoreError
from gradstore.storage import LocalFolder
from gradstore.store import DatasetWriter, open_store, verify, write_artifact, write_card
from gradstore.store.compare import difference
from gradstore.store.parts import read_part

_CHECKPOINT = ["zarr.json", "checkpoints/zarr.json", "checkpoints/step-1/zarr.json", "graphs/zarr.json"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Path:
    path: Path = tmp_path_factory.mktemp("verify") / "s"
    make.write(path, directions=("sgd",))
    graph = {"neighbours": np.arange(6, dtype=np.int32).reshape(3, 2)}
    write_artifact(
        open_store(path), "graphs", "g", arrays=graph, strings={"ids": ["a", "b", "c"]}, attributes={}
    )
    return path


def names(path: Path) -> list[str]:
    """All files but the card, which anybody may write."""
    files = sorted(each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file())
    return [name for name in files if name not in ("README.md", "index.json")]


def found(path: Path) -> list[str]:
    try:
        return [str(problem) for problem in verify(path)]
    except GradstoreError as error:
        return [str(error)]


def test_an_intact_store_has_no_problems(whole: Path) -> None:
    assert verify(whole) == []


def test_damage_to_any_object_is_found(whole: Path, tmp_path: Path) -> None:
    """Every object: each in turn missing, cut short, grown, with one bit flipped at its start, middle and end."""
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    for name in names(path):
        data = (path / name).read_bytes()
        flips = []
        for place, bit in ((0, 1), (len(data) // 3, 4), (len(data) // 2, 64), (len(data) - 1, 16)):
            flipped = bytearray(data)
            flipped[place] ^= bit
            flips.append(bytes(flipped))
        for damaged in (None, data[:-1], b"", data + b"\0", *flips):
            if damaged is None:
                (path / name).unlink()
            else:
                (path / name).write_bytes(damaged)
            assert found(path), f"{name}: {data!r} became {damaged!r} unnoticed"
        (path / name).write_bytes(data)
    assert verify(path) == []


def test_the_message_names_the_object(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    (path / "checkpoints/step-1/pool/sgd/gradient/c/1/0").unlink()
    (path / "graphs/g/ids/data/c/0").write_bytes(b"")
    assert [(problem.where, problem.what) for problem in verify(path)] == [
        ("checkpoints/step-1/pool/sgd/gradient/c/1/0", "is missing"),
        ("graphs/g/ids/data/c/0", "has 0 bytes instead of 16"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "stray.bin",
        "checkpoints/step-1/pool/sgd/gradient/c/9/0",
        "checkpoints/step-1/pool/.stray",
        "checkpoints/step-1/pool/parts/0.npz",
        "checkpoints/gone/pool/manifest.json",
        "graphs/.g.new/zarr.json",
    ],
)
def test_objects_that_belong_to_nothing_are_found(name: str, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_bytes(b"stray")
    assert [problem.where for problem in verify(path)] == [name]


def test_a_card_and_a_hub_s_own_files_are_welcome(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    for name in ("README.md", ".gitattributes"):
        (path / name).write_text("x")
    assert verify(path) == []


def test_links_are_found(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    (path / "elsewhere").symlink_to(tmp_path)
    assert [problem.where for problem in verify(path)] == ["elsewhere"]


def test_an_unfinished_data_set_is_a_problem_and_its_finished_chunks_are_checked(
    tmp_path: Path, make: SimpleNamespace
) -> None:
    with DatasetWriter.open(tmp_path / "s", **make.settings(directions=("sgd",))) as writer:
        writer.write(0, make.block(writer.chunks[0], 16, ("sgd",)))
        problems = verify(tmp_path / "s")
        assert [problem.where for problem in problems] == ["checkpoints/step-1/pool"]
        assert "(1 of 3 chunks done)" in problems[0].what
        (tmp_path / "s/checkpoints/step-1/pool/sgd/gradient/c/0/0").write_bytes(b"")
        assert len(verify(tmp_path / "s")) == 2


def test_an_unfinished_direction_is_listed_beside_the_finished_ones(
    whole: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    make.write_some(path, [1], directions=("adam",))
    (problem,) = verify(path)
    assert problem.where == "checkpoints/step-1/pool/adam"
    assert "direction 'adam' of data set 'pool' of 'step-1'" in problem.what
    assert "to finish it (1 of 3 chunks done)" in problem.what
    (path / "checkpoints/step-1/pool/adam/gradient/c/1/0").write_bytes(b"")
    (path / "checkpoints/step-1/pool/sgd/gradient/c/1/0").write_bytes(b"")
    assert [problem.where.rpartition("pool/")[2] for problem in verify(path)] == [
        "adam/gradient/c/1/0",
        "adam",
        "sgd/gradient/c/1/0",
    ]


def test_a_direction_that_belongs_to_other_rows_is_found(
    whole: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    make.write(path, name="other", directions=("sgd",), content_digest="d" * 32)
    folder = path / "checkpoints/step-1"
    shutil.rmtree(folder / "pool/sgd")
    shutil.copytree(folder / "other/sgd", folder / "pool/sgd")
    write_card(open_store(path))
    (problem,) = verify(path)
    assert problem.where == "checkpoints/step-1/pool/sgd"
    assert "was made for other rows than the columns beside it" in problem.what
    shutil.rmtree(folder / "pool/sgd")
    write_card(open_store(path))
    (problem,) = verify(path)
    assert (problem.where, "is not finished" in problem.what) == ("checkpoints/step-1/pool", True)


def test_a_flipped_bit_in_a_part_is_found_or_changes_nothing(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write_some(tmp_path / "s", [1], directions=("sgd",))
    folder, names = LocalFolder(tmp_path / "s/checkpoints/step-1/pool/sgd"), ("norm", "scale")
    path = folder.root / "parts/1.npz"
    data, intact = path.read_bytes(), read_part(folder, 1, names, 4)
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        try:
            assert difference(intact, read_part(folder, 1, names, 4)) == ""
        except CorruptError as error:
            assert "parts/1.npz is damaged" in str(error)  # noqa: PT017 (most places, but not all)
