"""One pass over a store: which objects are damaged, and whether what they hold can be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

from gradstore.errors import CorruptError, GradstoreError
from gradstore.graph.origin import check_graph, check_origin, rebuild_command, stale
from gradstore.inspection.findings import Broken, Problem
from gradstore.inspection.rowcheck import check_columns, check_rows
from gradstore.progress import Bar
from gradstore.records import canonical_json
from gradstore.sharing.card import CARD
from gradstore.sharing.listing import INDEX, index_document
from gradstore.store.artefacts import read_artefact
from gradstore.store.attachment import ADAPTER_FILES
from gradstore.store.dataset import Dataset, open_dataset
from gradstore.store.folder import DatasetFolder, begun
from gradstore.store.layout import (
    ADAPTER,
    ARTEFACTS,
    CHECKPOINTS,
    LOCK,
    MANIFEST,
    METADATA,
    group_document,
    parse_group,
    parse_json,
    read_document,
)
from gradstore.store.lost import Lost, lost_groups
from gradstore.store.manifest import Entry, Manifest, is_sealed, read_manifest
from gradstore.store.parts import COLUMN_ARRAYS, finished, part_path, read_part
from gradstore.store.store import Store

__all__ = ["Inspection", "sealed_folders"]


_CODES = "gradient/c/"
_REPLACEMENT = re.compile(r"\.(?P<name>.+)\.(new|old)")


def _names(manifest: Manifest | None) -> list[str]:
    return list(manifest.objects) if manifest else []


def sealed_folders(store: Store) -> Iterator[str]:
    """Every folder of a store's own that may have a manifest."""
    for checkpoint in store.checkpoints:
        group = f"{CHECKPOINTS}/{checkpoint}"
        yield f"{group}/{ADAPTER}"
        for name in store.datasets(checkpoint):
            yield f"{group}/{name}"
            yield from (f"{group}/{name}/{each}" for each in begun(store.folder.at(f"{group}/{name}")))
    for kind in ARTEFACTS:
        yield from (f"{kind}/{name}" for name in getattr(store, kind))


