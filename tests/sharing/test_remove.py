"""Removing: only what was named, its manifests first, and nothing that others need."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gradstore.errors import (
    IncompatibleError,
    IncompleteError,
    StoreNotFoundError,
    StoreWriteError,
    UsageError,
)
from gradstore.graph import build_graph
from gradstore.inspection import verify
from gradstore.sharing import push, remove
from gradstore.storage import LocalFolder
from gradstore.store import embed_adapter, new_store, open_store, write_artefact
from tests.files import contents

POOL = "checkpoints/step-1/pool"


@pytest.fixture
def full(store: Path, make: SimpleNamespace) -> Path:
    """A store with two data sets and one that continues the first, an adapter and a graph of two of them."""
    make.write(store, name="goal", directions=("sgd",), rows=3, attributes={"target": True})
    make.write(store, name="pool.2", rows=4, attributes={"target": False, "continues": "pool"})
    make.write(store, name="spare", rows=4)
    embed_adapter(open_store(store), "step-1", {"adapter_config.json": b"{}"})
    build_graph(store, train=["pool"], targets=["goal"], neighbours=2)
    return store


@pytest.mark.parametrize(
    ("what", "place"),
    [
        ("step-1/spare", "checkpoints/step-1/spare"),
        ("checkpoints/step-1/spare/", "checkpoints/step-1/spare"),
        ("step-1/spare/adam", "checkpoints/step-1/spare/adam"),
        ("step-1/pool/sgd", f"{POOL}/sgd"),
        ("graphs/default", "graphs/default"),
    ],
)
def test_what_is_named_is_gone_and_nothing_else(what: str, place: str, full: Path) -> None:
    before = contents(full)
    gone = {name for name in before if name.startswith(f"{place}/")}
    plan = remove(open_store(full), what, dry_run=True)
    assert contents(full) == before
    done = remove(open_store(full), what)
    assert done == plan
    assert (done.files, done.bytes) == (len(gone), sum(len(before[name]) for name in gone))
    after = contents(full)
    assert before.keys() - after.keys() == gone
    assert {name for name in after if after[name] != before[name]} == {"README.md", "index.json"}
    assert verify(full) == []
    with pytest.raises(StoreNotFoundError):
        remove(open_store(full), what)


def test_what_others_were_made_from_stays_unless_forced(full: Path) -> None:
    before = contents(full)
    with pytest.raises(
        IncompatibleError, match=r"step-1/pool of .* is used by graphs/default, step-1/pool\.2: "
    ):
        remove(open_store(full), "step-1/pool")
    with pytest.raises(IncompatibleError, match=r"step-1/pool/adam of .* is used by graphs/default: "):
        remove(open_store(full), "step-1/pool/adam")
    with pytest.raises(IncompatibleError, match=r"step-1 of .* is used by graphs/default: "):
        remove(open_store(full), "step-1")
    assert contents(full) == before
    assert remove(open_store(full), "step-1/pool", force=True).dependents == [
        "graphs/default",
        "step-1/pool.2",
    ]
    assert open_store(full).datasets() == ("goal", "pool.2", "spare")


def test_a_whole_checkpoint_goes_with_its_adapter(full: Path) -> None:
    remove(open_store(full), "graphs/default")
    remove(open_store(full), "step-1")
    assert open_store(full).checkpoints == ()
    assert not (full / "checkpoints/step-1").exists()
    assert verify(full) == []


def test_what_is_not_finished_can_be_removed(store: Path, make: SimpleNamespace) -> None:
    make.write_some(store, [1], name="begun")
    make.write_some(store, [1], directions=("rds",))
    remove(open_store(store), "step-1/begun")
    remove(open_store(store), "step-1/pool/rds")
    assert verify(store) == []
    assert make.objects(store).keys() == contents(store).keys() - {"README.md", "index.json"}


def test_what_comes_back_is_what_was_there(full: Path, make: SimpleNamespace) -> None:
    before = contents(full)
    remove(open_store(full), "step-1/spare")
    make.write(full, name="spare", rows=4)
    remove(open_store(full), "graphs/default")
    build_graph(full, train=["pool"], targets=["goal"], neighbours=2)
    assert contents(full) == before


@pytest.mark.parametrize(
    ("what", "error", "told"),
    [
        ("step-1/poool", StoreNotFoundError, "did you mean 'pool'"),
        ("step-2", StoreNotFoundError, "unknown checkpoint 'step-2'"),
        ("graphs/x", StoreNotFoundError, "unknown graph 'x'"),
        ("step-1/pool/rds", StoreNotFoundError, "unknown direction 'rds'"),
        ("step-1/goal/sgd", UsageError, "sgd is the only direction of step-1/goal: remove step-1/goal"),
        ("step-1/pool/adam/gradient", UsageError, "names nothing that can be removed"),
        ("step-1/../x", UsageError, "names nothing that can be removed"),
        ("step-1/pool/columns", UsageError, "names nothing that can be removed"),
        ("", UsageError, "names nothing that can be removed"),
        (".", UsageError, "names nothing that can be removed"),
    ],
)
def test_other_names_are_refused(what: str, error: type[Exception], told: str, full: Path) -> None:
    before = contents(full)
    with pytest.raises(error, match=told):
        remove(open_store(full), what)
    assert contents(full) == before


def test_the_base_of_an_overlay_is_never_touched(full: Path, tmp_path: Path, make: SimpleNamespace) -> None:
    before = contents(full)
    mine = new_store(tmp_path / "mine", on=full)
    make.write(tmp_path / "mine", name="own")
    for what in ("step-1/pool", "graphs/default", "step-1/pool/adam"):
        with pytest.raises(UsageError, match=r"on which .*mine lies: remove it there"):
            remove(mine, what)
    remove(mine, "step-1/own")
    assert contents(full) == before
    assert mine.datasets() == ("goal", "pool", "pool.2", "spare")


@pytest.mark.parametrize("name", [".lock", ".1.lock"])
def test_what_another_process_writes_is_refused(name: str, store: Path) -> None:
    before = contents(store)
    with LocalFolder(store / POOL).lock(name), pytest.raises(StoreWriteError, match="wait for it to end"):
        remove(open_store(store), "step-1/pool")
    assert contents(store) == before


@pytest.mark.parametrize("what", ["step-1", "step-1/pool", "step-1/pool/adam", "graphs/g"])
def test_stopped_at_any_moment_nothing_is_readable_by_half_and_a_rerun_completes(
    what: str, store: Path, monkeypatch: pytest.MonkeyPatch, make: SimpleNamespace
) -> None:
    write_artefact(open_store(store), "graphs", "g", arrays={}, strings={"ids": ["a"]}, attributes={})
    own: Any = LocalFolder.delete
    moments = 0
    for stop in range(1, 100):
        with monkeypatch.context() as patch:
            calls = iter(range(1, 10**6))

            def delete(folder: LocalFolder, name: str, calls: Any = calls, stop: int = stop) -> None:
                if next(calls) == stop:
                    raise KeyboardInterrupt
                own(folder, name)

            patch.setattr(LocalFolder, "delete", delete)
            try:
                remove(open_store(store), what)
                break
            except KeyboardInterrupt:
                moments += 1
        opened = open_store(store)
        if "pool" in opened.datasets():
            try:
                dataset = opened.dataset("pool")
                assert all(len(dataset.read(each, 0, 10)) == 10 for each in dataset.directions)
            except IncompleteError:
                pass
    assert moments > 2
    with pytest.raises(StoreNotFoundError):
        remove(open_store(store), what)


def test_a_bucket_forgets_too(full: Path, bucket: str) -> None:
    push(full, bucket)
    remove(open_store(bucket), "graphs/default")
    remove(open_store(bucket), "step-1/spare")
    opened = open_store(bucket)
    assert (opened.datasets(), opened.graphs) == (("goal", "pool", "pool.2"), ())
    assert verify(bucket) == []
