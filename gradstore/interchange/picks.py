"""`gradstore.export_selection`: scores and picks as LESS's scripts write them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import IncompatibleError, UsageError
from gradstore.interchange.less_files import save_tensor
from gradstore.storage.complete import fresh_folder

if TYPE_CHECKING:
    from gradstore.store import Artefact, Dataset, Store

__all__ = ["export_selection"]

_BATCH = 1024


def export_selection(
    store: Store | str | os.PathLike[str], out: str | os.PathLike[str], *, selection: str
) -> Path:
    """Write a selection that has scores as LESS's ``matching.py`` and ``write_selected_data.py`` do.

    In the folder ``OUT/{target}``: for each train set ``{name}_influence_score.pt``, the scores of all its rows (minus
    infinity for rows without a gradient); ``sorted.csv``, all candidates from the highest score down; and
    ``top_num{n}.jsonl``, the picked rows, if the store holds them.

    Parameters
    ----------
    store : Store or path
    out : path
    selection : str
        Name of the selection in the store.

    Returns
    -------
    Path
        The folder of the target, which must not exist yet.

    Raises
    ------
    StoreNotFoundError
        If there is no such selection.
    UsageError
        If it has no scores or no target, or the folder exists.
    IncompatibleError
        If a data set was changed since.
    StoreWriteError
        If the system refuses to write; nothing is left behind.
    """
    from gradstore.store import open_store, read_artefact

    opened = open_store(store) if isinstance(store, str | os.PathLike) else store
    made = read_artefact(opened, "selections", selection)
    target, scores = made.attributes.get("target"), np.asarray(made.arrays["scores"], np.float32)
    if not target or np.isnan(scores).any():
        raise UsageError(
            f"selection {selection!r} has no {'scores' if target else 'target'}, which LESS's files need; "
            "`gradstore select -o` has written its rows"
        )
    sets = _datasets(opened, made)
    rows, names = _rows(made, sets), made.strings["datasets"]
    place = Path(out) / str(target)
    with fresh_folder(place) as folder:
        for name, dataset in sets.items():
            whole = np.full(len(dataset), -np.inf, np.float32)
            mine = names == name
            whole[rows[mine]] = scores[mine]
            save_tensor(whole, folder / f"{name}_influence_score.pt")
        with (folder / "sorted.csv").open("w", encoding="utf-8") as file:
            file.write("file name, index, score\n")
            for i in np.argsort(-scores, kind="stable").tolist():
                file.write(f"{names[i]}, {rows[i]}, {round(float(scores[i]), 6)}\n")
        picks = np.asarray(made.arrays["picks"])
        if all(sets[str(name)].has_records for name in set(names[picks])):
            with (folder / f"top_num{len(picks)}.jsonl").open("w", encoding="utf-8") as file:
                for start in range(0, len(picks), _BATCH):
                    batch = picks[start : start + _BATCH]
                    file.writelines(
                        f"{json.dumps(record)}\n" for record in _records(sets, names[batch], rows[batch])
                    )
    return place


def _records(
    sets: dict[str, Dataset], names: npt.NDArray[Any], rows: npt.NDArray[np.int64]
) -> list[dict[str, Any]]:
    """Original rows of several data sets, in order."""
    found: list[dict[str, Any]] = [{}] * len(rows)
    for name, dataset in sets.items():
        mine = np.flatnonzero(names == name)
        for place, record in zip(mine.tolist(), dataset.records(rows[mine]), strict=True):
            found[place] = record
    return found


def _datasets(store: Store, made: Artefact) -> dict[str, Dataset]:
    """The train sets, in the first checkpoint that was used: all have the same rows."""
    checkpoint = made.attributes["checkpoints"][0]
    return {name: store.dataset(name, checkpoint) for name in made.attributes["train"]}


def _rows(made: Artefact, sets: dict[str, Dataset]) -> npt.NDArray[np.int64]:
    """Row of each candidate in its data set."""
    places: dict[tuple[str, str], int] = {
        (name, str(each)): row for name, dataset in sets.items() for row, each in enumerate(dataset.ids)
    }
    ids: list[Any] = list(zip(made.strings["datasets"], made.strings["ids"], strict=True))
    try:
        return np.array([places[str(name), str(each)] for name, each in ids], np.int64)
    except KeyError as error:
        raise IncompatibleError(
            f"selection {made.name!r} has row {error.args[0][1]!r}, which the store holds no more: select anew"
        ) from None
