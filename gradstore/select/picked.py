"""The chosen rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.graph.nodes import Nodes
from gradstore.records import Selection
from gradstore.select.choose import Choice

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
    choice : Choice
        What the selector chose within the limits.
    config : Mapping
        Everything that decided the choice, as JSON values.
    """

    nodes: Nodes
    choice: Choice
    config: Mapping[str, Any]

    @property
    def selection(self) -> Selection:
        """Picks, scores, figures and explanations."""
        return self.choice.selection

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

    def write(
        self,
        path: str | Path,
        data: Mapping[str, Mapping[str, Any]] | None = None,
        fmt: str | None = None,
    ) -> None:
        """Write the original rows, in pick order, and beside them the record that repeats the choice.

        Parameters
        ----------
        path : path
            Appears only when it is complete. What is there already is replaced only if it is an earlier choice with
            its record.
        data : Mapping from id to row, optional
            Original rows, for stores that do not hold them.
        fmt : str, optional
            One of `gradstore.select.output.FORMATS`; by default that of the path's suffix.

        Raises
        ------
        UsageError
            If the store does not hold the rows and `data` is not given or lacks one, or the format is not clear.
        DataError
            If the rows do not fit the format.
        StoreWriteError
            If the file cannot be written, or is there already and no earlier choice.
        """
        from gradstore.select.output.earlier import record_place
        from gradstore.select.output.record import write_record
        from gradstore.select.output.rows import check_place, write_rows

        place = Path(path)
        chosen = check_place(place, fmt)
        picks = [int(i) for i in self.selection.picks]
        if chosen != "ids" and data is None and not self.nodes.has_records(picks):
            raise UsageError(
                "the store does not hold the original rows; give the file they came from with --data"
            )
        write_rows(self, self._records(picks, data), place, chosen)
        write_record(self, record_place(place))

    def _records(
        self, picks: list[int], data: Mapping[str, Mapping[str, Any]] | None
    ) -> Iterator[Mapping[str, Any]]:
        """Original rows, read a few at a time."""
        for start in range(0, len(picks), _BATCH):
            some = picks[start : start + _BATCH]
            if data is None:
                yield from self.nodes.records(some)
            else:
                yield from (_given(data, str(name)) for name in self.nodes.ids[some])


def _given(data: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    if name not in data:
        raise UsageError(f"the data given has no row {name!r}; give the file that was extracted")
    return data[name]
