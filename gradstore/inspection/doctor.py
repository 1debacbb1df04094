"""In which state a store is, in words, and the command that brings it on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gradstore.errors import (
    CorruptError,
    GradstoreError,
    IncompatibleError,
    IncompleteError,
    StoreNotFoundError,
)
from gradstore.graph.origin import check_origin, rebuild_command, stale
from gradstore.inspection.doctor_commands import (
    extract_again,
    extract_pool,
    extract_target,
    line,
    paths_to_replace,
    select_rows,
)
from gradstore.storage import Folder, Location, open_folder
from gradstore.store import Dataset, Store, open_store, read_artefact
from gradstore.store.layout import CHECKPOINTS, COMING, METADATA
from gradstore.store.lost import lost_groups
from gradstore.store.root import read_root

__all__ = ["Diagnosis", "Finding", "diagnose"]

_GRAVITY = (
    *("nothing", "damaged", "incompatible", "base-changed", "unfinished", "stale-graph"),
    *("no-pool", "no-target", "no-graph", "ready"),
)
_FOUND: dict[str, int] = {"nothing": 2, "incompatible": 3, "base-changed": 3, "stale-graph": 3}
_FOUND |= {"damaged": 4, "unfinished": 4}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is so in a store.

    Attributes
    ----------
    state : str
        ``nothing``, ``damaged``, ``incompatible``, ``base-changed``, ``unfinished``, ``stale-graph``, ``no-pool``,
        ``no-target``, ``no-graph`` or ``ready``.
    what : str
        The same in words.
    command : str
        A command line that brings the store on; ``""`` where there is none that would.
    """

    state: str
    what: str
    command: str = ""

    @property
    def missing(self) -> list[str]:
        """Names in `command` for which somebody's own paths must be put: nothing near by is called like that."""
        return paths_to_replace(self.command)

    @property
    def exit_code(self) -> int:
        """0 if nothing is wrong: a store that lacks its target or graph is only not finished being made."""
        return _FOUND.get(self.state, 0)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `diagnose` found.

    Attributes
    ----------
    location : str
    findings : tuple of Finding
        The gravest first; never empty.
    """

    location: str
    findings: tuple[Finding, ...]

    @property
    def state(self) -> str:
        """That of the gravest finding."""
        return self.findings[0].state

    @property
    def command(self) -> str:
        """What to run next; ``""`` if no command helps."""
        return next((each.command for each in self.findings if each.command), "")

    @property
    def exit_code(self) -> int:
        """Of the command line: 0, or that of the gravest finding."""
        return self.findings[0].exit_code


def diagnose(location: Location) -> Diagnosis:
    """Say in which state a store is; quickly, by what its manifests and groups say. `verify` reads every byte.

    Parameters
    ----------
    location : path or URL
        Perhaps there is no store.

    Raises
    ------
    GradstoreError
        If the place itself cannot be read.
    """
    folder = open_folder(location)
    try:
        store = open_store(location)
    except StoreNotFoundError as error:
        found = [_no_store(str(folder), error)]
    except IncompatibleError as error:
        found = [Finding("incompatible", str(error))]
    except CorruptError as error:
        found = [Finding("damaged", f"{error}{_from_copy(str(folder)) if _lacks_root(folder) else ''}")]
    else:
        found = list(_Visit(store).findings())
    found.sort(key=lambda each: _GRAVITY.index(each.state))
    return Diagnosis(str(folder), tuple(found))


def _no_store(location: str, error: StoreNotFoundError) -> Finding:
    """There may be one around it, or a base that is gone, or all but its root."""
    inside = Store(open_folder(location)).checkpoints
    if inside and _lacks_root(open_folder(location)):
        what = f"{location} holds {', '.join(inside)} and has lost its {METADATA}: restore it from a copy"
        return Finding("damaged", what + _from_copy(location))
    if "://" not in location:
        around = next((each for each in Path(location).absolute().parents if _is_store(each)), None)
        if around is not None:
            return Finding(
                "nothing", f"{location} lies inside the store {around}, it is none", line("doctor", around)
            )
        if _is_store(Path(location)):  # which lies on one that is gone
            return Finding("base-changed", f"{error}: bring it back, or make a new overlay")
        if Path(location).exists() and (Path(location).is_file() or any(Path(location).iterdir())):
            return Finding(
                "nothing", f"{location} is something else than a store", extract_pool("grads.zarr")
            )
    return Finding("nothing", str(error), extract_pool(location))


def _from_copy(location: str) -> str:
    return f" COPY with `{line('store', 'verify', location)} --repair --from COPY`"


def _lacks_root(folder: Folder) -> bool:
    """Whether a store's own root is what is wrong, and not that of a store on which it lies."""
    try:
        return read_root(folder) is None
    except CorruptError:
        return True
    except GradstoreError:
        return False


def _is_store(folder: Path) -> bool:
    try:
        return read_root(open_folder(folder)) is not None
    except GradstoreError:
        return False


