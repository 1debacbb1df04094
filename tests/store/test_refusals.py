"""What a reader refuses: damage, foreign documents, ways out of the store. Never zeros, never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradstore.errors import (
    CorruptError,
    GradstoreError,
    IncompatibleError,
    StoreNotFoundError,
    UsageError,
)
from gradstore.storage import LocalFolder
from gradstore.store import create_store, open_store, read_artefact, write_artefact
from gradstore.store.manifest import read_manifest

POOL = "checkpoints/step-1/pool"


def use(path: Path, *, verified: bool = False) -> None:
    """Touch everything a reader offers."""
    dataset = open_store(path, verified=verified).dataset("pool")
    for direction in dataset.directions:
        list(dataset.blocks(direction))
        dataset.norms(direction)
    dataset.records(range(len(dataset)))
    for column in (
        "ids",
        "sources",
        "subtasks",
        "reasons",
        "loss",
        "tokens",
        "valid",
        "truncated",
        "contents",
    ):
        getattr(dataset, column)


def resign(make: SimpleNamespace, store: Path) -> None:
    """Make all manifests of the data set agree with its objects and with each other."""
    make.resign(store / POOL)
    for direction in ("adam", "sgd"):
        make.resign(store / POOL / direction, dataset=read_manifest(LocalFolder(store / POOL)).digest)


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def test_a_path_that_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="there is no gradstore store at"):
        open_store(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreNotFoundError):
        open_store(tmp_path / "file")
    (tmp_path / "zarr.json").write_text('{"zarr_format":3,"node_type":"group","attributes":{}}')
    with pytest.raises(StoreNotFoundError, match="is a Zarr group but no gradstore store"):
        open_store(tmp_path)


def test_a_newer_format_says_what_to_upgrade(store: Path, make: SimpleNamespace) -> None:
    manifest = store / POOL / "manifest.json"
    edit(manifest, lambda document: document.update(format=2))
    with pytest.raises(IncompatibleError, match=r"manifest.json is of format 2, .* upgrade gradstore"):
        use(store)
    edit(store / "zarr.json", lambda document: document["attributes"]["gradstore"].update(format=2))
    with pytest.raises(
        IncompatibleError, match=r"of format 2, this gradstore reads format 1: upgrade gradstore"
    ):
        open_store(store)
    with pytest.raises(IncompatibleError, match="upgrade gradstore"):
        make.write(store)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000, b'{"zarr_format": 3}']
)
@pytest.mark.parametrize(
    "name",
    [
        "zarr.json",
        "checkpoints/step-1/zarr.json",
        f"{POOL}/zarr.json",
        f"{POOL}/manifest.json",
        f"{POOL}/adam/zarr.json",
        f"{POOL}/adam/manifest.json",
    ],
)
def test_broken_json_is_corruption_not_a_traceback(name: str, content: bytes, store: Path) -> None:
    (store / name).write_bytes(content)
    with pytest.raises((CorruptError, IncompatibleError), match=r"zarr\.json|manifest\.json"):
        use(store)
    if name != "zarr.json":
        assert "damaged" in repr(open_store(store))


@pytest.mark.parametrize("verified", [False, True])
@pytest.mark.parametrize("damage", ["missing", "short", "long", "empty", "folder"])
@pytest.mark.parametrize(
    "name", ["adam/gradient/c/1/0", "sgd/scale/c/0", "columns/id/data/c/0", "zarr.json", "sgd/zarr.json"]
)
def test_a_missing_or_resized_object_is_corruption_that_names_it(
    name: str, damage: str, verified: bool, store: Path
) -> None:
    path = store / POOL / name
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes({"short": data[:-1], "long": data + b"\0", "empty": b""}[damage])
    with pytest.raises(GradstoreError, match=name) as caught:
        use(store, verified=verified)
    assert damage == "folder" or isinstance(caught.value, CorruptError)


def test_a_flipped_bit_is_found_on_reading(store: Path) -> None:
    """In everything but the mapped gradients; there `verified` finds it, and `verify`."""
    path = store / POOL / "adam/gradient/c/0/0"
    data = bytearray(path.read_bytes())
    data[7] ^= 4
    path.write_bytes(data)
    use(store)
    with pytest.raises(CorruptError, match="adam/gradient/c/0/0 does not match its checksum"):
        use(store, verified=True)


def test_the_crc_catches_what_a_forged_manifest_hides(store: Path, make: SimpleNamespace) -> None:
    path = store / POOL / "columns/loss/c/0"
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    resign(make, store)
    with pytest.raises(CorruptError, match="columns/loss/c/0 cannot be decoded"):
        use(store)


def codecs(*names: str) -> Callable[[dict[str, Any]], Any]:
    return lambda document: document.update(codecs=[{"name": name} for name in names])


@pytest.mark.parametrize(
    ("name", "change", "error"),
    [
        ("adam/gradient", codecs("bytes", "evil.pickle"), IncompatibleError),
        ("adam/gradient", codecs("sharding_indexed"), IncompatibleError),
        ("columns/id/data", codecs("bytes", "gzip", "crc32c"), IncompatibleError),
        ("adam/gradient", lambda d: d.update(shape=[10**15, 16]), CorruptError),
        ("adam/gradient", lambda d: d.update(shape=[11, 16]), CorruptError),
        ("adam/gradient", lambda d: d.update(shape=[10, "16"]), IncompatibleError),
        ("adam/gradient", lambda d: d.update(data_type="float32"), (CorruptError, IncompatibleError)),
        ("adam/gradient", lambda d: d.update(data_type={"name": "numpy.datetime64"}), IncompatibleError),
        ("adam/gradient", lambda d: d.update(fill_value=7), IncompatibleError),
        ("adam/gradient", lambda d: d.update(storage_transformers=[{"name": "x"}]), IncompatibleError),
        ("adam/gradient", lambda d: d.pop("codecs"), CorruptError),
        (
            "adam/gradient",
            lambda d: d["chunk_grid"]["configuration"].update(chunk_shape=[0, 16]),
            IncompatibleError,
        ),
        ("columns/loss", lambda d: d.update(shape=[10**12]), CorruptError),
        ("columns/id/data", lambda d: d.update(shape=[10**18]), CorruptError),
        ("columns/id/offsets", lambda d: d.update(shape=[10**18]), CorruptError),
        ("columns/id/offsets", lambda d: d.update(shape=[10]), CorruptError),
        (
            "columns/record/data",
            lambda d: d["chunk_grid"]["configuration"].update(chunk_shape=[10**12]),
            (CorruptError, IncompatibleError),
        ),
    ],
)
def test_array_documents_that_format_1_does_not_have_are_refused_before_decoding(
    name: str,
    change: Callable[[dict[str, Any]], Any],
    error: type[Exception],
    store: Path,
    make: SimpleNamespace,
) -> None:
    edit(store / POOL / name / "zarr.json", change)
    resign(make, store)
    with pytest.raises(error, match=r"zarr\.json"):
        use(store)


def test_a_foreign_codec_is_named(store: Path, make: SimpleNamespace) -> None:
    edit(store / POOL / "adam/gradient/zarr.json", codecs("bytes", "evil.pickle"))
    resign(make, store)
    with pytest.raises(IncompatibleError, match=r"uses the codecs bytes, evil\.pickle; format 1 has only"):
        use(store)


def test_a_changed_fact_of_the_manifest_is_found(store: Path) -> None:
    for name, change in (
        ("manifest.json", {"valid": 10}),
        ("manifest.json", {"checkpoint": "x"}),
        ("manifest.json", {"more": 1}),
        ("manifest.json", {"digest": "0" * 32}),
        ("adam/manifest.json", {"fidelity": {}}),
        ("adam/manifest.json", {"dataset": "x"}),
    ):
        path = store / POOL / name
        data = path.read_bytes()
        edit(path, lambda document, change=change: document.update(change))
        with pytest.raises(CorruptError, match="does not match its own digest"):
            use(store)
        path.write_bytes(data)
    use(store)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 10**15},
        {"rows": 11},
        {"rows": -1},
        {"rows": "10"},
        {"chunk_rows": 0},
        {"chunk_rows": 5},
        {"chunk_rows": 11},
        {"attributes": []},
    ],
)
def test_a_data_set_that_contradicts_its_objects_is_refused(
    change: dict[str, Any], store: Path, make: SimpleNamespace
) -> None:
    contradict("zarr.json", change, store, make)


@pytest.mark.parametrize(
    "change",
    [
        {"dim": 17},
        {"dim": 10**15},
        {"dim": "16"},
        {"dim": 0},
        {"encoding": "zip"},
        {"encoding": "half"},
        {"encoding": ["int8"]},
    ],
)
def test_a_direction_that_contradicts_its_objects_is_refused(
    change: dict[str, Any], store: Path, make: SimpleNamespace
) -> None:
    contradict("adam/zarr.json", change, store, make)


def contradict(name: str, change: dict[str, Any], store: Path, make: SimpleNamespace) -> None:
    edit(store / POOL / name, lambda document: document["attributes"]["gradstore"].update(change))
    resign(make, store)
    with pytest.raises((CorruptError, IncompatibleError)):
        use(store)


def test_unknown_attributes_of_later_versions_are_tolerated(store: Path, make: SimpleNamespace) -> None:
    def add(document: dict[str, Any]) -> None:
        document["attributes"]["gradstore"]["licence"] = "CC-BY"
        document["attributes"]["someone"] = {"else": 1}

    for name in ("zarr.json", "checkpoints/step-1/zarr.json", f"{POOL}/zarr.json", f"{POOL}/adam/zarr.json"):
        edit(store / name, add)
    resign(make, store)
    use(store)
    assert "damaged" not in repr(open_store(store))


def test_offsets_that_leave_their_strings_are_refused(store: Path, make: SimpleNamespace) -> None:
    for number, document in (("subtask", "offsets"), ("source", "data")):
        a, b = (store / POOL / f"columns/{name}/{document}" for name in (number, "id"))
        for each in ("zarr.json", "c/0"):
            (a / each).write_bytes((b / each).read_bytes())
    resign(make, store)
    dataset = open_store(store).dataset("pool")
    with pytest.raises(CorruptError, match=r"columns/subtask/offsets/zarr\.json does not fit its strings"):
        _ = dataset.subtasks
    with pytest.raises(CorruptError, match=r"columns/source/offsets/zarr\.json does not fit its strings"):
        _ = dataset.sources


def test_a_data_set_moved_to_another_checkpoint_is_refused(store: Path, make: SimpleNamespace) -> None:
    make.write(store, checkpoint="step-2", identity=make.identity(adapter_digest="z" * 32), name="other")
    (store / POOL).rename(store / "checkpoints/step-2/pool")
    with pytest.raises(IncompatibleError, match="was not made with checkpoint 'step-2'"):
        use(store)


def test_a_direction_of_other_rows_is_refused(store: Path, make: SimpleNamespace) -> None:
    make.write(store, name="other", content_digest="d" * 32)
    for direction in ("adam", "sgd"):
        (store / POOL / direction).rename(store / "gone")
        (store / POOL.replace("pool", "other") / direction).rename(store / POOL / direction)
        (store / "gone").rename(store / POOL.replace("pool", "other") / direction)
    with pytest.raises(IncompatibleError, match=r"direction 'adam' in .* was made for other rows"):
        use(store)


@pytest.mark.parametrize("name", ["columns", "adam"])
def test_a_manifest_that_is_gone_is_told(name: str, store: Path, make: SimpleNamespace) -> None:
    """A direction without one is unfinished, and is seen as such; the data set may not lose its own."""
    (store / POOL / ("manifest.json" if name == "columns" else f"{name}/manifest.json")).unlink()
    if name == "adam":
        assert open_store(store).dataset("pool").directions == ("sgd",)
        return
    message = r"pool/manifest.json is gone, though direction 'adam' is finished: restore it"
    with pytest.raises(CorruptError, match=message):
        use(store)
    with pytest.raises(CorruptError, match=message):
        make.write(store)
    assert "is gone" in repr(open_store(store))


@pytest.mark.parametrize(
    "name", [POOL, "checkpoints/step-1", f"{POOL}/adam/gradient/c/0/0", f"{POOL}/zarr.json"]
)
def test_links_out_of_the_store_are_refused(name: str, store: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (store / name).rename(outside)
    (store / name).symlink_to(outside)
    with pytest.raises(CorruptError, match="leads out of the store"):
        use(store)


def test_links_that_go_in_a_circle_are_refused(store: Path) -> None:
    path = store / POOL / "zarr.json"
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(CorruptError, match="is a link that goes in a circle"):
        use(store)


def test_a_store_reached_through_a_link_is_read(store: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(store)
    use(tmp_path / "link")


def test_names_that_lead_out_are_unknown(store: Path) -> None:
    opened = open_store(store)
    for name in ("../pool", "..", "", "/etc", "pool/../pool"):
        with pytest.raises(StoreNotFoundError):
            opened.dataset(name, "step-1")
        with pytest.raises(StoreNotFoundError):
            opened.identity(name)
        with pytest.raises(StoreNotFoundError):
            read_artefact(opened, "graphs", name)
        with pytest.raises(UsageError):
            write_artefact(opened, "graphs", name, arrays={}, strings={}, attributes={})
        with pytest.raises(UsageError):
            write_artefact(opened, "graphs", "x", arrays={name: np.zeros(1)}, strings={}, attributes={})


def test_objects_that_a_manifest_names_outside_are_refused(store: Path, make: SimpleNamespace) -> None:
    from gradstore.inspection import verify
    from gradstore.store.manifest import Entry, Manifest

    (store.parent / "secret").write_bytes(b"secret")
    manifest = read_manifest(LocalFolder(store / POOL))
    assert manifest is not None
    entries = {**manifest.objects, "../../../../secret": Entry.of(b"secret")}
    (store / POOL / "manifest.json").write_bytes(Manifest(entries, manifest.facts).to_bytes())
    assert any("leads out of the store" in str(problem) for problem in verify(store))


def test_create_store_keeps_what_is_there(store: Path, make: SimpleNamespace) -> None:
    before = make.objects(store)
    assert create_store(store).datasets() == ("pool",)
    assert make.objects(store) == before
