"""Named plug-ins, found through entry points and loaded only when asked for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from gradstore.errors import UsageError

__all__ = ["Registry", "unknown_name"]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """One line for a name that does not exist: the closest names first, then all of them.

    Examples
    --------
    >>> unknown_name("selector", "g2si", ["random", "less", "g2is"])
    "unknown selector 'g2si'; did you mean 'g2is'? Available: g2is, less, random"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"unknown {kind} {name!r}{hint} Available: {', '.join(names) or 'none'}"


class Registry:
    """The plug-ins of one entry-point group.

    Parameters
    ----------
    group : str
        Entry-point group, such as ``"gradstore.selectors"``.
    kind : str
        What a plug-in of this group is called in messages, such as ``"selector"``.
    """

    def __init__(self, group: str, kind: str) -> None:
        self.group = group
        self.kind = kind

    def _entries(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=self.group)}

    def names(self) -> list[str]:
        """Sorted names of all installed plug-ins; loads none of them."""
        return sorted(self._entries())

    def load(self, name: str) -> Any:
        """Import and return the plug-in called `name`.

        Raises
        ------
        UsageError
            If there is no such plug-in, or importing it fails; the message names its distribution.
        """
        entries = self._entries()
        if name not in entries:
            raise UsageError(unknown_name(self.kind, name, entries))
        try:
            return entries[name].load()
        except Exception as error:
            origin = getattr(entries[name].dist, "name", "an unknown distribution")
            raise UsageError(
                f"{self.kind} {name!r} from {origin} cannot be imported: {type(error).__name__}: {error}"
            ) from error
