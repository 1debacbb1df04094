"""Which weights a gradient is taken of, and which other trained parameters it leaves out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from torch import nn

from gradstore.checkpoint.trained import public_name
from gradstore.errors import CheckpointError

__all__ = [
    "base_linears",
    "base_names",
    "check_differentiable",
    "check_target_modules",
    "freeze_all_but",
    "lora_linears",
    "output_layer",
    "trained_names",
    "weight_of",
]

# peft's layers that call lora_A and lora_B as modules; others multiply their weights together.
CALLING_LAYERS = {"Linear", "Linear8bitLt", "Linear4bit"}


def lora_linears(model: nn.Module, causal: nn.Module, where: str) -> dict[str, nn.Module]:
    """The lora_A and lora_B layers of a peft model by the name of their weight, in ``named_parameters`` order.

    Those of the output layer are left out: it runs on learned positions of all rows together.

    Parameters
    ----------
    model, causal : torch.nn.Module
        The peft model and the transformers model in it.
    where : str
        For messages.

    Raises
    ------
    CheckpointError
        If there is none, or one of them is not used as a plain linear layer.
    """
    from peft.tuners.lora import LoraLayer

    used = _before_output(causal)
    linears: dict[str, nn.Module] = {}
    for path, layer in model.named_modules():
        if not isinstance(layer, LoraLayer) or not layer.lora_A:
            continue
        if type(layer).__name__ not in CALLING_LAYERS or layer.lora_variant:
            raise CheckpointError(
                f"{where}: {path} is a {type(layer).__name__} of a LoRA variant that is not supported;"
                " only LoRA on linear layers is"
            )
    for name, parameter in model.named_parameters():
        owner, _, leaf = name.rpartition(".")
        if parameter.requires_grad and leaf == "weight" and (".lora_A." in name or ".lora_B." in name):
            linear = model.get_submodule(owner)
            if type(linear) is not nn.Linear:
                raise CheckpointError(
                    f"{where}: {name} belongs to a {type(linear).__name__}, not to a Linear"
                )
            if id(linear) in used:
                linears[public_name(name)] = linear
    if not linears:
        raise CheckpointError(f"{where}: the adapter has no LoRA matrices of linear layers")
    return linears


def trained_names(model: nn.Module, causal: nn.Module) -> Iterator[str]:
    """Names of the parameters of `model` that require a gradient and that text passes through."""
    used = _used_modules(causal)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and id(model.get_submodule(name.rpartition(".")[0])) in used:
            yield public_name(name)


def base_linears(causal: nn.Module) -> dict[str, nn.Module]:
    """Every linear layer of the language model but its output layer, by the name of its weight in the base model.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    used = _before_output(causal)
    linears: dict[str, nn.Module] = {}
    for path, module in causal.named_modules():
        linear = isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
        if linear and id(module) in used and not _of_adapter(path):
            linears[f"{_base_name(path)}.weight"] = module
    if not linears:
        raise CheckpointError("the model has no linear layers besides its output layer")
    return linears


def base_names(causal: nn.Module) -> Iterator[str]:
    """Names in the base model of the parameters that text passes through, without those of an adapter."""
    used = _used_modules(causal)
    for name, _ in causal.named_parameters():
        if id(causal.get_submodule(name.rpartition(".")[0])) in used and not _of_adapter(name):
            yield _base_name(name)


def check_differentiable(linears: Mapping[str, nn.Module]) -> None:
    """Refuse weights that have no gradient because they are quantised.

    Raises
    ------
    CheckpointError
        The message names the first.
    """
    for name, linear in linears.items():
        if not weight_of(linear).is_floating_point():
            raise CheckpointError(
                f"{name} is quantised, and has no gradient; full-parameter gradients need the model it was made from"
            )


def check_target_modules(names: Collection[str], linears: Collection[str]) -> None:
    """Compare the layers to adapt with those there are, before peft does so in a less helpful way.

    Parameters
    ----------
    names, linears : collection of str
        Last names of the layers wanted, and of the model's linear layers.

    Raises
    ------
    CheckpointError
        If a name matches nothing; the message lists what there is.
    """
    missing = [name for name in names if name not in linears]
    if missing:
        raise CheckpointError(
            f"the model has no linear module {', '.join(missing)};"
            f" choose target modules among: {', '.join(sorted(linears))}"
        )


def freeze_all_but(model: nn.Module, linears: Mapping[str, nn.Module]) -> None:
    """Make the weights of `linears` the only parameters that require a gradient."""
    model.requires_grad_(False)
    for linear in linears.values():
        weight_of(linear).requires_grad_(True)


def weight_of(linear: nn.Module) -> nn.Parameter:
    """The weight of a layer that has one."""
    weight: nn.Parameter = linear.weight  # type: ignore[assignment]
    return weight


def output_layer(causal: nn.Module) -> nn.Module | None:
    """The layer that turns the last hidden states into logits."""
    head: nn.Module | None = causal.get_output_embeddings()  # type: ignore[operator]
    return head


def _before_output(causal: nn.Module) -> set[int]:
    """Modules that text passes through on its way to the output layer."""
    head = output_layer(causal)
    return _used_modules(causal) - ({id(module) for module in head.modules()} if head is not None else set())


def _used_modules(causal: nn.Module) -> set[int]:
    """Identities of the modules that text passes through: not those of an image or audio tower."""
    decoder = causal.get_decoder() if hasattr(causal, "get_decoder") else causal  # type: ignore[operator]
    head = output_layer(causal)
    return {id(module) for part in (decoder, head) if part is not None for module in part.modules()}


def _of_adapter(path: str) -> bool:
    """Whether this is an adapter's own part, or a module that modules_to_save has replaced."""
    return any(
        part.startswith("lora_") or part in ("original_module", "token_adapter") for part in path.split(".")
    )


def _base_name(path: str) -> str:
    """A name as the base model has it, whatever peft has wrapped around the layer."""
    parts = public_name(path).split(".")
    return ".".join(part for part in parts if part not in ("base_layer", "modules_to_save"))
