"""`verify` finds every kind of damage in every object."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradstore.errors import CorruptError, GradstoreError
from gradstore.graph import load_graph
from gradstore.inspection import verify
from gradstore.inspection.meaning import row_problems
from gradstore.sharing import write_card
from gradstore.sharing.compare import difference
from gradstore.storage import LocalFolder
from gradstore.store import DatasetWriter, new_store, open_store, write_artifact
from gradstore.store.encodings import encoding, row_norms
from gradstore.store.parts import read_part
from gradstore.store.settings import VectorSettings
from tests.store.everything import Scratch, build, reseal, use

_GROUPS = ["zarr.json", "checkpoints/zarr.json", "checkpoints/step-1/zarr.json", "graphs/zarr.json"]


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
        "checkpoints/gone/pool/manifest.json",
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


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Path:
    return build(tmp_path_factory.mktemp("everything") / "s", make)


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
            use(scratch.path, verified=True)
        (scratch.path / name).write_bytes(data)


POOL = "checkpoints/step-1/pool"


def forge(path: Path, name: str, change: Callable[[np.ndarray], object], dtype: str) -> None:
    """Change an uncompressed chunk, with checksums that agree."""
    data = np.frombuffer((path / name).read_bytes()[:-4], dtype).copy()
    change(data)
    body = data.tobytes()
    (path / name).write_bytes(body + google_crc32c.value(body).to_bytes(4, "little"))
    reseal(path)


@pytest.mark.parametrize(
    ("name", "dtype", "change", "what"),
    [
        ("sgd/norm/c/0", "<f4", lambda a: a.__setitem__(2, -1), "row 2 has a norm that is none"),
        ("sgd/norm/c/0", "<f4", lambda a: a.__setitem__(2, np.nan), "row 2 has a norm that is none"),
        ("sgd/norm/c/0", "<f4", lambda a: a.__imul__(2), "has another length than its norm says"),
        ("sgd/norm/c/0", "<f4", lambda a: a.__setitem__(5, 1), "row 5 is invalid and not zero"),
        ("sgd/scale/c/0", "<f4", lambda a: a.__setitem__(3, np.inf), "row 3 has a scale that is none"),
        ("sgd/scale/c/0", "<f4", lambda a: a.__setitem__(3, a[3] * 3), "row 3 has another length"),
        ("sgd/gradient/c/1/0", "i1", lambda a: a.__setitem__(20, 9), "row 5 is invalid and not zero"),
        ("sgd/gradient/c/1/0", "i1", lambda a: a.__setitem__(0, -128), "row 4 has a code of -128"),
        ("columns/loss/c/0", "<f4", lambda a: a.__setitem__(1, np.inf), "row 1 has an infinite loss"),
        ("columns/loss/c/0", "<f4", lambda a: a.__setitem__(5, 1), "row 5 is invalid and has a loss"),
        ("columns/tokens/c/0", "<i4", lambda a: a.__setitem__(1, -7), "row 1 has fewer than no tokens"),
        ("columns/valid/c/0", "u1", lambda a: a.__setitem__(5, 1), "row 5 is valid and has a reason why not"),
        ("columns/valid/c/0", "u1", lambda a: a.__setitem__(1, 0), "has 8 valid rows, and its manifest says 9"),
        ("columns/valid/c/0", "u1", lambda a: a.__setitem__(1, 2), "other bytes than 0 and 1"),
        ("columns/truncated/c/0", "u1", lambda a: a.fill(0), "has 0 truncated rows"),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_are_found_though_all_checksums_agree(
    name: str, dtype: str, change: Callable[[np.ndarray], object], what: str, whole: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(whole, tmp_path / "s"))
    forge(path, f"{POOL}/{name}", change, dtype)
    assert any(what in str(problem) for problem in verify(path)), verify(path)


def test_sources_that_are_counted_wrongly_are_found(
    whole: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    path = Path(shutil.copytree(whole, tmp_path / "s"))
    make.resign(path / POOL, sources={"source-0": 10})
    reseal(path)
    assert [each.what for each in verify(path)] == ["has other sources than its manifest says"]


def test_ids_that_are_not_unique_are_found(tmp_path: Path, make: SimpleNamespace) -> None:
    with DatasetWriter.open(tmp_path / "s", **make.settings(directions=("sgd",))) as writer:
        for chunk, rows in enumerate(writer.chunks):
            found = make.block(rows, 16, ("sgd",))
            writer.write(chunk, replace(found, ids=["same" if row in (1, 8) else f"{row}" for row in rows]))
        writer.seal()
    assert [problem.what for problem in verify(tmp_path / "s")] == ["has the same id in rows 1 and 8"]


@pytest.mark.parametrize("to", ["int8", "half", "int4", "sign", "exact"])
@given(st.data())
@settings(max_examples=8)
def test_rows_of_any_size_that_were_written_are_well(to: str, data: st.DataObject) -> None:
    """What the writer makes of any finite rows, also through another encoding, agrees with its norms."""
    dim, magnitude = (
        data.draw(st.integers(1, 40)),
        data.draw(st.sampled_from([1e-44, 1e-38, 1e-5, 1, 1e18, 1e36])),
    )
    rows = np.random.default_rng(data.draw(st.integers(0, 9))).normal(size=(6, dim))
    rows[1] = 0
    rows[2, 1:] = 0
    rows = (rows * magnitude).astype(np.float32)
    norm, valid = row_norms(rows), np.arange(6) != 1
    through = data.draw(st.sampled_from([to, "int8", "int4", "sign", "half"]))
    before, after = encoding(through), encoding(to)
    kept = rows if through == to else before.decode(*before.encode(rows), dim)
    codes, scale = after.encode(kept)
    scalars = {"norm": norm} | ({} if scale is None else {"scale": scale})
    vectors = VectorSettings(dim, to)
    assert not [*row_problems(range(6), vectors, codes, scalars, valid, original=through == to)]
    if to != "int4" and magnitude > 1e-30:
        scalars["norm"] = norm * np.float32(2.5)
        assert [*row_problems(range(6), vectors, codes, scalars, valid, original=True)]


def test_a_stale_graph_is_a_problem_that_tells_the_command(
    everything: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    path = Path(shutil.copytree(everything, tmp_path / "s"))
    shutil.rmtree(path / "checkpoints/step-1/aim")
    make.write(path, name="aim", rows=6, directions={"sgd": 16}, attributes={"target": True})
    found = [problem for problem in verify(path) if problem.where == "graphs/default"]
    assert len(found) == 1
    assert "was built from other rows than the store holds now (step-1/aim)" in found[0].what
    assert f"gradstore graph {path} --train int8 --target aim" in found[0].what


@pytest.mark.parametrize(
    ("name", "dtype", "change", "what"),
    [
        ("neighbours/c/0/0", "<i4", lambda a: a.__setitem__(0, 99), "links to nodes that it does not have"),
        ("neighbours/c/0/0", "<i4", lambda a: a.__setitem__(0, -2), "links to nodes that it does not have"),
        ("cosines/c/0/0", "<f4", lambda a: a.__setitem__(0, 1.5), "has cosines beyond 1"),
        ("cosines/c/0/0", "<f4", lambda a: a.__setitem__(0, np.nan), "has cosines beyond 1"),
    ],
)
def test_a_graph_that_cannot_be_is_found_and_not_loaded(
    name: str, dtype: str, change: Callable[[np.ndarray], object], what: str, everything: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(everything, tmp_path / "s"))
    forge(path, f"graphs/default/{name}", change, dtype)
    assert any(what in str(problem) for problem in verify(path))
    with pytest.raises(CorruptError, match=what):
        load_graph(path)


def test_an_overlay_is_checked_for_its_own_and_for_its_base(
    everything: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    base = Path(shutil.copytree(everything, tmp_path / "base"))
    shutil.rmtree(base / "checkpoints/step-1/begun")
    new_store(tmp_path / "mine", on=base)
    make.write(tmp_path / "mine", name="own", directions={"sgd": 16})
    assert verify(tmp_path / "mine") == []
    (base / "checkpoints/step-1/int8/sgd/gradient/c/0/0").write_bytes(b"")  # the base's own affair
    assert verify(tmp_path / "mine") == []
    (tmp_path / "mine/checkpoints/step-1/own/sgd/gradient/c/0/0").write_bytes(b"")
    shutil.rmtree(base / "checkpoints/step-1/aim")
    make.write(base, name="aim", rows=6, directions={"sgd": 16}, attributes={"target": True})
    found = verify(tmp_path / "mine")
    assert [problem.where for problem in found] == [
        "checkpoints/step-1/own/sgd/gradient/c/0/0",
        f"{base}/checkpoints/step-1/aim",
    ]
    assert "has changed since the overlay was made on it" in found[1].what


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
