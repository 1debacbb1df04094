"""Parameters of selectors: read from constructor annotations, parsed from text, checked."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gradstore.errors import UsageError
from gradstore.registry import unknown_name

__all__ = ["Parameter", "parameters", "parse", "settings"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One constructor parameter.

    Attributes
    ----------
    name : str
    kinds : tuple
        What its value may be: any of bool, int, float, str, None, and the values of a Literal.
    default : object
        `inspect.Parameter.empty` if it must be given.
    description : str
        What the class's docstring says of it under ``Parameters`` (numpydoc), in one line.
    """

    name: str
    kinds: tuple[Any, ...]
    default: Any
    description: str = ""

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is inspect.Parameter.empty

    @property
    def type(self) -> str:
        """Its type for people, such as ``"number or none"``."""
        return " or ".join(_label(kind) for kind in self.kinds)

    def parse(self, value: Any) -> Any:
        """`value`, or what the text `value` means.

        Raises
        ------
        UsageError
            If it is not of the parameter's type.
        """
        for kind in self.kinds:
            found, parsed = _as_kind(value, kind)
            if found:
                return parsed
        raise UsageError(f"parameter {self.name} must be {self.type}, not {value!r}")


def parameters(selector: type) -> dict[str, Parameter]:
    """Keyword-only parameters of a selector class, by name."""
    hints = get_type_hints(inspect.getattr_static(selector, "__init__"))
    said = _descriptions(inspect.getdoc(selector) or "")
    return {
        p.name: Parameter(p.name, _kinds(hints.get(p.name, str)), p.default, said.get(p.name, ""))
        for p in inspect.signature(selector).parameters.values()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    }


def parse(selector: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Values for the constructor of `selector` from texts or values.

    Raises
    ------
    UsageError
        If a parameter does not exist, is missing, or has the wrong type.
    """
    known = parameters(selector)
    for name in given:
        if name not in known:
            raise UsageError(unknown_name("parameter", name, known))
    for parameter in known.values():
        if parameter.required and parameter.name not in given:
            raise UsageError(f"parameter {parameter.name} ({parameter.type}) must be given")
    return {name: known[name].parse(value) for name, value in given.items()}


def settings(selector: Any) -> dict[str, Any]:
    """Parameters of a selector instance, by name."""
    return {name: getattr(selector, name) for name in parameters(type(selector))}


def _descriptions(docstring: str) -> dict[str, str]:
    """What a numpydoc docstring says of each parameter, unwrapped."""
    _, _, section = docstring.partition("Parameters\n----------\n")
    found: dict[str, list[str]] = {}
    words: list[str] = []
    for line in section.splitlines():
        if line.startswith("---"):  # the next section; the line before was its title, which describes nothing
            break
        if line.startswith(" "):
            words.append(line.strip())
        elif line.strip():
            words = []
            found.update(dict.fromkeys((n.strip() for n in line.partition(":")[0].split(",")), words))
    return {name: " ".join(words) for name, words in found.items()}


def _kinds(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(kind for arm in get_args(hint) for kind in _kinds(arm))
    if get_origin(hint) is Literal:
        return get_args(hint)
    return (None,) if hint is type(None) else (hint,)


def _as_kind(value: Any, kind: Any) -> tuple[bool, Any]:
    """Whether `value` is of `kind`, and the value itself or what it says as text."""
    if kind in (bool, int, float) and isinstance(value, str):
        return _read(value, kind)
    if kind is None:
        return value is None or (isinstance(value, str) and value.lower() == "none"), None
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return True, float(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    if isinstance(kind, type):
        return isinstance(value, kind), value
    return value == kind or value == str(kind), kind


def _read(text: str, kind: type) -> tuple[bool, Any]:
    if kind is bool:
        return text.lower() in ("true", "false"), text.lower() == "true"
    try:
        return True, kind(text)
    except ValueError:
        return False, None


def _label(kind: Any) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text", None: "none"}
    return words[kind] if kind in words else getattr(kind, "__name__", repr(kind))