class Inspection:
    """What one pass over a store has found.

    Parameters
    ----------
    store : Store
        Of an overlay, its own content is read, and its base is compared with what it was.
    bar : Bar
        Counts bytes.
    total : int
        Bytes of all that manifests name.

    Attributes
    ----------
    problems : list of Problem
    broken : list of Broken
        Objects among them that could be replaced.
    """

    def __init__(self, store: Store, bar: Bar, total: int) -> None:
        self.store, self.bar, self.folder = store, bar, store.folder
        self.own = Store(store.folder)
        self.problems: list[Problem] = []
        self.broken: list[Broken] = []
        self._known = {METADATA, CARD, INDEX}
        self._unknowable: list[str] = []
        self._told: set[str] = set()
        self._lost: list[str] = []
        self._documents = False
        self._total = total

    def run(self) -> None:
        """Look at everything."""
        for each in lost_groups(self.folder):
            self._lose(each)
        for place in (CHECKPOINTS, *ARTEFACTS):
            with self._noting(place):
                if self.folder.names(place):
                    self._group(place)
        for checkpoint in self.own.checkpoints:
            place = f"{CHECKPOINTS}/{checkpoint}"
            with self._noting(place):
                self._known.add(f"{place}/{METADATA}")
                with self._breaking(place, METADATA):
                    self.own.identity(checkpoint)
            with self._noting(f"{place}/{ADAPTER}"):
                self._adapter(f"{place}/{ADAPTER}")
            for name in self.own.datasets(checkpoint):
                self._dataset(checkpoint, name)
        for kind in ARTEFACTS:
            for name in getattr(self.own, kind):
                with self._noting(f"{kind}/{name}"):
                    self._artefact(kind, name)
        self._base()
        with self._noting(INDEX):
            self._index()
        self._strays()

    @contextmanager
    def _noting(self, place: str) -> Iterator[None]:
        """Note an error as a problem of `place` and go on; a damaged document is told of once, not by all it breaks."""
        try:
            yield
        except GradstoreError as error:
            if str(error) not in self._told:
                self._told.add(str(error))
                self._note(place, str(error))

    @contextmanager
    def _breaking(self, place: str, name: str, entry: Entry | None = None) -> Iterator[None]:
        """Let a damaged document be replaced."""
        try:
            yield
        except CorruptError:
            self._break(place, name, entry)
            raise

    def _break(self, place: str, name: str, entry: Entry | None = None) -> None:
        """Note a document as one that could be replaced."""
        self._documents = True
        self.broken.append(Broken(place, name, entry))

    def _note(self, place: str, what: str) -> None:
        self.problems.append(Problem(place, what))

    def _lose(self, lost: Lost) -> None:
        self._unknowable.append(f"{lost.place}/")
        self._lost.append(lost.place.partition("/")[2])
        self._break(lost.place, lost.document)
        self._note(
            lost.place,
            f"{lost.what}: restore that from a copy OTHER with `gradstore store verify {self.store.location} --repair "
            "--from OTHER`; what lies in it was not checked",
        )

    def _group(self, place: str) -> None:
        """Check a group that is only a folder."""
        name = f"{place}/{METADATA}"
        self._known.add(name)
        with self._noting(name), self._breaking(place, METADATA, Entry.of(group_document())):
            parse_group(read_document(self.folder, name) or b"", name)

    def _adapter(self, place: str) -> None:
        if self.folder.names(place):
            manifest = self._manifest(place)
            if manifest is None:
                self._note(place, "is not finished: run the same `gradstore extract` command again")
            self._objects(place, _names(manifest), manifest)
            wrong = sorted(set(_names(manifest)) - set(ADAPTER_FILES))
            if wrong:
                self._note(place, f"has a file {wrong[0]!r}, which no store may carry")

    def _artefact(self, kind: str, name: str) -> None:
        manifest = self._manifest(f"{kind}/{name}")
        if manifest is None:
            self._break(f"{kind}/{name}", MANIFEST)
        if not self._objects(f"{kind}/{name}", _names(manifest), manifest):
            return
        artefact = read_artefact(self.own, kind, name)
        for values in (artefact.arrays, artefact.strings):
            for each in values:
                _ = values[each]
        if kind == "graphs" and artefact.attributes:
            check_origin(artefact)
            check_graph(artefact)
            gone = [each for each in stale(self.store, artefact.attributes) if not self._is_lost(each)]
            if gone:
                command = rebuild_command(self.store, name, artefact.attributes)
                self._note(
                    f"{kind}/{name}",
                    f"was built from other rows than the store holds now ({', '.join(gone)}); rebuild it: {command}",
                )

    def _dataset(self, checkpoint: str, name: str) -> None:
        """Check the columns and every direction of a data set, sealed or not."""
        place = f"{CHECKPOINTS}/{checkpoint}/{name}"
        folder = self.folder.at(place)
        opened = state = None
        with self._noting(place):
            manifest = self._manifest(place)
            if manifest is None and any(is_sealed(folder.at(each)) for each in begun(folder)):
                self._break(place, MANIFEST)
            if self._objects(place, _names(manifest), manifest):
                identity = self.own.identity(checkpoint)
                opened = open_dataset(folder, name=name, checkpoint=checkpoint, identity=identity)
                if not begun(folder):
                    raise opened.incomplete()
        with suppress(GradstoreError):  # it was noted what is wrong
            state = DatasetFolder.read(folder)
        if opened is not None and state is not None:
            with self._noting(place):
                for what in check_columns(state, opened.manifest):
                    self._note(place, what)
        with self._noting(place):
            self._parts(state, place)
        for direction in begun(folder):
            with self._noting(f"{place}/{direction}"):
                self._direction(state, opened, place, direction)

    def _direction(
        self, state: DatasetFolder | None, opened: Dataset | None, place: str, direction: str
    ) -> None:
        inside = f"{place}/{direction}"
        manifest = self._manifest(inside)
        well = self._objects(
            inside, [name for name in _names(manifest) if not name.startswith(_CODES)], manifest
        )
        self._parts(state, place, direction)
        if well and opened is not None:
            opened.digest_of(direction)  # opens it, or says how to go on
        if well and opened is not None and state is not None and manifest is not None:
            entries = manifest.objects
            for what in check_rows(
                state, direction, manifest, opened.valid, lambda name: self._read(inside, name, entries[name])
            ):
                self._note(inside, what)
        else:
            self._objects(inside, [name for name in _names(manifest) if name.startswith(_CODES)], manifest)

    def _manifest(self, place: str) -> Manifest | None:
        """The manifest of a folder; None if it is not sealed."""
        self._unknowable.append(f"{place}/")
        with self._breaking(place, MANIFEST):
            manifest = read_manifest(self.folder.at(place))
        if manifest is not None:
            self._unknowable.pop()
            self._known.update(f"{place}/{name}" for name in (MANIFEST, *manifest.objects))
            if canonical_json(parse_json(manifest.document, place)) != manifest.document:
                self._note(f"{place}/{MANIFEST}", "is not written as manifests are: restore it from a copy")
        return manifest

    def _objects(self, place: str, names: Iterable[str], manifest: Manifest | None) -> bool:
        """Check objects of a sealed folder; whether all are well."""
        entries = manifest.objects if manifest else {}
        damaged = [self._read(place, name, entries[name]) is None for name in names]
        return not any(damaged)

    def _parts(self, state: DatasetFolder | None, place: str, direction: str = "") -> None:
        """Check the finished chunks of a direction, or of the columns, that is not sealed."""
        if state is None or is_sealed(state.of(direction)):
            return
        folder, count = state.of(direction), len(state.settings.chunks)
        names = state.vectors[direction].scalars if direction else COLUMN_ARRAYS
        inside = f"{place}/{direction}" if direction else place
        for chunk in sorted(finished(folder, count)):
            try:
                part = read_part(folder, chunk, names, len(state.settings.span(chunk)))
            except GradstoreError as error:
                self._note(f"{inside}/{part_path(chunk)}", str(error))
                self.broken.append(Broken(inside, part_path(chunk), None, chunk))
                continue
            objects = part.objects if part else {}
            self._expect(objects)
            for name, entry in objects.items():
                self._read(inside, name, entry, chunk)

    def _is_lost(self, dataset: str) -> bool:
        return any(f"{dataset}/".startswith(f"{lost}/") for lost in self._lost)

    def _expect(self, objects: Mapping[str, Entry]) -> None:
        """Count what no manifest has told of to what there is to read."""
        self._total += sum(entry.size for entry in objects.values())
        self.bar.estimate(self._total)

    def _read(self, place: str, name: str, entry: Entry, part: int = -1) -> bytes | None:
        """An object's bytes; None if they are not what they should be."""
        self._known.add(f"{place}/{name}")
        folder, data = self.folder.at(place), None
        try:
            size = folder.size(name)
            what = "" if size in (None, entry.size) else f"has {size} bytes instead of {entry.size}"
            if not what:
                data = folder.get(name)
                what = entry.damage(data)
        except GradstoreError as error:
            what = f"cannot be read ({error})"
        self.bar.update(entry.size)
        if what:
            self._note(f"{place}/{name}", what)
            self.broken.append(Broken(place, name, entry, part))
            return None
        return data

    def _base(self) -> None:
        """Compare what the store lies on with what that was."""
        base = self.store.base
        for checkpoint in base.known.checkpoints if base else ():
            with self._noting(f"{base.folder if base else ''}"):
                self.store.identity(checkpoint)
        for place, pins in base.known.datasets.items() if base else ():
            checkpoint, _, name = place.partition("/")
            with self._noting(f"{base.folder if base else ''}/{CHECKPOINTS}/{place}"):
                dataset = self.store.dataset(name, checkpoint)
                for direction in filter(None, pins):
                    dataset.digest_of(direction)

    def _index(self) -> None:
        """The listing, if there is one, lists nothing that is not there; what is new may be missing still."""
        data = read_document(self.folder, INDEX)
        if data is None or self._documents:  # what is broken is listed rightly
            return
        try:
            listed, there = (parse_json(each, INDEX) for each in (data, index_document(self.folder)))
            paths = listed.get("paths")
            well = isinstance(paths, list) and all(path in there["paths"] for path in paths)
            well = well and listed.get("format") == there["format"] and canonical_json(listed) == data
        except GradstoreError:
            well = False
        if not well:
            self._note(
                INDEX, "lists what the store does not hold: `gradstore store verify --repair` writes it"
            )
            self.broken.append(Broken("", INDEX, None))

    def _strays(self) -> None:
        """Find the files that no manifest knows; locks and a folder's own dot files are no objects."""
        self._replacements()
        for name in self.folder.files():
            own = name.startswith(".") and "/" not in name
            if own or name in self._known or name.startswith(tuple(self._unknowable)) or name.endswith(LOCK):
                continue
            self._note(name, "belongs to nothing in the store: delete it")

    def _replacements(self) -> None:
        """Find what is about to take an artefact's place, or has lost it; it is not read."""
        for kind in ARTEFACTS:
            for found in filter(None, map(_REPLACEMENT.fullmatch, self.folder.names(kind))):
                place, name = f"{kind}/{found.group()}", f"{kind}/{found['name']}"
                if not any(True for _ in self.folder.at(place).files()):
                    continue  # some buckets go on listing folders that had objects
                self._unknowable.append(f"{place}/")
                self._note(
                    place,
                    f"is there while a command writes {name}, or was left by one that was killed: the next that "
                    f"writes {name} removes it",
                )
