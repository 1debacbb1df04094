"""A base model with its LoRA adapter, checked to fit before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gradstore.checkpoint.folder import CheckpointFolder, files_digest
from gradstore.checkpoint.quiet import quiet
from gradstore.checkpoint.safe import load_tensors
from gradstore.errors import CheckpointError, IncompatibleError

__all__ = ["LoadedModel", "load_model", "load_tokenizer"]

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in evaluation mode whose only trained parameters are LoRA matrices.

    Attributes
    ----------
    model : torch.nn.Module
        The peft model.
    linears : dict from parameter name to torch.nn.Linear
        The LoRA matrices ("…lora_A.weight", "…lora_B.weight") in ``named_parameters`` order.
    base : str
        Name of the base model: its hub id, or the name of its folder (a path would tell others nothing).
    base_digest : str
        Digest of the base model's weight files.
    """

    model: nn.Module
    linears: dict[str, nn.Linear]
    base: str
    base_digest: str

    @property
    def vocabulary(self) -> int:
        """How many token ids the model knows."""
        embeddings: nn.Embedding = self.model.get_input_embeddings()  # type: ignore[operator]
        return int(embeddings.weight.shape[0])

    @property
    def parameters(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Names and shapes of the trained parameters, in the order in which gradients are concatenated."""
        return tuple((name, tuple(linear.weight.shape)) for name, linear in self.linears.items())


def load_model(
    checkpoint: CheckpointFolder, *, base: str | None = None, device: str = "cpu", dtype: str = "float32"
) -> LoadedModel:
    """Load the base model and put the checkpoint's adapter on it.

    Parameters
    ----------
    checkpoint : CheckpointFolder
    base : str, optional
        Folder or hub id of the base model; by default what the adapter names.
    device, dtype : str
        Where and in which precision the base computes; LoRA matrices stay in float32.

    Raises
    ------
    CheckpointError
        If the base model cannot be loaded, or the adapter trains something other than LoRA matrices of linear layers.
    IncompatibleError
        If the adapter does not fit the base model; the message names the first matrix that differs.
    """
    from peft import PeftModel
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    base = base or checkpoint.base
    if base is None:
        raise CheckpointError(
            f"{checkpoint.path}: the adapter does not name its base model; give it with `--base`"
        )
    if checkpoint.lora.get("use_dora"):
        raise CheckpointError(f"{checkpoint.path}: a DoRA adapter; only plain LoRA (and rsLoRA) is supported")
    with quiet():
        try:
            model = AutoModelForCausalLM.from_pretrained(
                base, dtype=getattr(torch, dtype), trust_remote_code=False
            )
        except (OSError, ValueError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(
                f"base model {base}: cannot be loaded: {reason} (choose another with `--base`)"
            ) from error
        check_adapter_fits(checkpoint, model, base)
        model = PeftModel.from_pretrained(model, str(checkpoint.path), is_trainable=True)
    model = model.to(device).eval()
    return LoadedModel(model, _lora_linears(model, checkpoint), _public_name(base), base_digest(base))


def check_adapter_fits(checkpoint: CheckpointFolder, model: nn.Module, base: str) -> None:
    """Compare the adapter's matrices with the base model's layers, before peft does so in many lines."""
    for name, shape in _adapter_shapes(checkpoint):
        path, _, kind = name.removesuffix(".weight").rpartition(".lora_")
        path = path.removeprefix("base_model.model.")
        try:
            layer = model.get_submodule(path)
        except AttributeError:
            raise IncompatibleError(
                f"{checkpoint.path}: the adapter was made for a layer {path!r} that {base} does not have;"
                " is it the right base model?"
            ) from None
        weight = getattr(layer, "weight", None)
        if weight is None or kind not in ("A", "B"):
            continue
        # A Conv1D (GPT-2) keeps (in, out) where a Linear keeps (out, in).
        transposed = type(layer).__name__ == "Conv1D"
        outputs, inputs = reversed(weight.shape) if transposed else weight.shape
        mine, theirs = (shape[1], inputs) if kind == "A" else (shape[0], outputs)
        if mine != theirs:
            side = "inputs" if kind == "A" else "outputs"
            raise IncompatibleError(
                f"{checkpoint.path}: {name} expects {mine} {side}, but {path} of {base} has {theirs};"
                " is it the right base model?"
            )


def load_tokenizer(checkpoint: CheckpointFolder, base: str | None = None) -> Any | None:
    """The checkpoint's own tokenizer, else the base model's, else None."""
    from transformers import AutoTokenizer

    candidates = [str(checkpoint.path), base or checkpoint.base]
    for place in candidates:
        if place is None:
            continue
        if Path(place).is_dir() and not any((Path(place) / name).is_file() for name in TOKENIZER_FILES):
            continue
        try:
            return AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"tokenizer of {place}: cannot be loaded: {reason}") from error
    return None


def _public_name(base: str) -> str:
    return Path(base).resolve().name if Path(base).exists() else base


def base_digest(base: str) -> str:
    """Digest of the weight files of a model folder, or of a hub model in the local cache."""
    folder = Path(base)
    if not folder.is_dir():
        from transformers.utils import cached_file

        folder = Path(str(cached_file(base, "config.json"))).parent
    for pattern in ("*.safetensors", "*.bin", "*.gguf"):
        files = sorted(path for path in folder.glob(pattern) if not path.name.startswith("adapter_model"))
        if files:
            return files_digest(files)
    raise CheckpointError(f"base model {base}: no weight files found in {folder}")


def _adapter_shapes(checkpoint: CheckpointFolder) -> Iterator[tuple[str, tuple[int, ...]]]:
    if checkpoint.weights.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(checkpoint.weights), framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (no mapping)
                    yield name, tuple(file.get_slice(name).get_shape())
        except SafetensorError as error:
            raise CheckpointError(f"{checkpoint.weights}: damaged: {error}") from error
    else:
        for name, tensor in load_tensors(checkpoint.weights).items():
            yield name, tuple(tensor.shape)


def _lora_linears(model: nn.Module, checkpoint: CheckpointFolder) -> dict[str, nn.Linear]:
    linears: dict[str, nn.Linear] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        module_path, _, leaf = name.rpartition(".")
        module = model.get_submodule(module_path)
        is_lora = ".lora_A." in name or ".lora_B." in name
        if not (is_lora and leaf == "weight" and type(module) is nn.Linear):
            raise CheckpointError(
                f"{checkpoint.path}: the adapter also trains {name}, which is no LoRA matrix of a linear layer;"
                " only lora_A and lora_B are supported"
            )
        linears[name.replace(".default.", ".")] = module
    if not linears:
        raise CheckpointError(f"{checkpoint.path}: the adapter has no LoRA matrices")
    return linears
