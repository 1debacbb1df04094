"""The base model alone: its weights, all of them, on the device, and what identifies them."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from gradstore.checkpoint.digests import files_digest
from gradstore.checkpoint.folder import weight_files
from gradstore.checkpoint.quantized import bitsandbytes_config, check_quantized_base, multiply_dequantized
from gradstore.checkpoint.revision import model_folder
from gradstore.errors import CheckpointError, GradstoreError, first_line

__all__ = ["base_digest", "load_base", "public_base"]

NAMED = 3


def load_base(
    base: str,
    *,
    device: str,
    dtype: str,
    revision: str | None = None,
    quantize: str | None = None,
    trust_remote_code: bool = False,
    way_out: str = "",
) -> nn.Module:
    """The causal language model at `base`, every weight of which comes from its files.

    Parameters
    ----------
    base : str
        Folder or hub id.
    device, dtype : str
    revision : str, optional
        Branch, tag or commit of a hub model.
    quantize : {"4bit", "8bit"}, optional
    trust_remote_code : bool
        Whether code that lies beside the weights may run.
    way_out : str
        What to do when the model cannot be loaded, for the message.

    Raises
    ------
    CheckpointError
        If the model cannot be loaded, or its files lack weights; one line says why.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(base, revision=revision, trust_remote_code=trust_remote_code)
        options = _options(config, base, device, getattr(torch, dtype), quantize)
        model, report = AutoModelForCausalLM.from_pretrained(
            base,
            config=config,
            revision=revision,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            **options,
        )
    except GradstoreError:
        raise
    except UnpicklingError as error:
        raise CheckpointError(
            f"base model {base}: its weight file is damaged or holds more than tensors; nothing in it was run"
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise CheckpointError(_why(base, error, way_out)) from error
    missing = sorted(report["missing_keys"])
    if missing:
        named = ", ".join(missing[:NAMED]) + (", …" if len(missing) > NAMED else "")
        raise CheckpointError(
            f"base model {base}: its files lack {len(missing)} weights ({named});"
            " is it a causal language model, and complete?"
        )
    if "device_map" in options:
        multiply_dequantized(model)
    else:
        model = model.to(device)
    loaded: nn.Module = model.eval()
    return loaded


def base_digest(base: str, revision: str | None = None) -> str:
    """Digest of the weight files of a model folder, or of a hub model in the local cache.

    Raises
    ------
    CheckpointError
        If there are none.
    """
    folder = model_folder(base, revision)
    files = weight_files(folder)
    if not files:
        raise CheckpointError(f"base model {base}: no weight files found in {folder}")
    return files_digest(files)


def public_base(base: str) -> str:
    """A name for people: the hub id, or the folder's name (a path would tell others nothing)."""
    return Path(base).resolve().name if Path(base).exists() else base


def _options(config: Any, base: str, device: str, dtype: torch.dtype, quantize: str | None) -> dict[str, Any]:
    options: dict[str, Any] = {"dtype": dtype}
    stored = getattr(config, "quantization_config", None)
    if stored is not None:
        check_quantized_base(stored, quantize, base, device)
    elif quantize is not None:
        options["quantization_config"] = bitsandbytes_config(quantize, dtype, device)
    if len(options) > 1 or stored is not None:
        options["device_map"] = {"": device}  # such weights are put in place as they are read
    return options


def _why(base: str, error: Exception, way_out: str) -> str:
    if "trust_remote_code" in str(error):
        return (
            f"base model {base}: needs code that lies beside its weights, which `extract` runs only when asked for"
            " (`--trust-remote-code`); read it first"
        )
    reason = first_line(error)
    if "ignore_mismatched_sizes" in reason:
        reason = "weights in its files have other shapes than its config.json says"
    return f"base model {base}: cannot be loaded: {reason}" + (f" ({way_out})" if way_out else "")
