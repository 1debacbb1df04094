"""A checkpoint's adapter on its base model: checked to fit, loaded, nothing left to chance."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import nn

from gradstore.checkpoint.folder import CheckpointFolder
from gradstore.checkpoint.safe import load_tensors
from gradstore.checkpoint.trained import public_name
from gradstore.checkpoint.variants import check_variant
from gradstore.errors import CheckpointError, IncompatibleError, first_line

__all__ = ["load_adapter"]

Shapes = Mapping[str, tuple[int, ...]]


def load_adapter(checkpoint: CheckpointFolder, model: nn.Module, base: str) -> nn.Module:
    """The peft model of the checkpoint's adapter on `model`; what was trained requires a gradient.

    Raises
    ------
    CheckpointError
        If the adapter is of a variant that is not supported, or its file is damaged or incomplete.
    IncompatibleError
        If the adapter does not fit the base model; the message names the first matrix that differs.
    """
    from peft import PeftModel

    where = str(checkpoint.path)
    check_variant(checkpoint.lora, where)
    shapes = _stored_shapes(checkpoint)
    _check_fits(shapes, model, base, where)
    _resize_vocabulary(shapes, model)
    with warnings.catch_warnings():
        # peft only warns of what is missing, which is checked below, and of settings that it corrects itself.
        warnings.simplefilter("ignore", UserWarning)
        try:
            loaded = PeftModel.from_pretrained(model, where, is_trainable=True)
        except (ValueError, RuntimeError, TypeError, KeyError, OSError) as error:
            raise CheckpointError(f"{where}: the adapter cannot be loaded: {first_line(error)}") from error
    _check_complete(shapes, loaded, where)
    _check_finite(loaded, where)
    adapted: nn.Module = loaded
    return adapted


def _stored_shapes(checkpoint: CheckpointFolder) -> Shapes:
    path = checkpoint.weights[0]
    if path.suffix != ".safetensors":
        return {name: tuple(tensor.shape) for name, tensor in load_tensors(path).items()}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged: {error}") from error


def _check_fits(shapes: Shapes, model: nn.Module, base: str, where: str) -> None:
    """Compare the adapter's matrices with the base model's layers, before peft does so in many lines."""
    for name, shape in shapes.items():
        path, found, kind = name.removesuffix(".weight").rpartition(".lora_")
        if not found:
            continue
        path = path.removeprefix("base_model.model.")
        try:
            layer = model.get_submodule(path)
        except AttributeError:
            raise IncompatibleError(
                f"{where}: the adapter was made for a layer {path!r} that {base} does not have;"
                " is it the right base model?"
            ) from None
        features = _features(layer)
        if features is None or kind not in ("A", "B"):
            continue
        inputs, outputs = features
        mine, theirs = (shape[1], inputs) if kind == "A" else (shape[0], outputs)
        if mine != theirs:
            side = "inputs" if kind == "A" else "outputs"
            raise IncompatibleError(
                f"{where}: {name} expects {mine} {side}, but {path} of {base} has {theirs};"
                " is it the right base model?"
            )


def _features(layer: nn.Module) -> tuple[int, int] | None:
    if hasattr(layer, "in_features") and hasattr(layer, "out_features"):
        return layer.in_features, layer.out_features  # type: ignore[return-value]
    weight = getattr(layer, "weight", None)
    if isinstance(weight, torch.Tensor) and weight.dim() == 2:
        return weight.shape[0], weight.shape[
            1
        ]  # a Conv1D (GPT-2) keeps (in, out) where a Linear keeps (out, in)
    return None


def _resize_vocabulary(shapes: Shapes, model: nn.Module) -> None:
    """Make room for tokens that were added before the adapter was trained: peft saves the embeddings then."""
    embeddings = model.get_input_embeddings()  # type: ignore[operator]
    path = next((path for path, module in model.named_modules() if module is embeddings), None)
    stored = shapes.get(f"base_model.model.{path}.weight")
    if stored is not None and stored[0] != embeddings.weight.shape[0]:
        model.resize_token_embeddings(stored[0], mean_resizing=False)  # type: ignore[operator]


def _check_finite(loaded: nn.Module, where: str) -> None:
    for name, parameter in loaded.named_parameters():
        if parameter.requires_grad and not torch.isfinite(parameter).all():
            raise CheckpointError(
                f"{where}: {public_name(name)} holds numbers that are not finite: the training has diverged; use an"
                " earlier checkpoint"
            )


def _check_complete(shapes: Shapes, loaded: nn.Module, where: str) -> None:
    """Refuse an adapter file that lacks a trained parameter, whose value would be random, or that holds more."""
    stored = {public_name(name) for name in shapes}
    # peft keeps the copies made by modules_to_save under the name of what they replace.
    expected = {
        public_name(name).replace(".modules_to_save.", ".")
        for name, parameter in loaded.named_parameters()
        if parameter.requires_grad
    }
    for name in sorted(expected - stored):
        raise CheckpointError(f"{where}: the adapter's file lacks {name}, which its configuration trains")
    for name in sorted(stored - expected):
        if ".lora_" in name:
            raise CheckpointError(
                f"{where}: the adapter's file holds {name}, which its configuration leaves out"
            )
