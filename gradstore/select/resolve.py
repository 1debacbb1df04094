"""From what the user names to a selector."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradstore.errors import UsageError
from gradstore.records import digest
from gradstore.registry import Registry
from gradstore.select.params import Parameter, parameters, parse
from gradstore.select.protocol import Selector

__all__ = ["SelectorInfo", "resolve", "selectors"]

_REGISTRY = Registry("gradstore.selectors", "selector")


@dataclass(frozen=True, slots=True)
class SelectorInfo:
    """An installed selector.

    Attributes
    ----------
    name : str
    description : str
        What it does, in one line.
    parameters : tuple of Parameter
    problem : str
        Why it cannot be used; ``""`` if it can.
    """

    name: str
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    problem: str = ""


def selectors() -> list[SelectorInfo]:
    """All installed selectors, by name; one that cannot be loaded says why and hides no other.

    Returns
    -------
    list of SelectorInfo

    Examples
    --------
    >>> [each.name for each in selectors()][:3]
    ['bids', 'd2', 'g2is']
    """
    return [_info(name) for name in _REGISTRY.names()]


def _info(name: str) -> SelectorInfo:
    try:
        cls = _REGISTRY.load(name)
        description = (cls.__doc__ or "").strip().split("\n")[0]
        return SelectorInfo(name, description, tuple(parameters(cls).values()))
    except UsageError as error:
        return SelectorInfo(name, problem=str(error))


def resolve(selector: str | Selector, params: Mapping[str, Any] | None = None) -> Selector:
    """The selector that `selector` names, with its parameters.

    Parameters
    ----------
    selector : str or Selector
        An installed name such as ``"less"``, a class in a file such as ``"mine.py:Mine"`` (the file is run), or a
        selector itself.
    params : Mapping, optional
        Constructor parameters, as values or as texts.

    Raises
    ------
    UsageError
        If there is no such selector or parameter, or it is no selector.
    """
    if not isinstance(selector, str):
        if isinstance(selector, type) or not isinstance(selector, Selector):
            raise UsageError(f"{selector!r} is no selector: it needs a `name` and a method `select`")
        if params:
            raise UsageError("a selector object has its parameters already; give them to its constructor")
        return selector
    cls = _from_file(selector) if ".py:" in selector else _REGISTRY.load(selector)
    made = cls(**parse(cls, params or {}))
    if not isinstance(made, Selector):
        raise UsageError(f"{selector} is no selector: it needs a `name` and a method `select`")
    return made


def _from_file(selector: str) -> type:
    place, _, name = selector.rpartition(":")
    path = Path(place).resolve()
    if not path.is_file():
        raise UsageError(f"there is no file {place}; a selector in a file is named path/file.py:Class")
    module_name = f"gradstore_selector_{digest(str(path).encode())}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{place} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and type hints look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise UsageError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise UsageError(f"{place} has no class {name!r}")
    return found
