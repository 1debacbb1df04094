"""A converted store is what a run with that encoding would have written, and says what it was made from."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradstore.errors import CorruptError, IncompatibleError, StoreNotFoundError, StoreWriteError, UsageError
from gradstore.inspection import verify
from gradstore.sharing import convert
from gradstore.store import (
    DatasetWriter,
    carries_adapter,
    embed_adapter,
    open_store,
    unpack_adapter,
    write_artefact,
)
from gradstore.store.encodings import ENCODINGS, encoding
from gradstore.store.fidelity import fidelity

POOL = "checkpoints/step-1/pool"


@pytest.fixture
def exact(tmp_path: Path, make: SimpleNamespace) -> Path:
    """A store of float32 rows."""
    make.write(tmp_path / "exact", encoding="exact")
    return tmp_path / "exact"


@pytest.mark.parametrize("to", ENCODINGS)
def test_float32_rows_become_what_a_run_would_have_written(
    to: str, exact: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    before = make.objects(exact)
    make.write(tmp_path / "direct", encoding=to)
    reports = convert(exact, tmp_path / "out", to=to)
    assert make.objects(tmp_path / "out") == make.objects(tmp_path / "direct")
    assert make.objects(exact) == before
    assert verify(tmp_path / "out") == []
    assert [(each.direction, each.converted, each.missing) for each in reports] == [
        ("adam", 3, 0),
        ("sgd", 3, 0),
    ]
    assert {(each.encoding_before, each.encoding, each.compression) for each in reports} == {
        ("exact", to, "none")
    }
    sizes = open_store(exact).dataset("pool"), open_store(tmp_path / "out").dataset("pool")
    assert (reports[0].bytes_before, reports[0].bytes) == tuple(each.size_of("adam") for each in sizes)


def test_converted_again_nothing_is_done_again(exact: Path, tmp_path: Path, make: SimpleNamespace) -> None:
    convert(exact, tmp_path / "out", to="int4")
    before = make.objects(tmp_path / "out")
    assert [each.converted for each in convert(exact, tmp_path / "out", to="int4")] == [0, 0]
    assert make.objects(tmp_path / "out") == before


@pytest.mark.parametrize("to", ENCODINGS)
@pytest.mark.parametrize("compression", ["none", "blosc"])
def test_rows_that_had_lost_something_are_measured_against_what_they_were(
    to: str, compression: str, written: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    convert(written, tmp_path / "out", to=to, compression=compression)
    assert verify(tmp_path / "out") == []
    source, dataset = (open_store(each).dataset("pool") for each in (written, tmp_path / "out"))
    assert dataset.digest == source.digest
    for direction in ("adam", "sgd"):
        rows = source.read(direction, 0, 10)
        codes, scale = encoding(to).encode(rows)
        if to == "int8":
            codes, scale = encoding("exact").encode(rows)
        kept = encoding("exact" if to == "int8" else to).decode(codes, scale, 16)
        assert dataset.read(direction, 0, 10).tobytes() == kept.tobytes()
        assert dataset.norms(direction).tobytes() == source.norms(direction).tobytes()
        measured = fidelity(rows[:4], kept[:4], source.valid[:4])
        assert measured is not None
        expected = source.fidelity(direction) if to == "int8" else measured | {"source": ["int8"]}
        assert dataset.fidelity(direction) == expected


def test_what_rows_have_been_through_is_told_to_the_end(
    written: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    """Also where float32 numbers hide that something was lost before."""
    convert(written, tmp_path / "a", to="sign")
    convert(tmp_path / "a", tmp_path / "b", to="exact", compression="zstd")
    convert(tmp_path / "b", tmp_path / "c", to="half")
    found = [open_store(tmp_path / name).dataset("pool").fidelity("adam") for name in "abc"]
    assert [each["source"] for each in found if each] == [["int8"], ["int8", "sign"], ["int8", "sign"]]
    assert (found[1]["spearman"], found[1]["top1"]) == (1.0, 1.0)
    assert np.array_equal(
        open_store(tmp_path / "a").dataset("pool").read("adam", 0, 10),
        open_store(tmp_path / "b").dataset("pool").read("adam", 0, 10),
    )


def test_compression_alone_leaves_codes_and_scales_as_they_are(
    written: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    """There and back are the same bytes; ``none`` is not even mentioned."""
    convert(written, tmp_path / "a", to="int8", compression="blosc")
    convert(tmp_path / "a", tmp_path / "b", to="int8", compression="zstd")
    convert(tmp_path / "b", tmp_path / "c", to="int8")
    assert make.objects(tmp_path / "c") == make.objects(written)
    described = [
        json.loads((path / POOL / "adam/zarr.json").read_text())["attributes"]["gradstore"]
        for path in (tmp_path / "a", tmp_path / "c")
    ]
    assert [each.get("compression") for each in described] == ["blosc", None]


def test_rows_without_a_gradient_stay_zeros(exact: Path, tmp_path: Path) -> None:
    for name in ("int4", "sign"):
        convert(exact, tmp_path / name, to=name)
        row = open_store(tmp_path / name).dataset("pool").read("adam", 5, 6)
        assert row.tobytes() == bytes(16 * 4)


def test_only_what_is_named_is_converted_and_the_rest_can_follow(
    tmp_path: Path, make: SimpleNamespace
) -> None:
    make.write(tmp_path / "s", encoding="exact")
    make.write(tmp_path / "s", encoding="exact", name="goal", directions=("sgd",))
    make.write(tmp_path / "s", encoding="exact", checkpoint="step-2", identity=make.identity(step=2))
    out = tmp_path / "out"
    convert(tmp_path / "s", out, to="sign", datasets=["pool"], directions=["adam"], checkpoints=["step-1"])
    assert open_store(out).checkpoints == ("step-1",)
    assert open_store(out).datasets() == ("pool",)
    assert open_store(out).dataset("pool").directions == ("adam",)
    convert(tmp_path / "s", out, to="int4", directions=["sgd"])
    assert open_store(out).datasets() == ("goal", "pool")
    pool = open_store(out).dataset("pool", "step-1")
    assert (pool.encoding("adam"), pool.encoding("sgd")) == ("sign", "int4")
    assert verify(out) == []


def test_an_unfinished_store_is_converted_as_far_as_it_is(
    tmp_path: Path, make: SimpleNamespace, exact: Path
) -> None:
    make.write_some(tmp_path / "s", [0, 2], encoding="exact")
    reports = convert(tmp_path / "s", tmp_path / "out", to="half")
    assert [(each.converted, each.missing, each.bytes, each.fidelity) for each in reports] == [
        (2, 1, None, None)
    ] * 2
    make.write_some(tmp_path / "s", [1], encoding="exact")
    assert [each.converted for each in convert(tmp_path / "s", tmp_path / "out", to="half")] == [1, 1]
    convert(exact, tmp_path / "direct", to="half")
    assert make.objects(tmp_path / "out") == make.objects(tmp_path / "direct")


def test_interrupted_between_chunks_the_finished_ones_are_kept(
    exact: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    class Bar:
        def update(self, *_: object) -> None:
            raise KeyboardInterrupt

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None: ...

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        convert(exact, out, to="int8", compression="zstd", progress=lambda *_: Bar())
    part = (out / POOL / "adam/parts/0.npz").read_bytes()
    assert part
    assert [each.converted for each in convert(exact, out, to="int8", compression="zstd")] == [2, 2]
    convert(exact, tmp_path / "whole", to="int8", compression="zstd")
    assert make.objects(out) == make.objects(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"to": "int4"},
            r"\(adam: encoding is int8 there, int4 in .*exact; sgd: .*\): convert to another store",
        ),
        ({"compression": "zstd"}, "adam: compression is none there, zstd in"),
    ],
)
def test_another_encoding_of_what_is_there_is_refused_before_anything_is_written(
    change: dict[str, Any], message: str, exact: Path, written: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    make.write(tmp_path / "out")
    make.write(exact, encoding="exact", name="a")
    before = make.objects(tmp_path / "out")
    with pytest.raises(IncompatibleError, match=message):
        convert(exact, tmp_path / "out", **({"to": "int8"} | change))
    assert make.objects(tmp_path / "out") == before


@pytest.mark.parametrize("finished", [True, False])
def test_other_rows_of_the_same_name_are_refused(
    finished: bool, exact: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    out = tmp_path / "out"
    make.write(out, seed=1) if finished else make.write_some(out, [1], seed=1)
    with pytest.raises(
        IncompatibleError, match=r"adam is not the same in .*norm of row [04] is .*another store"
    ):
        convert(exact, out, to="int8")


def test_names_that_are_not_there_are_refused(exact: Path, tmp_path: Path, make: SimpleNamespace) -> None:
    make.write(exact, encoding="exact", name="goal", directions=("sgd",))
    for given, message in (
        ({"datasets": ["pol"]}, "unknown data set 'pol'; did you mean 'pool'"),
        ({"directions": ["rds"]}, "unknown direction 'rds'"),
        ({"checkpoints": ["step-2"]}, "unknown checkpoint 'step-2'; did you mean 'step-1'"),
        (
            {"datasets": ["goal"], "directions": ["adam"]},
            "data set 'goal' has none of the others that are named",
        ),
        ({"to": "int5"}, "unknown encoding 'int5'; did you mean 'int"),
        ({"compression": "zip"}, "unknown compression 'zip'"),
    ):
        with pytest.raises(UsageError, match=message):
            convert(exact, tmp_path / "out", **({"to": "sign"} | given))
    with pytest.raises(UsageError, match="cannot be converted into itself"):
        convert(exact, f"{exact}/../exact", to="sign")
    with pytest.raises(StoreNotFoundError):
        convert(tmp_path / "none", tmp_path / "out", to="sign")
    assert not (tmp_path / "out").exists()


def test_a_chunk_that_another_process_writes_is_left_to_it(
    exact: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    with (
        DatasetWriter.open(tmp_path / "out", **make.settings()) as writer,
        writer.claim(1),
        pytest.raises(StoreWriteError, match="another process is writing chunk 1 of data set 'pool'"),
    ):
        convert(exact, tmp_path / "out", to="int8")


def test_a_damaged_source_is_refused(exact: Path, tmp_path: Path) -> None:
    path = exact / POOL / "adam/gradient/c/1/0"
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptError, match="adam/gradient/c/1/0 does not match its checksum"):
        convert(exact, tmp_path / "out", to="int8")


def test_a_chunk_that_would_be_too_large_is_refused(
    exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(exact, tmp_path / "s", to="sign")
    monkeypatch.setattr("gradstore.store.settings.LARGEST_CHUNK", 255)
    with pytest.raises(UsageError, match="a chunk at most 1 GiB"):
        convert(tmp_path / "s", tmp_path / "out", to="exact")
    assert not (tmp_path / "out").exists()


def test_adapters_are_taken_along_and_graphs_are_not(exact: Path, tmp_path: Path) -> None:
    store = open_store(exact)
    embed_adapter(store, "step-1", {"adapter_config.json": b"{}"})
    write_artefact(store, "graphs", "default", arrays={}, strings={}, attributes={})
    heard: list[str] = []
    convert(exact, tmp_path / "out", to="sign", log=heard.append)
    assert heard == [f"{exact}: not converted, build them anew: graphs/default"]
    out = open_store(tmp_path / "out")
    assert out.graphs == ()
    assert carries_adapter(out, "step-1")
    assert (unpack_adapter(out, "step-1", tmp_path) / "adapter_config.json").read_bytes() == b"{}"
