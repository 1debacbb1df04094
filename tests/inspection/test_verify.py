"""`verify` finds every kind of damage in every object."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from gradstore.errors import CorruptError, GradstoreError
from gradstore.inspection import verify
from gradstore.sharing import write_card
from gradstore.sharing.compare import difference
from gradstore.storage import LocalFolder
from gradstore.store import DatasetWriter, open_store
from gradstore.store.parts import read_part
from tests.store.everything import Scratch, build, use, use_owner

_GROUPS = ["zarr.json", "checkpoints/zarr.json", "checkpoints/step-1/zarr.json", "graphs/zarr.json"]


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


def test_damage_to_any_document_is_found(whole: Path, tmp_path: Path) -> None:
    """Manifests, and groups that have none: missing, cut, grown, with a bit flipped at the start, middle and end."""
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    for name in [each for each in names(path) if each in _GROUPS or each.endswith("manifest.json")]:
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
        "checkpoints/gone/pool/data",
        "graphs/.g.other/zarr.json",
    ],
)
def test_objects_that_belong_to_nothing_are_found(name: str, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_bytes(b"stray")
    assert [problem.where for problem in verify(path)] == [name]


@pytest.mark.parametrize("place", ["graphs/.g.new", "graphs/.g.old", "graphs/.other.new"])
def test_a_replacement_is_named_once_and_nobody_is_told_to_delete_it(
    place: str, whole: Path, tmp_path: Path
) -> None:
    """It may be under way."""
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    (path / place).mkdir(parents=True)
    for name in ("zarr.json", "data"):
        (path / place / name).write_bytes(b"begun")
    (problem,) = verify(path)
    assert problem.where == place
    assert "removes it" in problem.what
    assert "delete" not in problem.what


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


UNFINISHED = "checkpoints/step-1/begun"


def test_every_damaged_object_is_listed_however_many_there_are(everything: Path, tmp_path: Path) -> None:
    """All chunks and array documents of all kinds at once: a bit flipped, cut, empty, gone, exchanged for another."""
    scratch = Scratch(everything, tmp_path / "s")
    assert [problem.where for problem in verify(scratch.path)] == [UNFINISHED]
    draw = random.Random(0)
    objects = {
        name: data
        for name, data in scratch.objects.items()
        if not name.endswith(("manifest.json", "README.md", "index.json"))
        and name not in ("zarr.json", "graphs/zarr.json", "selections/zarr.json", "checkpoints/zarr.json")
        and name != "checkpoints/step-1/zarr.json"
        and (not name.startswith(UNFINISHED) or "/c/" in name)
    }
    sizes: dict[int, list[str]] = {}
    for name, data in objects.items():
        sizes.setdefault(len(data), []).append(name)
    neighbour = {a: b for group in sizes.values() for a, b in zip(group, group[1:] + group[:1], strict=True)}

    def flip(data: bytes) -> bytes:
        place, bit = draw.randrange(len(data)), draw.randrange(8)
        return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]

    for what in ("flipped", "cut", "empty", "gone", "exchanged"):
        changed = set()
        for name, data in objects.items():
            damaged = {
                "flipped": flip(data),
                "cut": data[: draw.randrange(len(data))],
                "empty": b"",
                "gone": None,
                "exchanged": objects[neighbour[name]],
            }[what]
            if damaged is None:
                (scratch.path / name).unlink()
            else:
                (scratch.path / name).write_bytes(damaged)
            if damaged != data:
                changed.add(name)
        assert len(changed) > 100
        assert changed <= {problem.where for problem in verify(scratch.path)}, what
        scratch.restore()
    assert [problem.where for problem in verify(scratch.path)] == [UNFINISHED]


def test_damage_to_a_part_of_an_unfinished_data_set_is_found(everything: Path, tmp_path: Path) -> None:
    scratch = Scratch(everything, tmp_path / "s")
    for name in [each for each in scratch.objects if each.endswith(".npz")]:
        data = scratch.objects[name]
        for damaged in (data[:-1], data[:100], b"", data[:200] + bytes([data[200] ^ 2]) + data[201:]):
            (scratch.path / name).write_bytes(damaged)
            assert name in [problem.where for problem in verify(scratch.path)]
        scratch.restore()


def test_reading_with_checks_refuses_damage_in_every_object_that_is_read(
    tmp_path: Path, make: SimpleNamespace
) -> None:
    scratch = Scratch(build(tmp_path / "whole", make, ("int8",)), tmp_path / "s")
    use(scratch.path, verified=True)
    for name, data in scratch.objects.items():
        strings = ("/ids/zarr.json", "/datasets/zarr.json")
        group = b'"group"' in data and ("/columns/" in name or name.endswith(strings))
        if (
            any(f"/{each}/" in name for each in ("begun", "adapter", "aim"))
            or group
            or name in ("README.md", "index.json")
        ):
            continue
        if name.endswith("zarr.json") and name.count("/") < 2:
            continue  # groups that are only folders, and the root
        (scratch.path / name).write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
        with pytest.raises(GradstoreError):
            use_owner(scratch.path, name)
        (scratch.path / name).write_bytes(data)


def test_a_listing_that_is_not_true_is_found(everything: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(everything, tmp_path / "s"))
    for data in (b"", b"{}", (path / "index.json").read_bytes().replace(b"int4", b"int5")):
        (path / "index.json").write_bytes(data)
        assert "index.json" in [problem.where for problem in verify(path)]


def test_progress_counts_every_byte_once(everything: Path) -> None:
    seen: list[int] = []

    class Bar:
        def update(self, count: int) -> None:
            seen.append(count)

        def estimate(self, total: int, note: str = "") -> None: ...

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None: ...

    totals: list[int] = []
    verify(everything, progress=lambda total, *_: totals.append(total) or Bar())
    unsealed = sum(path.stat().st_size for path in (everything / UNFINISHED).rglob("c/*/*"))
    assert sum(seen) == totals[0] + unsealed
