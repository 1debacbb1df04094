"""Every public name says what it takes, gives and raises, in numpydoc's form."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

import gradstore.errors

ROOMS = (
    "gradstore",
    "gradstore.cluster",
    "gradstore.errors",
    "gradstore.graph",
    "gradstore.records",
    "gradstore.select",
    "gradstore.select.g2is",
    "gradstore.store",
    "gradstore.testing",
)
WANTED = {
    "GL08": "no docstring",
    "PR01": "parameters that are not described",
    "PR02": "parameters that do not exist",
    "PR03": "parameters in another order",
    "RT01": "no Returns",
    "YD01": "no Yields",
}


def public() -> Iterator[tuple[str, Any]]:
    """All public functions and classes, with their public methods, by the first name they have."""
    seen: set[int] = set()
    for room in ROOMS:
        module = importlib.import_module(room)
        for name in module.__all__:
            found = getattr(module, name)
            if not (inspect.isfunction(found) or inspect.isclass(found)) or id(found) in seen:
                continue
            seen.add(id(found))
            yield f"{room}.{name}", found
            if inspect.isclass(found):
                for member, value in vars(found).items():
                    function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                    stands_in = name == "ArrayDataset"  # for a Dataset, where its methods are described
                    if inspect.isfunction(function) and not member.startswith("_") and not stands_in:
                        yield f"{room}.{name}.{member}", function


PUBLIC = dict(public())


def missing(name: str) -> list[str]:
    """What numpydoc asks for and the docstring lacks.

    Not asked of a class: to tell what its constructor takes where nobody calls it (a protocol, or what is "made by" a
    function), or where it is a data class, whose attributes say so. Nor of a method without parameters: to repeat in
    a section what its first line says it gives.
    """
    found = PUBLIC[name]
    text = inspect.getdoc(found) or ""
    waived = set()
    if inspect.isclass(found):
        told = {part.strip() for each in NumpyDocString(text)["Attributes"] for part in each.name.split(",")}
        made = dataclasses.is_dataclass(found) and {field.name for field in dataclasses.fields(found)} <= told
        if made or "Made by `" in text or getattr(found, "_is_protocol", False):
            waived = {"PR01"}
    elif (
        len(inspect.signature(found).parameters) < 2
        and name.count(".") > 1
        and "self" in str(inspect.signature(found))
    ):
        waived = {"RT01", "YD01"}
    return [
        f"{code}: {what}" for code, what in validate(name)["errors"] if code in WANTED and code not in waived
    ]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_described_in_full(name: str) -> None:
    assert not missing(name)


def raised(function: Any) -> set[str]:
    """The errors that a function raises by itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [
        node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    ]
    return {call.func.id for call in calls if isinstance(call.func, ast.Name)}


@pytest.mark.parametrize("name", [name for name, found in PUBLIC.items() if inspect.isfunction(found)])
def test_what_a_public_function_raises_is_told(name: str) -> None:
    told = {
        part.strip()
        for each in NumpyDocString(inspect.getdoc(PUBLIC[name]) or "")["Raises"]
        for part in each.type.split(",")
    }
    assert {error for error in raised(PUBLIC[name]) if hasattr(gradstore.errors, error)} <= told
