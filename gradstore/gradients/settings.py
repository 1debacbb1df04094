"""What a user decides about an extraction."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypedDict

from gradstore.errors import UsageError
from gradstore.gradients.directions import needs_moments
from gradstore.parts import local_device
from gradstore.records import PROJECTIONS, ProjectionSpec
from gradstore.registry import unknown_name

__all__ = ["Options", "Settings"]

# Directions that a projection can make: sketched from both sides, a gradient is never there to be transformed.
SKETCHED = ("sgd", "precond", "rds")
WHOLE_FULL = ("sgd", "sign", "rds")
# Settings that say where something lies or who computes it, or that are kept elsewhere.
PLACES = ("data", "base", "chat_template", "device", "part", "strict", "license")


class Options(TypedDict, total=False):
    """Keyword arguments that `extract` and `plan` hand on to `Settings`, which has the defaults."""

    parameters: str
    projection: str | None
    dim: int
    seed: int
    encoding: str
    chunk_rows: int | None
    token_budget: int | None
    max_length: int
    base: str | None
    init_lora: bool
    lora_r: int
    lora_alpha: int
    target_modules: Sequence[str]
    quantize: str | None
    trust_remote_code: bool
    gradient_checkpointing: bool
    chat_template: str | None
    fmt: str | None
    device: str | None
    dtype: str | None
    embed_rows: bool
    embed_adapter: bool
    part: str | None
    strict: bool
    license: str | Mapping[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that decides an extraction.

    Attributes
    ----------
    data : Path
        The rows.
    name : str
        What the data set is called in the store.
    target : bool
        Whether it is a target.
    directions : tuple of str
        Empty for the convention: ``adam`` for the train rows of a trained adapter, else ``sgd``.
    parameters : {"lora", "full"}
        Gradients of the LoRA matrices, or of every linear layer of the base model.
    projection : {"sjlt", "rademacher", "kron", "kron+sjlt", "none"}, optional
        By default ``sjlt``; for full parameters ``kron+sjlt``, which never forms a gradient.
    dim : int
        Numbers stored for each row; with ``none`` all there are.
    seed : int
        Seed of the projection, and of the adapter that `init_lora` makes.
    encoding : {"int8", "exact", "half", "int4", "sign"}
    chunk_rows : int, optional
        Rows written and resumed together; by default 8 MiB of them.
    token_budget : int, optional
        Largest number of tokens in a batch, padding included; by default 1024 on a CPU, 16384 on a GPU.
    max_length : int
        Tokens after which a row is cut.
    base : str, optional
        Folder or hub id of the base model; by default what the adapter names.
    init_lora : bool
        Put a fresh adapter (`lora_r`, `lora_alpha`, `target_modules`) on a checkpoint that is a model without one.
    quantize : {"4bit", "8bit"}, optional
        Load the base model quantised by bitsandbytes.
    trust_remote_code : bool
        Run model code that comes with the base model.
    gradient_checkpointing : bool
        Compute activations twice instead of keeping them.
    chat_template : str, optional
        File, text or built-in name (``less``, ``chatml``) instead of the tokenizer's own template.
    fmt : str, optional
        Format of the rows; by default told from the first row.
    device, dtype : str, optional
        Where and in which precision the base model computes; by default a GPU in bfloat16 if there is one, else
        the CPU in float32.
    embed_rows : bool
        Whether the store keeps the original rows.
    embed_adapter : bool
        Whether the store carries the checkpoint's adapter and tokenizer, for others to extract targets with.
    part : str, optional
        ``"i/n"``: compute only every n-th chunk, beginning with chunk i.
    strict : bool
        Whether a row without a gradient is an error.
    license : str or Mapping from source to str, optional
        Under which licence the rows may be used; the source ``""`` stands for all others.
    """

    data: Path
    name: str
    target: bool = False
    directions: tuple[str, ...] = ()
    parameters: str = "lora"
    projection: str | None = None
    dim: int = 8192
    seed: int = 0
    encoding: str = "int8"
    chunk_rows: int | None = None
    token_budget: int | None = None
    max_length: int = 2048
    base: str | None = None
    init_lora: bool = False
    lora_r: int = 8
    lora_alpha: int = 16
    target_modules: Sequence[str] = ()
    quantize: str | None = None
    trust_remote_code: bool = False
    gradient_checkpointing: bool = False
    chat_template: str | None = None
    fmt: str | None = None
    device: str | None = None
    dtype: str | None = None
    embed_rows: bool = True
    embed_adapter: bool = True
    part: str | None = None
    strict: bool = False
    license: str | Mapping[str, str] | None = None

    @property
    def kind(self) -> str:
        """The projection asked for, or the default for these parameters."""
        return self.projection or ("kron+sjlt" if self.parameters == "full" else "sjlt")

    @property
    def sketched(self) -> bool:
        """Whether gradients are sketched from both sides, and so never formed."""
        return self.kind.startswith("kron")

    def resolved_directions(self) -> tuple[str, ...]:
        """The directions asked for, or the convention."""
        train = "sgd" if self.parameters == "full" or self.init_lora else "adam"
        directions = tuple(self.directions) or (("sgd",) if self.target else (train,))
        needs_moments(directions)
        return directions

    def resolved_device(self) -> str:
        """The device asked for, else a GPU if there is one: the one that a launcher gave this process."""
        import torch

        if self.device is None:
            if not torch.cuda.is_available():
                return "cpu"
            number = local_device(os.environ, torch.cuda.device_count())
            return "cuda" if number is None else f"cuda:{number}"
        try:
            torch.device(self.device)
        except RuntimeError:
            raise UsageError(
                f"device {self.device!r} is none; name one such as cpu, cuda or cuda:1"
            ) from None
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise UsageError(f"device {self.device!r}: this machine has no usable GPU; leave `--device` out")
        return self.device

    def resolved_dtype(self) -> str:
        """The precision asked for, else bfloat16 on a GPU and float32 elsewhere."""
        dtypes = ("float32", "bfloat16", "float16")
        if self.dtype is None:
            return "bfloat16" if self.resolved_device().startswith("cuda") else "float32"
        if self.dtype not in dtypes:
            raise UsageError(unknown_name("dtype", self.dtype, dtypes))
        return self.dtype

    def resolved_token_budget(self) -> int:
        """The budget asked for, else what was measured to be fast (docs/benchmarks.md)."""
        if self.token_budget is not None:
            return self.token_budget
        return 16384 if self.resolved_device().startswith("cuda") else 1024

    def projection_spec(self, numbers: int) -> ProjectionSpec:
        """The projection of a gradient of so many numbers."""
        whole = self.kind == "none"
        return ProjectionSpec(self.kind, numbers if whole else self.dim, 0 if whole else self.seed)

    def replayable(self) -> dict[str, Any]:
        """The options that were given, as JSON values; without paths, and what tells one process from another."""
        given = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in PLACES and getattr(self, field.name) != field.default
        }
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}

    def check(self) -> None:
        """Refuse what cannot be right before anything is loaded.

        Raises
        ------
        UsageError
        """
        if self.kind not in PROJECTIONS:
            raise UsageError(unknown_name("projection", self.kind, PROJECTIONS))
        if self.parameters not in ("lora", "full"):
            raise UsageError(unknown_name("kind of parameters", self.parameters, ("lora", "full")))
        for option, value in (
            ("dim", self.dim),
            ("chunk-rows", self.chunk_rows),
            ("token-budget", self.token_budget),
            ("lora-r", self.lora_r),
            ("lora-alpha", self.lora_alpha),
        ):
            if value is not None and value < 1:
                raise UsageError(f"`--{option}` must be at least 1, not {value}")
        if self.max_length < 2:
            raise UsageError(f"`--max-length` must be at least 2, not {self.max_length}")
        if self.init_lora and self.parameters == "full":
            raise UsageError("`--init-lora` and `--parameters full` exclude each other")
        self._check_directions()
        self.resolved_dtype()

    def _check_directions(self) -> None:
        directions = set(self.resolved_directions())
        if self.sketched:
            if self.parameters != "full":
                raise UsageError(f"`--projection {self.kind}` is for `--parameters full`; use sjlt")
            possible = SKETCHED
        elif self.parameters == "full":
            possible = WHOLE_FULL
        else:
            return
        wrong = sorted(directions - set(possible))
        if wrong:
            raise UsageError(
                f"direction {wrong[0]!r} cannot be made of full parameters by {self.kind}; choose from:"
                f" {', '.join(possible)}"
            )
