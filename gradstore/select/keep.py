"""A choice as an artefact of its store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.select.picked import Picked

if TYPE_CHECKING:
    from gradstore.store import Store

__all__ = ["keep_in"]


def keep_in(store: Store, name: str, picked: Picked) -> None:
    """Write the choice `picked` to the store under `name`, in place of an earlier one."""
    from gradstore.sharing import write_card
    from gradstore.store import write_artefact

    nodes, selection, twins = picked.nodes, picked.selection, picked.choice.twins
    ranks = np.full(len(nodes), -1, np.int32)
    ranks[selection.picks] = np.arange(len(picked))
    scores = selection.scores if selection.scores is not None else np.full(len(nodes), np.nan)
    arrays: dict[str, npt.NDArray[Any]] = {
        "picks": selection.picks,
        "ranks": ranks,
        "scores": np.asarray(scores, np.float32),
        "verdicts": picked.choice.verdicts,
        "duplicates": np.array(sorted(twins), np.int64),
        "duplicates-of": np.array([twins[row][0] for row in sorted(twins)], np.int64),
        "duplicate-cosines": np.array([twins[row][1] for row in sorted(twins)], np.float32),
    }
    strings = {"ids": list(nodes.ids), "datasets": list(nodes.datasets), "serves": picked.choice.serves}
    for column, values in selection.columns.items():
        if all(isinstance(value, str) for value in values):
            strings[f"why-{column}"] = list(values)
        else:
            arrays[f"why-{column}"] = np.asarray(values)
    write_artefact(store, "selections", name, arrays=arrays, strings=strings, attributes=picked.report())
    write_card(store)
