"""Under which licence the rows of a data set may be used: said by its maker, kept with its provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradstore.errors import UsageError

__all__ = ["NOT_STATED", "licence_differences", "licence_members", "licences", "parse_licences"]

NOT_STATED = "not stated"
_WHOLE, _SOURCES = "license", "source_licenses"

Licence = str | Mapping[str, str]
"""One for all rows, or one for each source; the empty source means all others."""


def parse_licences(texts: Sequence[str]) -> dict[str, str] | None:
    """Licences of a command line: ``NAME`` for all rows, ``SOURCE=NAME`` for those of one; None if there is none.

    Raises
    ------
    UsageError
        If one is empty, or something is given two licences.

    Examples
    --------
    >>> parse_licences(["MIT", "dolly=CC-BY-SA-3.0"])
    {'': 'MIT', 'dolly': 'CC-BY-SA-3.0'}
    """
    found: dict[str, str] = {}
    for text in texts:
        source, _, name = text.rpartition("=")
        if not name.strip() or ("=" in text and not source):
            raise UsageError(f"`--license {text}` names no licence; write MIT, or SOURCE=MIT for one source")
        if source in found:
            raise UsageError(
                f"`--license {text}`: {source or 'the data set'} has the licence {found[source]} already"
            )
        found[source] = name.strip()
    return found or None


def licence_members(given: Licence | None) -> dict[str, Any]:
    """Members of ``provenance`` that keep a licence; none if none is given."""
    named = {"": given} if isinstance(given, str) else dict(given or {})
    sources = {source: name for source, name in sorted(named.items()) if source}
    return {
        **({_WHOLE: named[""]} if named.get("") else {}),
        **({_SOURCES: sources} if sources else {}),
    }


def licences(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Licences of a stored data set by source, that of all others under ``""``; what is no text is left out."""
    provenance = attributes.get("provenance")
    members = provenance if isinstance(provenance, Mapping) else {}
    whole, sources = members.get(_WHOLE), members.get(_SOURCES)
    named = {"": whole, **(sources if isinstance(sources, Mapping) else {})}
    return {str(source): name for source, name in named.items() if isinstance(name, str) and name}


def licence_differences(stored: Mapping[str, Any], given: Mapping[str, Any], here: str = "now") -> list[str]:
    """One phrase for every licence given that is not the stored one; what is not given is not compared."""
    kept = licences(stored)
    return [
        f"license{f' of {source}' if source else ''} is {kept.get(source, NOT_STATED)} there, {name} {here}"
        for source, name in licences(given).items()
        if kept.get(source) != name
    ]
