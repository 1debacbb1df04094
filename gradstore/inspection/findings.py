"""What a pass over a store can find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gradstore.store.manifest import Entry

__all__ = ["Broken", "Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a store.

    Attributes
    ----------
    where : str
        Path relative to the store.
    what : str
        What is wrong, and what to do where that is not plain.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where} {self.what}"


class Broken(NamedTuple):
    """An object that does not match what is known of it.

    Attributes
    ----------
    place, name : str
        Its folder in the store, and its name in that.
    entry : Entry or None
        What it should be; None of a document that no manifest names.
    part : int
        Of a folder that is not sealed, the chunk that has it; else -1.
    """

    place: str
    name: str
    entry: Entry | None
    part: int = -1
