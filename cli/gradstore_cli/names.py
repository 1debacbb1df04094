"""Names in a store and parameters of a selector for the shell's completion: read in milliseconds, no code run.

Opening a store imports numpy, and importing a selector runs it; a shell waits for neither. Only stores on this
machine are looked into, and of an overlay's base what the overlay has noted of it.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

__all__ = ["Names", "installed_selectors", "parameter_values"]

_LARGEST = 4 << 20  # bytes of a document that is read while somebody waits
_GROUP = ("zarr.json", "manifest.json")


@dataclass(slots=True)
class Names:
    """What a store holds, by name.

    Attributes
    ----------
    checkpoints, graphs, selections : set of str
    data : dict from str to bool or None
        Data sets, and whether each is a target set; None where that is not known.
    directions : set of str
    places : set of str
        What can be removed from the store: ``checkpoint-100/pool``, ``graphs/default``; nothing of its base.
    """

    checkpoints: set[str] = field(default_factory=set)
    graphs: set[str] = field(default_factory=set)
    selections: set[str] = field(default_factory=set)
    data: dict[str, bool | None] = field(default_factory=dict)
    directions: set[str] = field(default_factory=set)
    places: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, location: object) -> Self:
        """Names in the store at a path; none if there is no store that can be read."""
        found = cls()
        if isinstance(location, str | Path) and "://" not in str(location):
            folder = Path(location)
            found._add_base(_attributes(folder).get("base"))
            found.places.clear()
            found._add(folder)
        return found

    def sets(self, *, target: bool) -> list[str]:
        """Data sets that are, or are not, target sets."""
        return [name for name, known in self.data.items() if known in (target, None)]

    def _add(self, folder: Path) -> None:
        for kind, names in (("graphs", self.graphs), ("selections", self.selections)):
            found = list(_groups(folder / kind))
            names.update(found)
            self.places.update(f"{kind}/{each}" for each in found)
        for checkpoint in _groups(folder / "checkpoints"):
            self.checkpoints.add(checkpoint)
            self.places.add(checkpoint)
            for name in _groups(folder / "checkpoints" / checkpoint):
                if name != "adapter":
                    self._add_data(folder / "checkpoints" / checkpoint / name, f"{checkpoint}/{name}")

    def _add_data(self, folder: Path, place: str) -> None:
        attributes = _attributes(folder).get("attributes")
        target = attributes.get("target") if isinstance(attributes, dict) else None
        directions = {each for each in _groups(folder) if each != "columns"}
        self.data[folder.name] = target if isinstance(target, bool) else None
        self.directions |= directions
        self.places |= {place, *(f"{place}/{each}" for each in directions)}

    def _add_base(self, base: Any) -> None:
        match base:
            case {"url": str(url), "checkpoints": dict(checkpoints), "datasets": dict(datasets)}:
                self.checkpoints |= set(checkpoints)
                for place, pins in datasets.items():
                    self.data.setdefault(place.partition("/")[2], None)
                    self.directions |= set(filter(None, pins)) if isinstance(pins, dict) else set()
                if "://" not in url:
                    self._add(Path(url))


def _groups(folder: Path) -> Iterator[str]:
    with suppress(OSError):
        for each in folder.iterdir():
            if not each.name.startswith(".") and any((each / name).is_file() for name in _GROUP):
                yield each.name


def _attributes(folder: Path) -> dict[str, Any]:
    """What gradstore wrote into a group's ``zarr.json``; empty if that cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        document = folder / "zarr.json"
        if document.stat().st_size <= _LARGEST:
            return dict(json.loads(document.read_bytes())["attributes"]["gradstore"])
    return {}


def installed_selectors() -> list[str]:
    """Names of all installed selectors."""
    return sorted(each.name for each in entry_points(group="gradstore.selectors"))


def parameter_values(selector: str) -> dict[str, Sequence[str]]:
    """Parameters of a selector and, where there are few, the values of each; from its source, which is not run."""
    file, name = _source(selector)
    with suppress(OSError, SyntaxError, ValueError):
        for node in ast.walk(ast.parse(file.read_bytes())) if file else ():
            if isinstance(node, ast.ClassDef) and node.name == name:
                return _keywords(node)
    return {}


def _source(selector: str) -> tuple[Path | None, str]:
    """File and class that a selector's name stands for."""
    if ".py:" in selector:
        place, _, name = selector.rpartition(":")
        return Path(place), name
    for entry in entry_points(group="gradstore.selectors", name=selector):
        package, *modules = entry.module.split(".")
        spec = find_spec(package)  # of the outermost package only: it is not imported
        if spec is None:
            continue
        places = [Path(each).joinpath(*modules) for each in spec.submodule_search_locations or ()]
        files = [file for each in places for file in (each.with_suffix(".py"), each / "__init__.py")]
        files += [Path(spec.origin)] if spec.origin and not modules else []
        return next((each for each in files if each.is_file()), None), entry.attr
    return None, ""


def _keywords(node: ast.ClassDef) -> dict[str, Sequence[str]]:
    for function in node.body:
        if isinstance(function, ast.FunctionDef) and function.name == "__init__":
            return {each.arg: _choices(each.annotation) for each in function.args.kwonlyargs}
    return {}


def _choices(annotation: ast.expr | None) -> list[str]:
    """Values of ``Literal["a", "b"]`` and of ``bool``."""
    match annotation:
        case ast.Name(id="bool"):
            return ["true", "false"]
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inside):
            values = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            return [str(each.value) for each in values if isinstance(each, ast.Constant)]
    return []
