"""Whatever a store's documents and bytes say, reading it works or ends with one of gradstore's errors."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradstore.errors import GradstoreError
from gradstore.inspection import verify
from gradstore.records import canonical_json, digest
from tests.store.everything import Scratch, build, reseal, use

EXAMPLES = int(os.environ.get("GRADSTORE_FUZZ", "8"))
"""How many damaged stores are read by each test here."""
# The few of every run are always the same; many are others each time, or more runs would find nothing more.
fuzzed = settings(max_examples=EXAMPLES, derandomize="GRADSTORE_FUZZ" not in os.environ)

DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]

VALUES = [
    None, True, False, -1, 0, 1, 2, 1.5, -0.0, 1e300, 10**18, 2**63, 10**400, "", "x", "1", "../..", "/etc/passwd",
    "a\0b", "\ud800", "x" * 300, "c/0", [], {}, [1], ["../.."], [None], {"x": 1}, {"bytes": 1}, DEEP,
    float("nan"), float("inf"), "int8", "exact", "bool", "zarr.json",
]  # fmt: skip


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Scratch:
    folder = tmp_path_factory.mktemp("fuzz")
    return Scratch(build(folder / "s", make, ("int8",)), folder / "copy")


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    found = []
    nested = [value]
    while nested:
        each = nested.pop()
        keys = list(each) if isinstance(each, dict) else range(len(each))
        found += [(each, key) for key in keys]
        nested += [each[key] for key in keys if isinstance(each[key], dict | list)]
    return found


def survives(path: Path, verified: bool) -> None:
    for action in (lambda: use(path, verified=verified), lambda: verify(path)):
        try:
            action()
        except GradstoreError:
            continue


NAMES = ["", "../x", "a/../../b", "\0", "é", "x" * 2000, "/x", "b\\c"]


def mutate(data: st.DataObject, document: dict[str, Any]) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        found = places(document)
        if not found:
            return
        container, key = found[data.draw(st.integers(0, len(found) - 1))]
        action = data.draw(st.sampled_from(["replace", "replace", "delete", "rename", "copy"]))
        if action == "replace":
            container[key] = deepcopy(VALUES[data.draw(st.integers(0, len(VALUES) - 1))])
        elif action == "delete":
            del container[key]
        elif action == "copy":
            other, place = found[data.draw(st.integers(0, len(found) - 1))]
            container[key] = deepcopy(other[place])
        elif isinstance(container, dict):
            container[data.draw(st.sampled_from(NAMES))] = container.pop(key)


def written(document: Any) -> bytes:
    try:
        return json.dumps(document).encode()
    except (ValueError, RecursionError):
        return b"[" * 100_000


@fuzzed
@given(st.data())
def test_documents_that_say_anything_are_read_or_refused(scratch: Scratch, data: st.DataObject) -> None:
    """Manifests are made to agree with what was changed, so that no checksum stops a reader."""
    name = data.draw(
        st.sampled_from([each for each in sorted(scratch.objects) if each.endswith(".json")]),
        label="document",
    )
    document = json.loads(scratch.objects[name])
    mutate(data, document)
    ours = document.get("attributes", {}) if isinstance(document, dict) else {}
    ours = ours.get("gradstore", {}) if isinstance(ours, dict) else {}
    if isinstance(ours, dict) and isinstance(ours.get("identity"), dict) and data.draw(st.booleans()):
        with suppress(ValueError, RecursionError):
            ours["digest"] = digest(canonical_json(ours["identity"]))
    try:
        (scratch.path / name).write_bytes(written(document))
        if data.draw(st.integers(0, 4)):
            with suppress(ValueError, RecursionError, OSError):
                reseal(scratch.path)
        survives(scratch.path, data.draw(st.booleans()))
    finally:
        scratch.restore()


@fuzzed
@given(st.data())
def test_bytes_of_any_kind_are_read_or_refused(scratch: Scratch, data: st.DataObject) -> None:
    """Chunks and parts: bits flipped, bytes cut, put in and moved, with checksums that agree afterwards."""
    name = data.draw(
        st.sampled_from([each for each in sorted(scratch.objects) if not each.endswith(".json")]),
        label="object",
    )
    body = bytearray(scratch.objects[name])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, max(0, len(body) - 1)))
        action = data.draw(st.sampled_from(["flip", "cut", "insert", "other"]))
        if action == "flip" and body:
            body[place] ^= 1 << data.draw(st.integers(0, 7))
        elif action == "cut":
            del body[place : place + data.draw(st.integers(1, 40))]
        elif action == "insert":
            body[place:place] = data.draw(st.binary(min_size=1, max_size=20))
        elif action == "other":
            body = bytearray(scratch.objects[data.draw(st.sampled_from(sorted(scratch.objects)))])
    if name.rpartition("/")[2].isdecimal() and data.draw(st.booleans()):
        body[-4:] = google_crc32c.value(bytes(body[:-4])).to_bytes(4, "little")
    try:
        (scratch.path / name).write_bytes(body)
        reseal(scratch.path)
        survives(scratch.path, data.draw(st.booleans()))
    finally:
        scratch.restore()
