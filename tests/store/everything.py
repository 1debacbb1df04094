"""A small store that has one of everything, ways to damage it, and a reader that touches all of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from gradstore.errors import GradstoreError, IncompleteError
from gradstore.graph import build_graph, load_graph
from gradstore.inspection import verify
from gradstore.records import canonical_json, digest
from gradstore.sharing import write_card
from gradstore.sharing.card import card_files
from gradstore.sharing.convert import convert
from gradstore.store import embed_adapter, open_store, read_artefact, write_artefact
from gradstore.store.encodings import ENCODINGS
from gradstore.store.manifest import Entry

SELECTION = {
    "picks": np.array([3, 0], np.int64),
    "ranks": np.array([1, -1, -1, 0], np.int32),
    "scores": np.array([0.5, np.nan, 0, 1], np.float32),
}


def build(path: Path, make: SimpleNamespace, encodings: Iterable[str] = tuple(ENCODINGS)) -> Path:
    """All encodings, compressed and not; strings; a graph, a selection, an adapter; an unfinished data set."""
    plain = path.with_name(f"{path.name}-plain")
    make.write(plain, name="zipped", directions={"sgd": 16})
    convert(plain, path, to="int4", compression="zstd")
    shutil.rmtree(plain)
    for kind in encodings:
        make.write(path, name=kind, directions={"sgd": 16}, encoding=kind)
    make.write(path, name="aim", rows=5, directions={"sgd": 16}, attributes={"target": True})
    make.write_some(path, [1], name="begun", directions={"sgd": 16})
    store = open_store(path)
    embed_adapter(store, "step-1", {"adapter_config.json": b'{"r": 4}', "tokenizer.json": b"{}"})
    build_graph(store, train=["int8"], targets=["aim"], neighbours=3)
    strings = {"ids": ["row-0", "row-1", "row-2", "row-3"]}
    write_artefact(
        store, "selections", "chosen", arrays=SELECTION, strings=strings, attributes={"selector": "x"}
    )
    write_card(open_store(path))
    return path


def use(path: Path, *, verified: bool = False) -> None:
    """Open, list, describe and read everything that a store offers."""
    store = open_store(path, verified=verified)
    repr(store)
    json.dumps(store.info())
    card_files(store)
    errors = []

    def attempt(action: Any) -> None:
        """One refusal must not hide what comes after it."""
        try:
            action()
        except IncompleteError:
            pass
        except GradstoreError as error:
            errors.append(error)

    for checkpoint in store.checkpoints:
        for name in store.datasets(checkpoint):
            attempt(lambda name=name, checkpoint=checkpoint: _use_dataset(store.dataset(name, checkpoint)))
    for name in store.graphs:
        attempt(lambda name=name: repr(load_graph(store, name)))
    for name in store.selections:
        attempt(lambda name=name: _use_artefact(read_artefact(store, "selections", name)))
    if errors:
        raise errors[0]


def use_owner(path: Path, name: str) -> None:
    """Open with checks and read what an object belongs to: a data set or an artefact, or else everything."""
    kind, *below = name.split("/")
    store = open_store(path, verified=True)
    if kind == "checkpoints" and len(below) > 2:
        _use_dataset(store.dataset(below[1], below[0]))
    elif kind == "graphs" and len(below) > 1:
        repr(load_graph(store, below[0]))
    elif kind == "selections" and len(below) > 1:
        _use_artefact(read_artefact(store, kind, below[0]))
    else:
        use(path, verified=True)


def _use_dataset(dataset: Any) -> None:
    repr(dataset)
    for column in (
        "ids", "sources", "subtasks", "reasons", "loss", "tokens", "valid", "truncated", "contents"
    ):  # fmt: skip
        assert len(getattr(dataset, column)) == len(dataset)
    if dataset.has_records:
        dataset.records([0, len(dataset) - 1])
    for direction in dataset.directions:
        for _, rows in dataset.blocks(direction):
            rows.sum()
        dataset.take(direction, [0])
        dataset.norms(direction)
        dataset.fidelity(direction)


def _use_artefact(artefact: Any) -> None:
    for values in (artefact.arrays, artefact.strings):
        for name in values:
            values[name]


def names(path: Path) -> list[str]:
    """Every file of a store."""
    return sorted(each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file())


def objects(path: Path) -> dict[str, bytes]:
    """Bytes of every file of a store."""
    return {name: (path / name).read_bytes() for name in names(path)}


def sign(document: dict[str, Any]) -> bytes:
    """A manifest with the digest that belongs to it."""
    body = {name: value for name, value in document.items() if name != "digest"}
    return canonical_json({**body, "digest": digest(canonical_json(body))})


def reseal(path: Path) -> None:
    """Make all manifests agree with what lies there and with each other: damage that checksums cannot show."""
    for name in sorted(names(path), key=lambda each: each.count("/")):  # data sets before their directions
        folder = (path / name).parent
        if not name.endswith("/manifest.json"):
            continue
        try:
            body = json.loads((path / name).read_bytes())
        except ValueError:
            continue
        if not isinstance(body, dict):
            continue
        if isinstance(body.get("objects"), dict):
            for each, entry in body["objects"].items():
                if isinstance(entry, dict) and "\0" not in each and (folder / each).is_file():
                    found = Entry.of((folder / each).read_bytes())
                    entry |= {"bytes": found.size, "sha256": found.sha256}
        above = folder.parent / "manifest.json"
        if isinstance(body.get("dataset"), str) and above.is_file():
            body["dataset"] = json.loads(above.read_bytes()).get("digest")
        (path / name).write_bytes(sign(body))


class Scratch:
    """A copy of a store that is damaged and made whole again."""

    def __init__(self, original: Path, path: Path) -> None:
        self.path = Path(shutil.copytree(original, path))
        self.objects = objects(path)

    def restore(self) -> None:
        """Undo every change."""
        there = names(self.path)
        for name in set(there) - set(self.objects):
            (self.path / name).unlink()
        for name, data in self.objects.items():
            file = self.path / name
            if not file.is_file() or file.read_bytes() != data:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)


def problems(path: Path) -> list[str]:
    """What `verify` says, or why the store cannot be opened."""
    try:
        return [str(problem) for problem in verify(path)]
    except GradstoreError as error:
        return [str(error)]
