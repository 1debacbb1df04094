"""Core knowledge: the directions of a target that the walk follows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Core", "mean_and_components", "principal_components"]

_NULL_DRAWS = 19  # noise itself exceeds the largest of 19 draws once in 20


@dataclass(frozen=True, slots=True)
class Core:
    """Directions in the order in which they are walked.

    Attributes
    ----------
    directions : ndarray of float32, shape (c, dim)
        Unit rows.
    weights : ndarray of float64, shape (c,)
        Share of the budget of each; sum 1.
    names : list of str, length c
        ``"mean"`` or ``"pc1"``, ``"pc2"``, …
    """

    directions: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float64]
    names: list[str]


def principal_components(target: npt.NDArray[np.floating], variance: float = 0.5) -> Core:
    """Fewest principal components of the target that explain more than a share of its variance.

    Centred PCA of the rows as they are, with the conventions of scikit-learn's ``PCA(n_components=variance)``: the
    sign of a component makes its entry of largest magnitude positive, and weights are the explained variance
    ratios divided by their sum.

    Parameters
    ----------
    target : ndarray, shape (n, dim)
        Target gradients, not normalised.
    variance : float, default 0.5
        Share of the variance, in (0, 1).

    Returns
    -------
    Core
        One row alone, or rows that are all equal, have no variance: their mean is the only direction.
    """
    rows = target.astype(np.float64)
    values, directions = _centred_svd(rows)
    total = float((values**2).sum())
    if total <= 1e-12 * float((rows**2).sum()):
        return Core(_unit(rows.mean(axis=0))[None].astype(np.float32), np.ones(1), ["mean"])
    ratios = values**2 / total
    count = min(int(np.searchsorted(np.cumsum(ratios), variance, side="right")) + 1, len(ratios))
    directions = directions[:count]
    largest = np.abs(directions).argmax(axis=1)
    directions *= np.sign(directions[np.arange(count), largest])[:, None]
    names = [f"pc{i + 1}" for i in range(count)]
    return Core(directions.astype(np.float32), ratios[:count] / ratios[:count].sum(), names)


def mean_and_components(
    target: npt.NDArray[np.floating], *, mean_share: float, rng: np.random.Generator
) -> Core:
    """Mean direction of the target first, then the principal components that stand out of noise.

    The mean of the unit rows is what LESS scores by; it gets at least `mean_share` of the budget. A component of the
    centred rows is kept while its singular value exceeds the largest one of the same rows with random signs on every
    entry, which keeps each entry's size and destroys what rows share (signflip parallel analysis, Hong, Sheng and
    Dobriban, arXiv 2012.02985). Kept components share the rest by the variance they have above that noise; where this
    is less than the variance along the mean, they get less in proportion and the mean more. They point to where the
    target lies: the sum of the target's projections on each is not negative.

    Parameters
    ----------
    target : ndarray, shape (n, dim)
        Unit target rows.
    mean_share : float
        Least share of the budget of the mean direction, in (0, 1].
    rng : Generator
        Draws the random signs.

    Returns
    -------
    Core
    """
    mean = target.mean(axis=0, dtype=np.float64)
    only_mean = Core(_unit(mean)[None].astype(np.float32), np.ones(1), ["mean"])
    if mean_share == 1:
        return only_mean
    rows = target.astype(np.float64)
    values, directions = _centred_svd(rows)
    noise = _noise_level(rows - mean, rng)
    count = int(np.argmin(values > noise)) if not (values > noise).all() else len(values)
    if count == 0:
        return only_mean
    directions = directions[:count]
    directions *= np.where(directions @ mean < 0, -1.0, 1.0)[:, None]
    excess = values[:count] ** 2 - noise**2
    # A component that noise alone could have made must not cost a quarter of the budget.
    rest = (1 - mean_share) * min(1.0, float(excess.sum()) / max(len(rows) * float(mean @ mean), 1e-30))
    return Core(
        np.vstack([_unit(mean), directions]).astype(np.float32),
        np.concatenate([[1 - rest], rest * excess / excess.sum()]),
        ["mean", *(f"pc{i + 1}" for i in range(count))],
    )


def _centred_svd(rows: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    _, values, directions = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    return values, directions


def _noise_level(centred: npt.NDArray[np.float64], rng: np.random.Generator) -> float:
    """Largest singular value that the rows reach in a few draws of random signs."""
    small = centred if len(centred) <= centred.shape[1] else centred.T
    level = 0.0
    for _ in range(_NULL_DRAWS):
        flipped = small * rng.choice(np.array([-1.0, 1.0]), size=small.shape)
        level = max(level, float(np.sqrt(np.linalg.eigvalsh(flipped @ flipped.T)[-1].clip(0))))
    return level


def _unit(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return vector / max(float(np.linalg.norm(vector)), 1e-30)
