"""The chosen rows."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import StoreWriteError, UsageError
from gradstore.graph.nodes import Nodes
from gradstore.records import Selection

__all__ = ["Composition", "Picked"]

_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Composition:
    """How often one source was chosen, against its share of the candidates."""

    source: str
    chosen: int
    share: float
    base_share: float
    ratio: float


@dataclass(frozen=True)
class Picked:
    """Rows chosen by `gradstore.select`, in pick order.

    Parameters
    ----------
    nodes : Nodes
        The candidates.
    selection : Selection
        What the selector returned.
    config : Mapping
        Everything that decided the choice, as JSON values.
    """

    nodes: Nodes
    selection: Selection
    config: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.selection.picks)

    def __repr__(self) -> str:
        return (
            f"{len(self)} rows picked by {self.config['selector']} for {self.config['target'] or 'no target'}"
        )

    @property
    def ids(self) -> list[str]:
        """Row ids."""
        return [str(name) for name in self.nodes.ids[self.selection.picks]]

    @property
    def datasets(self) -> list[str]:
        """Data set of each row."""
        return [str(name) for name in self.nodes.datasets[self.selection.picks]]

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """Score of each row, shape (n,); NaN if the selector does not score."""
        if self.selection.scores is None:
            return np.full(len(self), np.nan, np.float32)
        return self.selection.scores[self.selection.picks]

    def report(self) -> dict[str, Any]:
        """How the rows were chosen and what came of it, as JSON values."""
        return {**self.config, "picked": len(self), "report": dict(self.selection.report)}

    def composition(self) -> list[Composition]:
        """Sources of the chosen rows, most frequent first, then those never chosen."""
        sources = [str(name) for name in self.nodes.column("sources")]
        base, chosen = Counter(sources), Counter(sources[i] for i in self.selection.picks)
        found = []
        for source in sorted(base, key=lambda name: (-chosen[name], name)):
            share, base_share = chosen[source] / max(len(self), 1), base[source] / len(sources)
            found.append(Composition(source, chosen[source], share, base_share, share / base_share))
        return found

    def write(self, path: str | Path, data: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Write the original rows as JSON Lines, in pick order.

        Parameters
        ----------
        path : path
            Appears only when it is complete.
        data : Mapping from id to row, optional
            Original rows, for stores that do not hold them.

        Raises
        ------
        UsageError
            If the store does not hold the rows and `data` is not given or lacks one.
        StoreWriteError
            If the file cannot be written.
        """
        place = Path(path)
        picks = [int(i) for i in self.selection.picks]
        if data is None and not self.nodes.has_records(picks):
            raise UsageError(
                "the store does not hold the original rows; give the file they came from with --data"
            )
        try:
            with tempfile.NamedTemporaryFile(
                "wb", dir=place.parent, prefix=f".{place.name}.", delete=False
            ) as file:
                partial = Path(file.name)
        except OSError as error:
            raise StoreWriteError(f"{place} cannot be written: {error.strerror}") from error
        try:
            with partial.open("wb") as file:
                for start in range(0, len(picks), _BATCH):
                    for record in self._records(picks[start : start + _BATCH], data):
                        file.write(_line(record))
                file.flush()
                os.fsync(file.fileno())
            partial.chmod(0o666 & ~_umask())
            partial.replace(place)
        except OSError as error:
            raise StoreWriteError(f"{place} cannot be written: {error.strerror}") from error
        finally:
            partial.unlink(missing_ok=True)

    def _records(
        self, picks: list[int], data: Mapping[str, Mapping[str, Any]] | None
    ) -> list[Mapping[str, Any]]:
        if data is None:
            return list(self.nodes.records(picks))
        ids = [str(name) for name in self.nodes.ids[picks]]
        for name in ids:
            if name not in data:
                raise UsageError(f"the data given has no row {name!r}; give the file that was extracted")
        return [data[name] for name in ids]


def _line(record: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(record, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 cannot hold but an escape can
        return json.dumps(record).encode() + b"\n"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
