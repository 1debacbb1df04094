"""What a worker needs to know to open the same nodes as the client."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from typing import Self

from gradstore.errors import IncompatibleError, StoreNotFoundError
from gradstore.graph.nodes import Nodes, Part
from gradstore.records import digest
from gradstore.storage import Location, open_folder, plain, storage_options
from gradstore.storage.location import given_options
from gradstore.store import Store, open_store

__all__ = ["Recipe", "host"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to open `Nodes` on another machine, and how to tell that they are the same; made by `Recipe.of`.

    Small, and safe to show: its text holds neither the location nor its settings, which may hold secrets.

    Attributes
    ----------
    location : str
        Path or URL of the store, the same on all machines.
    options : tuple of (str, str)
        Settings that the location is opened with.
    parts : tuple of (str, str, bool)
        Data set, direction, and whether it is a target, of each part.
    checkpoints : tuple of str
    weights : tuple of float
        Of the checkpoints.
    digests : tuple of str
        Of all that is read, by part and checkpoint.
    rows : str
        Digest of the row numbers that are nodes.
    verified : bool
        Check every chunk against its checksum when it is read.
    versions : tuple of (str, str)
        Packages that the result depends on.
    """

    location: str = field(repr=False)
    options: tuple[tuple[str, str], ...] = field(repr=False)
    parts: tuple[tuple[str, str, bool], ...]
    checkpoints: tuple[str, ...]
    weights: tuple[float, ...]
    digests: tuple[str, ...]
    rows: str
    verified: bool
    versions: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, store: Store | Location, nodes: Nodes, *, verified: bool = False) -> Self:
        """Recipe of `nodes`, to be opened with the `storage_options` around this call.

        Parameters
        ----------
        store : Store, path or URL
            Where they were opened. A `Store` does not tell secrets that its URL had: give the URL itself then, or
            settings.
        nodes : Nodes
            Made by `open_nodes`, or of some of its parts.
        verified : bool, default False
            Check every chunk against its checksum when it is read.
        """
        location = store.location if isinstance(store, Store) else os.fspath(store)
        path = open_folder(location).path
        return cls(
            str(path.absolute()) if path is not None else location,
            tuple(given_options().items()),
            tuple((part.datasets[0].name, part.direction, part.target) for part in nodes.parts),
            tuple(dataset.checkpoint for dataset in nodes.parts[0].datasets),
            tuple(map(float, nodes.weights)),
            _digests(nodes),
            digest(nodes.rows.tobytes()),
            verified,
            _versions(),
        )

    def open(self) -> Nodes:
        """The nodes, opened once in this process.

        Raises
        ------
        StoreNotFoundError
            If this machine does not see the store.
        IncompatibleError
            If it sees other rows than the recipe was made of, or runs other versions.
        """
        return _opened(self)


def host() -> str:
    """What messages call this machine."""
    return socket.gethostname()


@lru_cache(maxsize=4)
def _opened(recipe: Recipe) -> Nodes:
    ours = dict(_versions())
    for package, theirs in recipe.versions:
        if ours[package] != theirs:
            raise IncompatibleError(
                f"{package} is {ours[package]} here and {theirs} in the client; install one version everywhere"
            )
    place = plain(recipe.location)
    try:
        with storage_options(dict(recipe.options)):
            store = open_store(recipe.location, verified=recipe.verified)
        parts = [
            Part.of([store.dataset(name, key) for key in recipe.checkpoints], direction, target=target)
            for name, direction, target in recipe.parts
        ]
    except StoreNotFoundError as error:
        raise StoreNotFoundError(f"{error}; all workers must see the client's store at {place}") from error
    nodes = Nodes(parts, recipe.weights)
    if _digests(nodes) != recipe.digests or digest(nodes.rows.tobytes()) != recipe.rows:
        raise IncompatibleError(
            f"the store at {place} holds other rows here than the client's; all workers must see the same store"
        )
    return nodes


def _digests(nodes: Nodes) -> tuple[str, ...]:
    return tuple(dataset.digest_of(direction) for dataset, direction in nodes.vectors)


def _versions() -> tuple[tuple[str, str], ...]:
    return tuple((package, version(package)) for package in ("gradstore", "numpy"))
