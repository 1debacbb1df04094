"""A store's work done by a cluster: what `build_graph` and `select` call in the place of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gradstore.cluster.client import open_client
from gradstore.cluster.neighbours import cluster_lists
from gradstore.cluster.project import cluster_project
from gradstore.cluster.recipe import Recipe
from gradstore.graph.exact import Lists, Wanted
from gradstore.graph.nodes import Nodes
from gradstore.graph.vectors import Float
from gradstore.progress import Progress, silent
from gradstore.storage import Location
from gradstore.store import Store

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Cluster", "open_cluster"]


class Cluster:
    """Workers that read one store.

    Parameters
    ----------
    client : Client
        Of Dask, however the cluster was made.
    store : Store, path or URL
        Seen by all workers under this name; see `Recipe.of`.
    verified : bool, default False
        Check every chunk against its checksum when it is read.
    """

    def __init__(self, client: Client, store: Store | Location, *, verified: bool = False) -> None:
        self.client, self._store, self._verified = client, store, verified

    def lists(self, nodes: Nodes, wanted: Sequence[Wanted], progress: Progress = silent) -> list[Lists]:
        """What `exact_lists` gives of `nodes`, which must be of this store.

        Parameters
        ----------
        nodes : Nodes
            Of this store.
        wanted : sequence of Wanted
            Which lists, as for `exact_lists`.
        progress : callable, optional
            ``progress(total, unit, label)`` gives a bar.

        Returns
        -------
        list of (ndarray of int32, ndarray of float32), shapes (n, m)
        """
        return cluster_lists(self._recipe(nodes), wanted, self.client, progress)

    def project(self, nodes: Nodes, directions: Float, progress: Progress = silent) -> Float:
        """Inner products of `nodes`, which must be of this store, with `directions`.

        Parameters
        ----------
        nodes : Nodes
            Of this store.
        directions : ndarray of float32, shape (d, dim)
            What to compare with.
        progress : callable, optional
            ``progress(total, unit, label)`` gives a bar.

        Returns
        -------
        ndarray of float32, shape (n, d)
        """
        return cluster_project(self._recipe(nodes), directions, self.client, progress)

    def _recipe(self, nodes: Nodes) -> Recipe:
        return Recipe.of(self._store, nodes, verified=self._verified)


@contextmanager
def open_cluster(scheduler: str, store: Store | Location, *, verified: bool = False) -> Iterator[Cluster]:
    """A `Cluster` for a ``with`` block, from what the user calls a scheduler.

    Parameters
    ----------
    scheduler : str
        As for `open_client`.
    store : Store, path or URL
        Seen by all workers under this name.
    verified : bool, default False
        Check every chunk against its checksum when it is read.

    Yields
    ------
    Cluster

    Raises
    ------
    UsageError, GradstoreError, IncompatibleError
        See `open_client`.
    """
    with open_client(scheduler) as client:
        yield Cluster(client, store, verified=verified)
