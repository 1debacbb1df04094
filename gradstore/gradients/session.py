"""What one checkpoint needs to compute: its model, and the way from its gradients to stored rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from gradstore.checkpoint import (
    CheckpointFolder,
    FactoredMoments,
    InitLora,
    LoadedModel,
    Moments,
    load_factored_moments,
    load_model,
    load_moments,
)
from gradstore.gradients.compute import EMBEDDING
from gradstore.gradients.directions import needs_moments, prepare_directions
from gradstore.gradients.kron import KroneckerForm, SideScales, preconditioner
from gradstore.gradients.projection import Parameters, make_projector, total_size
from gradstore.gradients.rows import Exact, Kronecker, RowMaker
from gradstore.gradients.settings import Settings
from gradstore.gradients.tokens import Tokens
from gradstore.records import CheckpointIdentity

__all__ = ["Session", "checkpoint_key", "early_identity", "open_session"]


@dataclass(frozen=True)
class Session:
    """A loaded checkpoint.

    Attributes
    ----------
    folder : CheckpointFolder
    loaded : LoadedModel
    identity : CheckpointIdentity
        What rows of this checkpoint must share to be comparable.
    job : Settings
    """

    folder: CheckpointFolder
    loaded: LoadedModel
    identity: CheckpointIdentity
    job: Settings

    @property
    def dims(self) -> dict[str, int]:
        """Length of the rows of each direction asked for."""
        return {
            name: self.loaded.hidden_size if name == EMBEDDING else self.identity.projection.dim
            for name in self.job.resolved_directions()
        }

    def check(self) -> None:
        """Read the optimizer's state if a direction needs it, so that what is wrong with it is told at once."""
        if needs_moments(self.job.resolved_directions()):
            _ = self._factored_moments if self.job.sketched else self._moments

    @cached_property
    def _moments(self) -> Moments:
        return load_moments(self.folder.path, self.loaded)

    @cached_property
    def _factored_moments(self) -> FactoredMoments:
        return load_factored_moments(self.folder.path, self.loaded)

    def row_maker(self, names: Collection[str]) -> RowMaker:
        """What makes rows of these directions."""
        device = self.job.resolved_device()
        gradients = [name for name in names if name != EMBEDDING]
        layers = layer_shapes(self.loaded) if gradients else ()
        spec = self.identity.projection
        if self.job.sketched and gradients:
            scales = [self._scales(name, layers) for name in gradients]
            form = KroneckerForm(spec.kind, spec.dim, spec.seed, layers, scales, device)
            source: Exact | Kronecker = Kronecker(form, gradients)
            numbers: Parameters = form.parameters
        else:
            moments = self._moments if gradients and needs_moments(gradients) else None
            source = Exact(prepare_directions(gradients, layers, moments, device))
            numbers = layers
        return RowMaker(source, make_projector(spec, numbers, device), self.dims)

    def _scales(self, name: str, layers: Parameters) -> list[SideScales]:
        if name == "sgd":
            return [SideScales(None, None)] * len(layers)
        moments = self._factored_moments
        return [
            preconditioner(moments.rows[layer], moments.columns[layer], self.job.resolved_device())
            for layer, _ in layers
        ]


def layer_shapes(loaded: LoadedModel) -> tuple[tuple[str, tuple[int, int]], ...]:
    """Names and (d_out, d_in) of the attributed layers, in the order in which gradients are concatenated.

    GPT-2's Conv1D keeps its weight as (d_in, d_out); its gradients are taken like those of all others.
    """
    shapes = []
    for (name, shape), layer in zip(loaded.parameters, loaded.linears.values(), strict=True):
        first, second = shape
        shapes.append((name, (second, first) if type(layer).__name__ == "Conv1D" else (first, second)))
    return tuple(shapes)


def checkpoint_key(folder: CheckpointFolder, job: Settings) -> str:
    """Name of the checkpoint's group in the store: its folder's, and what else tells its rows from others."""
    if job.parameters == "full":
        return f"{folder.name}+full"
    return f"{folder.name}+lora" if job.init_lora else folder.name


def open_session(folder: CheckpointFolder, tokens: Tokens, job: Settings) -> Session:
    """Load a checkpoint for a job."""
    fresh = None
    if job.init_lora:
        fresh = InitLora(job.lora_r, job.lora_alpha, tuple(job.target_modules), job.seed)
    loaded = load_model(
        folder,
        base=job.base,
        device=job.resolved_device(),
        dtype=job.resolved_dtype(),
        parameters=job.parameters,
        init_lora=fresh,
        quantize=job.quantize,
        trust_remote_code=job.trust_remote_code,
    )
    layers = layer_shapes(loaded)
    identity = CheckpointIdentity(
        base=loaded.base,
        base_revision=loaded.base_revision,
        base_digest=loaded.base_digest,
        adapter_digest=loaded.adapter_digest,
        tokenizer_digest=tokens.chat.tokenizer_digest,
        template_digest=tokens.chat.template_digest,
        step=folder.step,
        weight=folder.weight,
        lora=_public_lora(loaded.lora),
        parameters=layers,
        projection=job.projection_spec(total_size(layers)),
    )
    return Session(folder, loaded, identity, job)


def early_identity(
    stored: CheckpointIdentity, folder: CheckpointFolder, tokens: Tokens, job: Settings
) -> CheckpointIdentity:
    """A stored identity with everything that is known of a checkpoint before its model is loaded."""
    return replace(
        stored,
        adapter_digest=folder.adapter_digest if folder.kind == "adapter" else stored.adapter_digest,
        tokenizer_digest=tokens.chat.tokenizer_digest,
        template_digest=tokens.chat.template_digest,
        projection=job.projection_spec(stored.projection.dim),
    )


def _public_lora(lora: Mapping[str, Any]) -> dict[str, Any]:
    """The adapter's configuration without the path of the base model, which would tell others nothing."""
    return {key: value for key, value in lora.items() if key != "base_model_name_or_path"}
