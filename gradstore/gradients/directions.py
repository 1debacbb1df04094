"""From a raw gradient to the vector that is stored: the directions, but for ``rds``, which is no gradient.

Sources: LESS (Xia et al., ICML 2024, arXiv 2402.04333) for ``sgd``, ``sign`` and ``adam``; Adam (Kingma and Ba, 2015)
for ``adam-true``; ``precond`` is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gradstore.checkpoint.optimizer import Moments
from gradstore.errors import UsageError
from gradstore.records import DIRECTIONS
from gradstore.registry import unknown_name

__all__ = ["Direction", "needs_moments", "prepare_directions"]

# LESS's own constants: it does not read them from the optimizer.
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def needs_moments(directions: Sequence[str]) -> bool:
    """Whether any of `directions` reads the optimizer's moments.

    Raises
    ------
    UsageError
        If a direction does not exist, or there is none.
    """
    for name in directions:
        if name not in DIRECTIONS:
            raise UsageError(unknown_name("direction", name, DIRECTIONS))
    if not directions or len(set(directions)) != len(directions):
        raise UsageError(f"directions must be one or more different names, not {list(directions)}")
    return not set(directions) <= {"sgd", "sign", "rds"}


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction, ready for every parameter: ``transform(parameter, gradients)``.

    Attributes
    ----------
    name : str
    offset : sequence of tensors of shape (d,), or empty
        What is added to the scaled gradient: the momentum all rows share.
    second : sequence of tensors of shape (d,), or empty
        The decayed second moment.
    gain : float
        Factor of the gradient in the numerator.
    added : float
        Factor of the squared gradient in the second moment.
    inside, outside : float
        Epsilon inside the root and outside it.
    """

    name: str
    offset: Sequence[torch.Tensor] = ()
    second: Sequence[torch.Tensor] = ()
    gain: float = 1.0
    added: float = 1.0
    inside: float = 0.0
    outside: float = 0.0

    def transform(self, parameter: int, gradients: torch.Tensor) -> torch.Tensor:
        """Turn gradients of one parameter, shape (batch, d), into this direction."""
        if self.name == "sgd":
            return gradients
        if self.name == "sign":
            return torch.sign(gradients)
        root = (
            torch.addcmul(self.second[parameter], gradients, gradients, value=self.added)
            .add_(self.inside)
            .sqrt_()
        )
        if self.outside:
            root.add_(self.outside)
        if not self.offset:
            return gradients / root
        return torch.add(self.offset[parameter], gradients, alpha=self.gain).div_(root)


def prepare_directions(
    names: Sequence[str],
    parameters: Sequence[tuple[str, tuple[int, ...]]],
    moments: Moments | None,
    device: str,
) -> list[Direction]:
    """Directions with their constant terms on `device`, in the order of `names`."""
    return [_prepare(name, [p for p, _ in parameters], moments, device) for name in names]


def _prepare(name: str, parameters: list[str], moments: Moments | None, device: str) -> Direction:
    if name in ("sgd", "sign"):
        return Direction(name)
    if moments is None:
        raise UsageError(f"direction {name!r} needs the optimizer's moments")
    v = [moments.second[p].flatten().to(device) for p in parameters]
    if name == "precond":
        return Direction(name, second=[BETA2 * x for x in v], added=1 - BETA2, inside=EPS)
    m = [moments.first[p].flatten().to(device) for p in parameters]
    if name == "adam-true":
        # The update that Adam itself would make with this gradient as its next one, bias-corrected.
        beta1, beta2 = moments.betas
        fix1 = 1 - beta1 ** (moments.step + 1)
        fix2 = 1 - beta2 ** (moments.step + 1)
        return Direction(
            name,
            offset=[beta1 / fix1 * x for x in m],
            second=[beta2 / fix2 * x for x in v],
            gain=(1 - beta1) / fix1,
            added=(1 - beta2) / fix2,
            outside=moments.eps,
        )
    second = [BETA2 * x for x in v]
    return Direction(name, [BETA1 * x for x in m], second, gain=1 - BETA1, added=1 - BETA2, inside=EPS)
