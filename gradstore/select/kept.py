"""A choice that is kept in a store."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import IncompatibleError, StoreNotFoundError
from gradstore.graph.nodes import Nodes
from gradstore.graph.sets import nodes_as_recorded

if TYPE_CHECKING:
    from gradstore.select.picked import Picked
    from gradstore.store import Store

__all__ = ["Kept", "load_kept"]

_COMPARED = 20_000
"""Ids that are looked through for a similar one."""


@dataclass(frozen=True)
class Kept:
    """What `gradstore.select` chose and kept.

    Attributes
    ----------
    name : str
    config : Mapping
        How it was chosen and what came of it, as `Picked.report`.
    ids, datasets : ndarray of str, shape (N,)
        Of each candidate.
    picks : ndarray of int64, shape (n,)
        Candidates in pick order.
    scores : ndarray of float32, shape (N,)
        NaN without one.
    verdicts : ndarray of uint8, shape (N,)
        See `gradstore.select.gate.VERDICTS`.
    twins : Mapping from int to (int, float)
        For each near-duplicate the chosen row that it resembles most, and their cosine.
    serves : ndarray of str, shape (n,)
        The target that each pick was chosen for.
    columns : Mapping from str to ndarray, shape (n,)
        The selector's explanation of each pick.
    """

    name: str
    config: Mapping[str, Any]
    ids: npt.NDArray[np.object_]
    datasets: npt.NDArray[np.object_]
    picks: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    verdicts: npt.NDArray[np.uint8]
    twins: Mapping[int, tuple[int, float]]
    serves: npt.NDArray[np.object_]
    columns: Mapping[str, npt.NDArray[Any]]

    @classmethod
    def of(cls, picked: Picked) -> Kept:
        """A choice that was made just now."""
        choice, selection, nodes = picked.choice, picked.selection, picked.nodes
        unknown = np.full(len(nodes), np.nan, np.float32)
        return cls(
            name="",
            config=picked.report(),
            ids=nodes.ids,
            datasets=nodes.datasets,
            picks=selection.picks,
            scores=unknown if selection.scores is None else np.asarray(selection.scores, np.float32),
            verdicts=choice.verdicts,
            twins=choice.twins,
            serves=np.array(choice.serves, object),
            columns={name: np.array(values) for name, values in selection.columns.items()},
        )

    def place_of(self, row: str, dataset: str | None = None) -> int:
        """The candidate with the id `row`.

        Raises
        ------
        StoreNotFoundError
            If there is none, or several data sets have one and `dataset` does not say which.
        """
        found = np.flatnonzero((self.ids == row) & ((self.datasets == dataset) if dataset else True))
        if len(found) == 1:
            return int(found[0])
        if len(found):
            sets = ", ".join(map(str, self.datasets[found]))
            raise StoreNotFoundError(f"row {row!r} is in several data sets ({sets}); name one with --dataset")
        close = difflib.get_close_matches(row, list(map(str, self.ids[:_COMPARED])), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "it has another id, or no gradient"
        raise StoreNotFoundError(f"selection {self.name!r} has no candidate {row!r}: {hint}")

    def nodes(self, store: Store) -> tuple[Nodes, Nodes | None]:
        """The candidates, and the target rows if there was a target.

        Raises
        ------
        IncompatibleError
            If the store's rows are no longer those that were chosen from.
        """
        both = nodes_as_recorded(store, self.config)
        for part in both.parts:
            for dataset in part.datasets:
                known = self.config["digests"].get(f"{dataset.checkpoint}/{dataset.name}")
                if known != dataset.digest_of(part.direction):
                    raise IncompatibleError(
                        f"data set {dataset.name!r} has changed since selection {self.name!r} was made; select again"
                    )
        pool = [part for part in both.parts if not part.target]
        goals = [part for part in both.parts if part.target]
        return Nodes(pool, both.weights), Nodes(goals, both.weights) if goals else None


def load_kept(store: Store, name: str) -> Kept:
    """The selection `name` of a store.

    Raises
    ------
    StoreNotFoundError
        If there is none.
    IncompatibleError
        If it was kept by a gradstore that did not record why rows were left out.
    """
    from gradstore.store import read_artefact

    found = read_artefact(store, "selections", name)
    if "verdicts" not in found.arrays:
        raise IncompatibleError(f"selection {name!r} was made by an earlier gradstore; select again")
    arrays, strings = found.arrays, found.strings
    pairs = zip(arrays["duplicates-of"].tolist(), arrays["duplicate-cosines"].tolist(), strict=True)
    every = {**strings, **arrays}
    columns = {key.removeprefix("why-"): every[key] for key in every if key.startswith("why-")}
    return Kept(
        name=name,
        config=found.attributes,
        ids=strings["ids"],
        datasets=strings["datasets"],
        picks=arrays["picks"],
        scores=arrays["scores"],
        verdicts=arrays["verdicts"],
        twins=dict(zip(arrays["duplicates"].tolist(), pairs, strict=True)),
        serves=strings["serves"],
        columns=columns,
    )
