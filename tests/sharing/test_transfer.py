"""Push and pull: what arrives is what was there, all of it or nothing, and never over something else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gradstore.errors import (
    CorruptError,
    GradstoreError,
    IncompatibleError,
    IncompleteError,
    StoreNotFoundError,
    UsageError,
)
from gradstore.graph import build_graph
from gradstore.inspection import verify
from gradstore.sharing import pull, push, write_card
from gradstore.sharing.arrival import arriving
from gradstore.sharing.sending import Sender
from gradstore.sharing.shipment import shipment
from gradstore.storage import LocalFolder
from gradstore.store import new_store, open_store
from gradstore.store.layout import COMING
from gradstore.store.manifest import Manifest, read_manifest
from tests.files import contents

POOL = "checkpoints/step-1/pool"


def test_all_of_a_store_arrives_as_it_was(full: Path, tmp_path: Path) -> None:
    before = contents(full)
    there, back = tmp_path / "there", tmp_path / "back"
    report = push(full, there)
    assert contents(there) == before == contents(full)
    assert verify(there) == []
    assert (report.files, report.bytes) == (report.files_missing, report.bytes_missing)
    assert [each["name"] for each in report.datasets] == ["goal", "pool"]
    assert report.artefacts == ["graphs/default"]
    pull(there, back)
    assert contents(back) == before
    again = push(full, there)
    assert (again.files_missing, again.bytes_sent, again.artefacts) == (0, 0, [])
    assert not any(each["new"] for each in again.datasets)
    assert contents(there) == before


def test_a_bucket_takes_and_gives_what_a_folder_does(full: Path, bucket: str, tmp_path: Path) -> None:
    report = push(full, bucket)
    assert report.bytes_missing == report.bytes
    assert verify(bucket) == []
    assert open_store(bucket).dataset("pool").digest_of("adam") == open_store(full).dataset("pool").digest_of(
        "adam"
    )
    pull(bucket, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(full)
    assert push(full, bucket).bytes_sent == 0


def test_parts_are_chosen_by_name_and_complete_each_other(full: Path, tmp_path: Path) -> None:
    there, heard = tmp_path / "there", []
    push(full, there, datasets=["pool"], directions=["sgd"], log=heard.append)
    assert heard == [
        "left out: graphs/default was made from rows that do not come with it (step-1/goal, step-1/pool)"
    ]
    assert verify(there) == []
    store = open_store(there)
    assert (store.datasets(), store.dataset("pool").directions, store.graphs) == (("pool",), ("sgd",), ())
    assert COMING not in "".join(contents(there))
    push(full, there, checkpoints=["step-1"])
    assert contents(there) == contents(full)


def test_graphs_stay_behind_if_asked(full: Path, tmp_path: Path) -> None:
    push(full, tmp_path / "there", artefacts=False)
    assert open_store(tmp_path / "there").graphs == ()
    assert verify(tmp_path / "there") == []


def test_what_is_not_finished_stays_behind(store: Path, tmp_path: Path, make: SimpleNamespace) -> None:
    make.write_some(store, [1], name="begun")
    make.write_some(store, [1], directions=("rds",))
    report = push(store, tmp_path / "there")
    assert report.left_out == [
        "left out: step-1/begun is not finished",
        "left out: direction rds of step-1/pool is not finished",
    ]
    assert verify(tmp_path / "there") == []


def test_an_overlay_arrives_as_a_store_of_its_own(full: Path, tmp_path: Path, make: SimpleNamespace) -> None:
    mine = tmp_path / "mine"
    new_store(mine, on=full)
    make.write(mine, name="own", directions=("sgd",), rows=2, attributes={"target": True})
    build_graph(mine, neighbours=2, name="mine")
    push(mine, tmp_path / "there")
    there = open_store(tmp_path / "there")
    assert (there.base, there.datasets(), there.graphs) == (
        None,
        ("goal", "own", "pool"),
        ("default", "mine"),
    )
    assert verify(tmp_path / "there") == []
    report = push(mine, full)  # to the base itself: only what is new
    assert [each["name"] for each in report.datasets if each["new"]] == ["own"]
    assert report.artefacts == ["graphs/mine"]


def test_a_dry_run_writes_nothing(full: Path, tmp_path: Path) -> None:
    report = push(full, tmp_path / "there", dry_run=True)
    assert not (tmp_path / "there").exists()
    assert (report.bytes_sent, report.bytes_missing) == (0, report.bytes)
    assert report.folders[0] == ("checkpoints/step-1/goal/columns", 11)
    push(full, tmp_path / "there")
    assert push(full, tmp_path / "there", dry_run=True).files_missing == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"identity": {"base_digest": "c" * 32}}, "base: bbbbbbbbbbbb, not cccccccccccc"),
        ({"content_digest": "d" * 32}, "content_digest is d.* there, c.* here"),
        ({"rows": 9}, "rows is 9 there, 10 here"),
        ({"encoding": "half"}, "adam: encoding is half there, int8 here"),
        ({"seed": 1}, "digest is .* there, .* here"),
    ],
)
def test_something_else_of_that_name_is_never_touched(
    changes: dict[str, Any], told: str, store: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    if "identity" in changes:
        changes = {"identity": make.identity(**changes["identity"])}
    there = tmp_path / "there"
    make.write(there, **changes)
    before = contents(there)
    make.write(store, name="more")
    with pytest.raises(IncompatibleError, match=told):
        push(store, there)
    assert contents(there) == before


def test_another_graph_of_that_name_is_never_touched(full: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    push(full, there)
    build_graph(there, neighbours=2, seed=7)
    before = contents(there)
    with pytest.raises(IncompatibleError, match=r"graphs/default of .* is another one"):
        push(full, there)
    assert contents(there) == before
    push(full, there, artefacts=False)


def test_what_is_being_made_there_is_never_touched(
    store: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    make.write_some(tmp_path / "there", [1])
    before = contents(tmp_path / "there")
    with pytest.raises(IncompleteError, match=r"'pool' of 'step-1' of .*there is not finished"):
        push(store, tmp_path / "there")
    assert contents(tmp_path / "there") == before


@pytest.mark.parametrize("name", ["gradient/c/1/0", "norm/c/0", "zarr.json"])
def test_a_damaged_object_is_not_sent(name: str, store: Path, tmp_path: Path) -> None:
    place = store / POOL / "adam" / name
    data = bytearray(place.read_bytes())
    data[-1] ^= 1
    place.write_bytes(data)
    with pytest.raises(CorruptError, match=r"does not match its checksum|no valid JSON"):
        push(store, tmp_path / "there")
    for each in ("manifest.json", f"adam/{name}", "adam/manifest.json"):
        assert not (tmp_path / "there" / POOL / each).exists()


@pytest.mark.parametrize(
    "name", ["../../evil", "/evil", ".lock", "a//b", "sub/manifest.json", "a\\b", "x\ny"]
)
def test_a_manifest_cannot_send_objects_elsewhere(name: str, store: Path, tmp_path: Path) -> None:
    folder = LocalFolder(store / POOL / "adam")
    manifest = read_manifest(folder)
    assert manifest is not None
    entries = {**manifest.objects, name: next(iter(manifest.objects.values()))}
    (store / POOL / "adam/manifest.json").write_bytes(Manifest(entries, manifest.facts).to_bytes())
    with pytest.raises(CorruptError):
        pull(store, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_objects_of_another_push_are_not_taken_for_ours(
    store: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    """A push is killed, and one of other rows of the same size follows: sizes alone would deceive it."""
    there, other = tmp_path / "there", tmp_path / "other"
    make.write(other, seed=1)
    write_card(open_store(store))
    push(other, there)
    for name in ("manifest.json", "zarr.json"):
        (there / POOL / name).unlink()
        for direction in ("adam", "sgd"):
            (there / POOL / direction / name).unlink(missing_ok=True)
    for place, folder in (
        ("", other / POOL),
        ("adam/", other / POOL / "adam"),
        ("sgd/", other / POOL / "sgd"),
    ):
        manifest = read_manifest(LocalFolder(folder))
        assert manifest is not None
        (there / POOL / place / COMING).write_text(manifest.digest)
    push(store, there)
    assert contents(there) == contents(store)


def test_what_came_in_the_meantime_is_left_alone(store: Path, tmp_path: Path, make: SimpleNamespace) -> None:
    """Between looking and locking another may have sent the same, or something else."""
    there = tmp_path / "there"
    source = open_store(store)
    goods = shipment(source, checkpoints=None, datasets=None, directions=None, artefacts=True, log=print)
    push(store, there, artefacts=False)
    before = contents(there)

    def send(where: Path) -> int:
        return Sender(open_store(where), lambda *_: _Bar()).send(arriving(goods, None, print), "x")

    assert send(there) == 0
    assert contents(there) == before
    make.write(tmp_path / "else", seed=1)
    before = contents(tmp_path / "else")
    with pytest.raises(IncompatibleError, match="written by another process meanwhile"):
        send(tmp_path / "else")
    assert contents(tmp_path / "else") == before


class _Bar:
    def update(self, count: int) -> None: ...
    def estimate(self, total: int, note: str = "") -> None: ...
    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None: ...


def test_the_bar_reaches_its_end(full: Path, tmp_path: Path) -> None:
    counted: list[int] = []
    totals: list[int] = []

    class Bar(_Bar):
        def update(self, count: int) -> None:
            counted.append(count)

    def progress(total: int, unit: str, label: str) -> Bar:
        totals.append(total)
        assert unit == "bytes"
        return Bar()

    push(full, tmp_path / "there", progress=progress)
    assert sum(counted) == totals[0] > 0


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"datasets": ["poool"]}, StoreNotFoundError, "did you mean 'pool'"),
        ({"checkpoints": ["step-2"]}, StoreNotFoundError, "unknown checkpoint 'step-2'"),
        ({"directions": ["rds"]}, UsageError, "has nothing finished that was asked for"),
    ],
)
def test_nothing_to_copy_is_an_error(
    arguments: dict[str, Any], error: type[Exception], told: str, store: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=told):
        push(store, tmp_path / "there", **arguments)
    assert not (tmp_path / "there").exists()


def test_places_that_cannot_be_are_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be copied to itself"):
        push(store, store)
    with pytest.raises(UsageError, match="is not on this machine"):
        pull(store, "s3://bucket/there")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    with pytest.raises(UsageError, match="is no gradstore store"):
        push(store, tmp_path / "full")


def test_a_graph_with_a_missing_object_is_not_readable_there(full: Path, tmp_path: Path) -> None:
    (full / "graphs/default/cosines/c/0/0").unlink()
    with pytest.raises(CorruptError, match="graphs/default/cosines/c/0/0 is missing"):
        push(full, tmp_path / "there")
    there = open_store(tmp_path / "there")
    assert (there.datasets(), there.graphs) == (("goal", "pool"), ())


def test_a_dry_run_needs_no_answer_from_the_destination(
    store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def dead(_: object) -> None:
        raise GradstoreError("cannot read hf://datasets/team/grads/zarr.json: no answer")

    monkeypatch.setattr("gradstore.sharing.transfer.existing_store", dead)
    heard: list[str] = []
    report = push(store, tmp_path / "there", dry_run=True, log=heard.append)
    assert report.files_missing == report.files > 0
    assert heard == [
        "cannot read hf://datasets/team/grads/zarr.json: no answer; what follows is as if nothing were there"
    ]
    with pytest.raises(GradstoreError, match="no answer"):
        push(store, tmp_path / "there")
