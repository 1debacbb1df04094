"""A checkpoint as a model whose attributed weights, and only these, require a gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from gradstore.checkpoint.adapter import load_adapter
from gradstore.checkpoint.base import base_digest, load_base, public_base
from gradstore.checkpoint.folder import CheckpointFolder
from gradstore.checkpoint.fresh import InitLora, fresh_adapter, tensors_digest
from gradstore.checkpoint.linears import (
    base_linears,
    base_names,
    check_differentiable,
    freeze_all_but,
    lora_linears,
    output_layer,
    trained_names,
    weight_of,
)
from gradstore.checkpoint.quiet import quiet
from gradstore.checkpoint.revision import base_revision, wanted_revision
from gradstore.checkpoint.trained import TrainedParameters, trained_parameters
from gradstore.errors import CheckpointError, UsageError
from gradstore.registry import unknown_name

__all__ = ["LoadedModel", "load_model"]

PARAMETERS = ("lora", "full")
NOTHING = TrainedParameters((), (), ())


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in evaluation mode; exactly the attributed weights require a gradient.

    Attributes
    ----------
    model : torch.nn.Module
        What to call: the peft model, or the plain model where there is no adapter.
    causal : torch.nn.Module
        The transformers model inside.
    linears : dict from parameter name to torch.nn.Module
        The layers whose weights are attributed, in the order in which gradients are concatenated: the LoRA matrices
        ("…lora_A.weight", "…lora_B.weight"), or every linear layer of the base model (a Linear, or GPT-2's Conv1D).
    base : str
        Name of the base model: its hub id, or the name of its folder (a path would tell others nothing).
    base_revision : str
        Commit of the base model on the hub, or what the adapter's configuration calls it; "" if neither is known.
    base_digest, adapter_digest : str
        Digests of the base model's weight files and of the adapter's weights, "" where there is no adapter.
    lora : Mapping
        The adapter's configuration, empty where there is none.
    unattributed : tuple of str
        Trained parameters that take part in the forward pass, and whose gradients are left out: modules_to_save,
        LoRA on embeddings, biases; with full parameters also embeddings, norms and the fused experts of a mixture.
    trained : TrainedParameters
        All that the training updated; nothing if the adapter is fresh.
    """

    model: nn.Module
    causal: nn.Module
    linears: dict[str, nn.Module]
    base: str
    base_revision: str
    base_digest: str
    adapter_digest: str
    lora: Mapping[str, Any] = field(default_factory=dict)
    unattributed: tuple[str, ...] = ()
    trained: TrainedParameters = NOTHING

    @property
    def vocabulary(self) -> int:
        """How many token ids the model knows."""
        embeddings: nn.Embedding = self.causal.get_input_embeddings()  # type: ignore[operator]
        return int(embeddings.weight.shape[0])

    @property
    def hidden_size(self) -> int:
        """Length of the last hidden states: what the output layer reads."""
        head = output_layer(self.causal)
        if head is None:
            raise CheckpointError(
                f"{self.base}: no output embeddings; only causal language models are supported"
            )
        return int(weight_of(head).shape[1])

    @property
    def parameters(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Names and shapes of the attributed weights, in the order in which gradients are concatenated."""
        return tuple((name, tuple(weight_of(linear).shape)) for name, linear in self.linears.items())


def load_model(
    checkpoint: CheckpointFolder,
    *,
    base: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    parameters: str = "lora",
    init_lora: InitLora | None = None,
    quantize: str | None = None,
    trust_remote_code: bool = False,
) -> LoadedModel:
    """Load a checkpoint's model, with its adapter if it has one.

    Parameters
    ----------
    checkpoint : CheckpointFolder
    base : str, optional
        Folder or hub id of the base model of an adapter; by default what the adapter names.
    device, dtype : str
        Where and in which precision the base computes; LoRA matrices stay in float32.
    parameters : {"lora", "full"}
        Whether the LoRA matrices are attributed, or every linear layer of the base model but its output embeddings.
    init_lora : InitLora, optional
        Put a fresh adapter on a full model.
    quantize : {"4bit", "8bit"}, optional
        Keep the base model's linear layers in bitsandbytes' 4-bit or 8-bit form.
    trust_remote_code : bool
        Whether code that lies beside the base model's weights may run.

    Raises
    ------
    UsageError
        If the options contradict each other or the checkpoint.
    CheckpointError
        If the model cannot be loaded, or the adapter is of a kind whose gradients would not be exact.
    IncompatibleError
        If the adapter does not fit the base model; the message names the first matrix that differs.
    """
    _check_options(checkpoint, base, parameters, init_lora, quantize)
    name = base or checkpoint.base
    if name is None:
        raise CheckpointError(
            f"{checkpoint.path}: the adapter does not name its base model; give it with `--base`"
        )
    revision = wanted_revision(name, checkpoint.lora)
    with quiet():
        causal = load_base(
            name,
            device=device,
            dtype=dtype,
            revision=revision,
            quantize=quantize,
            trust_remote_code=trust_remote_code,
            way_out="give another with `--base`" if checkpoint.kind == "adapter" else "",
        )
        model, lora = causal, dict(checkpoint.lora)
        if checkpoint.kind == "adapter":
            model = load_adapter(checkpoint, causal, name).to(device).eval()
        elif init_lora is not None:
            model, lora = fresh_adapter(causal, init_lora)
            model = model.to(device).eval()
    trained = trained_parameters(model)
    if parameters == "full":
        linears, everything = base_linears(causal), list(base_names(causal))
        check_differentiable(linears)
    else:
        linears = lora_linears(model, causal, str(checkpoint.path))
        everything = list(trained_names(model, causal))
    freeze_all_but(model, linears)
    adapter = checkpoint.adapter_digest
    if init_lora is not None:
        adapter = tensors_digest({n: weight_of(linear) for n, linear in linears.items()})
    return LoadedModel(
        model=model,
        causal=causal,
        linears=linears,
        base=public_base(name),
        base_revision=base_revision(name, revision),
        base_digest=base_digest(name, revision),
        adapter_digest=adapter,
        lora=lora,
        unattributed=tuple(n for n in everything if n not in linears),
        trained=trained if init_lora is None else NOTHING,
    )


def _check_options(
    checkpoint: CheckpointFolder,
    base: str | None,
    parameters: str,
    init_lora: InitLora | None,
    quantize: str | None,
) -> None:
    path = checkpoint.path
    if parameters not in PARAMETERS:
        raise UsageError(unknown_name("parameters", parameters, PARAMETERS))
    if checkpoint.kind == "model" and base is not None:
        raise UsageError(f"{path}: a full model is its own base; leave `--base` out")
    if checkpoint.kind == "adapter" and init_lora is not None:
        raise UsageError(
            f"{path}: has an adapter already; leave `--init-lora` out, or give its base model as the checkpoint"
        )
    if parameters == "full" and init_lora is not None:
        raise UsageError("`--parameters full` leaves adapters out; choose it or `--init-lora`")
    if parameters == "full" and quantize is not None:
        raise UsageError("`--parameters full` needs the base model's own weights; leave `--quantize` out")
    if checkpoint.kind == "model" and parameters == "lora" and init_lora is None:
        raise CheckpointError(
            f"{path}: a full model without a LoRA adapter; train one with `gradstore warmup --model {path}`, attribute"
            " all its linear layers with `--parameters full`, or put a fresh adapter on it with `--init-lora`"
        )