class _Visit:
    """One look at everything that a store's groups and manifests say."""

    def __init__(self, store: Store) -> None:
        self.store, self.place = store, store.location
        self.sound: dict[str, dict[str, Dataset]] = {}  # by checkpoint and name
        self.problems: list[Finding] = []
        for lost in lost_groups(store.folder):
            self._damaged(f"{lost.place.partition('/')[2]} {lost.what}")
        for checkpoint in store.checkpoints:
            self.sound[checkpoint] = {}
            try:
                store.identity(checkpoint)
            except CorruptError as error:  # which is that of all its data sets
                self._damaged(f"checkpoint {checkpoint!r} cannot be read: {error}")
                continue
            except IncompatibleError:  # told of each of its data sets
                pass
            for name in store.datasets(checkpoint):
                self._look_at(checkpoint, name)

    def findings(self) -> Iterator[Finding]:
        """All there are."""
        yield from self.problems
        if any(each.state == "damaged" for each in self.problems):
            return  # whatever comes next would read it
        pool, targets = self._names(target=False), self._names(target=True)
        graph = None
        for name in self.store.graphs:
            finding = self._graph(name, pool)
            if finding is not None:
                yield finding
            elif graph is None or name == "default":
                graph = name
        if not pool:
            if not self.problems:
                yield Finding("no-pool", "it holds no rows to choose from", extract_pool(self.place))
            return
        usable = [each for each in targets if self._shared([*pool, each])]
        for name in sorted(set(targets) - set(usable)):
            yield self._apart(pool, name)
        if not targets:
            yield from self._without_target(pool)
            return
        if graph is None and not self.store.graphs:
            yield Finding(
                "no-graph",
                "it has no graph; `g2is` walks on one, other selectors need none",
                line("graph", self.place),
            )
        if usable:
            chosen = "a graph and " if graph else ""
            yield Finding(
                "ready",
                f"it has rows to choose from ({', '.join(pool)}), {chosen}targets ({', '.join(usable)})",
                select_rows(self.store, usable[0], graph, self._data(pool)),
            )

    def _look_at(self, checkpoint: str, name: str) -> None:
        """Open a data set and all that it has, or note why that cannot be done."""
        what = f"data set {name!r} of {checkpoint!r}"
        try:
            dataset = self.store.dataset(name, checkpoint)
            for direction in dataset.directions:
                dataset.digest_of(direction)
            unfinished = dataset.unfinished()
        except IncompleteError as error:
            self.problems.append(Finding("unfinished", str(error), self._again(checkpoint, name)))
            return
        except IncompatibleError as error:
            self.problems.append(self._incompatible(str(error)))
            return
        except GradstoreError as error:
            self._damaged(f"{what} cannot be read: {error}")
            return
        self.sound[checkpoint][name] = dataset
        for direction, done in unfinished.items():
            text = (
                f"direction {direction!r} of {what} is not finished: {done} of {len(dataset.chunks)} chunks"
            )
            self.problems.append(Finding("unfinished", text, self._again(checkpoint, name)))

    def _damaged(self, what: str) -> None:
        self.problems.append(Finding("damaged", what, line("store", "verify", self.place)))

    def _again(self, checkpoint: str, name: str) -> str:
        if self.store.at(f"{CHECKPOINTS}/{checkpoint}/{name}").size(COMING) is not None:
            return ""  # a copy that was cut off: only who sends it knows from where
        try:
            return extract_again(self.store, checkpoint, name)
        except GradstoreError:  # what it is made from is damaged itself, which `verify` tells
            return ""

    def _incompatible(self, message: str) -> Finding:
        base = self.store.base
        if base is None:
            return Finding("incompatible", message)
        return Finding(
            "base-changed", message, line("store", "new", f"{self.place}.new", "--on", base.folder)
        )

    def _names(self, *, target: bool) -> list[str]:
        """Sound data sets that are, or are not, targets."""
        return sorted(
            {
                name
                for sets in self.sound.values()
                for name, each in sets.items()
                if bool(each.attributes.get("target", False)) is target
            }
        )

    def _data(self, names: list[str]) -> list[Dataset]:
        key = self._shared(names)[0]
        return [self.sound[key][name] for name in names]

    def _shared(self, names: list[str]) -> list[str]:
        """Checkpoints that hold all of these data sets."""
        return [key for key, sets in self.sound.items() if set(names) <= set(sets)]

    def _apart(self, pool: list[str], target: str) -> Finding:
        """A target that was made with none of the checkpoints of the pool."""
        theirs = [key for key, sets in self.sound.items() if target in sets]
        ours = self._shared(pool)
        what = f"target {target!r} was extracted with {', '.join(theirs)}, and the rows to choose from with "
        what += f"{', '.join(ours) or 'several checkpoints'}: they cannot be compared; extract it with theirs"
        return Finding("incompatible", what, extract_target(self.store, ours[-1]) if ours else "")

    def _without_target(self, pool: list[str]) -> Iterator[Finding]:
        keys = self._shared(pool)
        if not keys:
            yield Finding(
                "incompatible",
                f"no checkpoint has all of {', '.join(pool)}: choose among some of them with --train",
            )
            return
        yield Finding(
            "no-target",
            "it holds rows to choose from and nothing to choose for; a few rows of what the model shall learn, such as "
            "target.jsonl, become a target",
            extract_target(self.store, keys[-1]),
        )

    def _graph(self, name: str, pool: list[str]) -> Finding | None:
        """What is wrong with a graph; None if one can walk on it."""
        rebuild = line("graph", self.place, "--name", name, "--rebuild")
        try:
            graph = read_artefact(self.store, "graphs", name)
            check_origin(graph)
            gone = stale(self.store, graph.attributes)
        except GradstoreError as error:
            return Finding("damaged", f"graph {name!r} cannot be read: {error}", rebuild)
        missing = sorted(set(pool) - set(graph.attributes["directions"]))
        if gone:
            kept = not any(each.partition("/")[2] not in self._all() for each in gone)
            again = rebuild_command(self.store, name, graph.attributes) if kept else rebuild
            return Finding(
                "stale-graph",
                f"graph {name!r} was built from other rows than the store holds now ({', '.join(gone)})",
                again,
            )
        if missing:
            return Finding(
                "stale-graph",
                f"graph {name!r} was built before {', '.join(missing)} came",
                line("graph", self.place, "--name", name),
            )
        return None

    def _all(self) -> set[str]:
        return {name for sets in self.sound.values() for name in sets}
