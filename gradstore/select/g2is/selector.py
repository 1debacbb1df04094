"""The selector ``g2is``."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from gradstore.errors import UsageError
from gradstore.records import Selection
from gradstore.select.context import SelectionContext
from gradstore.select.g2is.core import Core, mean_and_components, principal_components
from gradstore.select.g2is.result import WalkResult
from gradstore.select.g2is.robust import target_walk
from gradstore.select.g2is.walk import gradient_walk

__all__ = ["G2IS"]

_SAMPLE = 1000
_NEIGHBOURS = 32

# A new pick is compared with every member of its walk. At twice the projection error, unrelated rows fail one test in
# 44, so that almost none survives a walk of some hundreds; at four times, one in 31 000.
_NOISE = 4


class G2IS:
    """Walk over the gradient graph along the core directions of the target (Zhao et al., ACL 2025).

    Parameters
    ----------
    preset : {"robust", "authors"}
        ``authors`` is the published procedure, `gradient_walk`; it may pick fewer rows than asked for.
        ``robust`` starts from the mean direction of the target and keeps it in sight, `target_walk`.
    delta : float, default 0.8
        Share of the members' cosine with the core that a new pick must keep (Eq. 6), in [0, 1].
    tolerance : float or None
        A cosine below ``-tolerance`` with a member is a conflict (Eq. 5). Default: 0 for ``authors``; for
        ``robust`` ``4/√k``, four times the error that a projection to k numbers makes.
    variance : float or None
        Only ``authors``: share of the target's variance that the components explain; default 0.5.
    mean_share : float or None
        Only ``robust``: least share of the budget for the mean direction; default 1. Below it, components of the target
        that stand out from noise share the rest.
    mix : float or None
        Only ``robust``: weight of the core against the last pick in a step, in [0, 1]; default 0.7.
    neighbours : int, "all" or None
        Only with ``--graph exact``, where a walk needs no graph: how many rows are neighbours of the last pick;
        default 32. ``all``, only for ``authors``: every row is.
    center : bool, default False
        Remove the mean of the candidates' unit rows first, and link the centred rows anew.

    References
    ----------
    Zhao et al., ACL 2025, arXiv 2502.11062.
    """

    name = "g2is"

    def __init__(
        self,
        *,
        preset: Literal["robust", "authors"] = "robust",
        delta: float = 0.8,
        tolerance: float | None = None,
        variance: float | None = None,
        mean_share: float | None = None,
        mix: float | None = None,
        neighbours: int | Literal["all"] | None = None,
        center: bool = False,
    ) -> None:
        self.preset = preset
        self.delta = delta
        self.tolerance = tolerance
        self.variance = variance
        self.mean_share = mean_share
        self.mix = mix
        self.neighbours = neighbours
        self.center = center

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """Walk until `budget` candidates are picked, or (``authors``) no walk can go on.

        Parameters
        ----------
        context : SelectionContext
            With a target, and a graph unless neighbours are computed.
        budget : int
            Rows to choose.

        Returns
        -------
        Selection
        """
        used = self._resolved(min(context.widths))
        target = context.target
        self._check_neighbours(exact=context.exact)
        seen = context.centred() if self.center else context
        neighbours = self._neighbours() if seen.exact else seen.graph
        pairs = _pair_figures(seen)
        settings: dict[str, Any] = {
            "delta": self.delta,
            "tolerance": used["tolerance"],
            "memory": seen.memory,
            "progress": seen.progress,
        }
        if self.preset == "authors":
            core = principal_components(target.raw, used["variance"])
            walk = gradient_walk(seen, core.directions, core.weights, neighbours, budget, **settings)
        else:
            core = mean_and_components(target.vectors, mean_share=used["mean_share"], rng=seen.rng)
            settings |= {"mix": used["mix"], "spread": pairs["rms_cosine"]}
            walk = target_walk(seen, core, neighbours, budget, **settings)
        scores = seen.project((core.weights @ core.directions).astype(np.float32)[None])[:, 0]
        return Selection(
            walk.picks,
            scores,
            _report(used, core, walk, pairs),
            {"how": walk.how, "core": _names(core, walk)},
        )

    def _check_neighbours(self, *, exact: bool) -> None:
        if self.neighbours is not None and not exact:
            raise UsageError("parameter neighbours belongs to --graph exact: a graph has its own number")
        if self.neighbours == "all" and self.preset != "authors":
            raise UsageError(
                "neighbours=all belongs to preset 'authors'; every step of 'robust' looks at all rows"
            )

    def _neighbours(self) -> int | None:
        """For the exact engine, which takes None for all rows."""
        if self.neighbours == "all":
            return None
        return _NEIGHBOURS if self.neighbours is None else self.neighbours

    def _resolved(self, width: int) -> dict[str, Any]:
        """All parameters with their defaults, checked.

        Several checkpoints do not make the error of a cosine smaller: all have the same projection, and the
        gradients of a row are nearly parallel at all of them.
        """
        authors = self.preset == "authors"
        mine = {"variance": 0.5} if authors else {"mean_share": 1.0, "mix": 0.7}
        mine["tolerance"] = 0.0 if authors else min(_NOISE / width**0.5, 1.0)
        for name in ("variance", "mean_share", "mix", "tolerance"):
            given = getattr(self, name)
            if given is not None and name not in mine:
                raise UsageError(f"parameter {name} does not belong to preset {self.preset!r} of g2is")
            if given is not None:
                mine[name] = given
        for name, value in {"delta": self.delta, **mine}.items():
            if not 0 <= value <= 1:
                raise UsageError(f"parameter {name} must be from 0 to 1, not {value}")
            if value == 0 and name in ("variance", "mean_share"):
                raise UsageError(f"parameter {name} must be above 0")
        return {"preset": self.preset, "delta": self.delta, "center": self.center, **mine}


def _pair_figures(context: SelectionContext) -> dict[str, float]:
    """What the cosines of random pairs of candidates look like.

    Rows drawn in the order of their ids, so that the figures do not depend on the order of rows. The mean of the
    cosines estimates the squared norm of the mean unit row.
    """
    order = context.by_id()
    sample = context.rng.choice(order, min(_SAMPLE, len(order)), replace=False)
    vectors = context.take(sample)
    cosines = (vectors @ vectors.T)[np.triu_indices(len(sample), 1)]
    if not len(cosines):
        return {"negative_pairs": 0.0, "mean_row_norm": 1.0, "rms_cosine": 1.0}
    return {
        "negative_pairs": float((cosines < 0).mean()),
        "mean_row_norm": float(np.sqrt(max(cosines.mean(dtype=np.float64), 0.0))),
        "rms_cosine": float(np.sqrt((cosines.astype(np.float64) ** 2).mean())),
    }


def _report(used: dict[str, Any], core: Core, walk: WalkResult, pairs: dict[str, float]) -> dict[str, Any]:
    components = [
        {
            "name": name,
            "weight": float(weight),
            "budget": int(budget),
            "picked": int((walk.component == i).sum()),
        }
        for i, (name, weight, budget) in enumerate(zip(core.names, core.weights, walk.budgets, strict=True))
    ]
    return {"parameters": used, "walk": walk.counts(), "components": components, "pairs": pairs}


def _names(core: Core, walk: WalkResult) -> list[str]:
    return ["" if i < 0 else core.names[i] for i in walk.component]
