"""Gradients of whole weight matrices, sketched from both sides and never formed.

The gradient of a linear layer is G = Σ_t δ_t x_tᵀ over tokens t, with δ the gradient of its outputs and x its inputs.
Kept of it is P_out G P_inᵀ = Σ_t (P_out δ_t)(P_in x_t)ᵀ, which needs only the sketched tokens (LoGra, Choe et al.,
arXiv 2405.13954; with a further sketch of all layers together FactGraSS, Hu et al., arXiv 2505.18976).

A side's sketch is that of ``sjlt``, along one axis: d numbers are cut into blocks of p, each block has its own signs
and its own permutation of the p buckets. It costs one pass over the tokens, and preserves inner products better than
dense signs do, since numbers of the same block never meet. A side that is not wider than its sketch stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
import torch
from torch.nn import functional

from gradstore.errors import UsageError
from gradstore.gradients.directions import BETA2, EPS
from gradstore.gradients.projection import block_randomness

__all__ = ["SIDE", "KroneckerForm", "SideScales", "preconditioner"]

# Widest sketch of a side under ``kron+sjlt``: the narrowest whose own error vanishes beside that of ``sjlt`` to 8192
# numbers (docs/benchmarks.md). Part of what stored rows mean, so it may never change.
SIDE = 128

Shape = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SideScales:
    """Factors of a layer's output gradients and inputs, which make a direction of its gradient.

    Attributes
    ----------
    out, in_ : tensor of float32, shape (d_out,) or (d_in,), or None
        None stands for ones.
    """

    out: torch.Tensor | None
    in_: torch.Tensor | None


def preconditioner(rows: torch.Tensor, columns: torch.Tensor, device: str = "cpu") -> SideScales:
    """``precond`` for a whole weight matrix: G / sqrt(V), V the rank-one form of β2·v + ε.

    V = r cᵀ / mean(r), where r and c are the means of β2·v + ε over columns and over rows (Adafactor, Shazeer and
    Stern, 2018), so that dividing by its root is a scaling of both sides. β2 and ε are those of LESS, and ε keeps
    rows and columns finite that no training step has touched. LESS's term (1 - β2)·g² is not of rank one and is left
    out: it bounds no entry here.

    Parameters
    ----------
    rows, columns : tensor, shape (d_out,) and (d_in,)
        Means of the second moment v of a weight of shape (d_out, d_in) over its columns and over its rows.
    device : str
    """
    r = BETA2 * rows.to(device, torch.float64) + EPS
    c = BETA2 * columns.to(device, torch.float64) + EPS
    return SideScales((r.mean() / r).sqrt().float(), c.rsqrt().float())


class KroneckerForm:
    """Makes the two-sided sketch of each layer's gradient, for several directions at once.

    Parameters
    ----------
    kind : {"kron", "kron+sjlt"}
        Which decides the size of the sketches. ``kron``: p·q is at most `dim` divided by the number of layers, and p
        and q as alike as that and the layer allow. ``kron+sjlt``: `side` each, whatever `dim` is.
    dim, seed : int
    layers : sequence of (name, (d_out, d_in))
    scales : sequence (of directions) of sequences (of layers) of SideScales
    device : str
    side : int
        Widest sketch of a side under ``kron+sjlt``.

    Attributes
    ----------
    parameters : list of (name, (p, q))
        The sketched layers, to be given to the next projection like parameters.

    Raises
    ------
    UsageError
        If `dim` leaves no number for each layer.
    """

    def __init__(
        self,
        kind: str,
        dim: int,
        seed: int,
        layers: Sequence[tuple[str, Shape]],
        scales: Sequence[Sequence[SideScales]],
        device: str,
        *,
        side: int = SIDE,
    ) -> None:
        if kind == "kron" and dim < len(layers):
            raise UsageError(
                f"projection 'kron' to {dim} numbers leaves none for some of the {len(layers)} layers:"
                f" use at least {len(layers)}, or 'kron+sjlt'"
            )
        share = dim // max(1, len(layers))
        self.parameters = [
            (
                name,
                _near_square(shape, share) if kind == "kron" else (min(shape[0], side), min(shape[1], side)),
            )
            for name, shape in layers
        ]
        self._sides = [
            (
                _Side(seed, f"{name}:out", d_out, p, [one[layer].out for one in scales], device),
                _Side(seed, f"{name}:in", d_in, q, [one[layer].in_ for one in scales], device),
            )
            for layer, ((name, (d_out, d_in)), (_, (p, q))) in enumerate(
                zip(layers, self.parameters, strict=True)
            )
        ]

    def form(self, layer: int, inputs: torch.Tensor, grads: torch.Tensor) -> torch.Tensor:
        """The sketched gradient of each example.

        Parameters
        ----------
        layer : int
        inputs, grads : tensor, shape (batch, tokens, d_in) and (batch, tokens, d_out)
            Of any float type; a padded token has a gradient of zeros.

        Returns
        -------
        tensor of float32, shape (directions, batch, p·q)
            Row-major.
        """
        out, in_ = self._sides[layer]
        return torch.stack(
            [
                torch.bmm(delta.transpose(1, 2), x).flatten(1)
                for delta, x in zip(out.apply(grads), in_.apply(inputs), strict=True)
            ]
        )


def _near_square(shape: Shape, share: int) -> Shape:
    """The largest sketch of a layer that has at most `share` numbers; a short side leaves room for the other."""
    p = min(shape[0], isqrt(share))
    q = min(shape[1], share // p)
    return min(shape[0], share // q), q


class _Side:
    """Sketches one side of a layer: each token's d numbers become `size`, once for each direction."""

    def __init__(
        self,
        seed: int,
        name: str,
        d: int,
        size: int,
        scales: Sequence[torch.Tensor | None],
        device: str,
    ) -> None:
        self._size = size
        self._exact = d <= size
        if self._exact:
            self._factors = [None if scale is None else scale.to(device) for scale in scales]
            return
        buckets, signs = zip(
            *(block_randomness(seed, name, block, size) for block in range(-(-d // size))), strict=True
        )
        bucket = np.concatenate(buckets)[:d]
        # The numbers of each bucket one after the other, in the order of their blocks: the order of their sum.
        members = np.argsort(bucket, kind="stable")
        starts = np.searchsorted(bucket[members], np.arange(size))
        sign = torch.from_numpy(np.concatenate(signs)[members]).to(device)
        self._members = torch.from_numpy(members).to(device)
        self._starts = torch.from_numpy(starts).to(device)
        self._factors = [
            sign if scale is None else sign * scale.to(device)[self._members] for scale in scales
        ]

    def apply(self, values: torch.Tensor) -> list[torch.Tensor]:
        """From (batch, tokens, d) to float32 (batch, tokens, size), for each direction."""
        if self._exact:
            whole = values.float()
            return [whole if factor is None else whole * factor for factor in self._factors]
        batch, tokens, d = values.shape
        if not batch * tokens:  # on several threads embedding_bag fails on a table without columns
            return [values.new_zeros(batch, tokens, self._size, dtype=torch.float32) for _ in self._factors]
        # Tokens side by side, so that a bucket adds up whole rows; in float32 from here on.
        table = torch.empty(d, batch * tokens, dtype=torch.float32, device=values.device)
        table.copy_(values.reshape(-1, d).T)
        return [
            functional.embedding_bag(
                self._members, table, self._starts, mode="sum", per_sample_weights=factor
            )
            .view(self._size, batch, tokens)
            .permute(1, 2, 0)
            for factor in self._factors
        ]
