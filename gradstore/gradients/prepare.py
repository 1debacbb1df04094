"""Everything an extraction needs before it computes: settings, rows, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from gradstore.checkpoint import CheckpointFolder, find_checkpoints, load_tokenizer
from gradstore.data import ChatTokenizer, DataFile, load_rows
from gradstore.errors import DataError, UsageError
from gradstore.gradients.directions import needs_moments
from gradstore.progress import Progress, silent
from gradstore.records import PROJECTIONS, Example, ProjectionSpec
from gradstore.registry import unknown_name

__all__ = ["Options", "Settings", "Tokenised", "resolve_checkpoints", "tokenise"]


class Options(TypedDict, total=False):
    """Keyword arguments that `extract` and `plan` hand on to `Settings`, which has the defaults."""

    projection: str
    dim: int
    seed: int
    encoding: str
    chunk_rows: int | None
    token_budget: int | None
    max_length: int
    base: str | None
    chat_template: str | None
    fmt: str | None
    device: str | None
    dtype: str | None
    embed_rows: bool


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
        Empty for the convention: ``adam`` for train rows, ``sgd`` for a target.
    projection : {"sjlt", "rademacher", "none"}
    dim : int
        Numbers stored for each row; with ``none`` all there are.
    seed : int
        Seed of the projection.
    encoding : {"int8", "exact", "half"}
    chunk_rows : int, optional
        Rows written and resumed together; by default 8 MiB of them.
    token_budget : int, optional
        Largest number of tokens in a batch, padding included; by default 1024 on a CPU, 16384 on a GPU.
    max_length : int
        Tokens after which a row is cut.
    base : str, optional
        Folder or hub id of the base model; by default what the adapter names.
    chat_template : str, optional
        File, text or built-in name (``less``, ``chatml``) instead of the tokenizer's own template.
    fmt : str, optional
        Format of the rows; by default told from the first row.
    device, dtype : str, optional
        Where and in which precision the base model computes; by default a GPU in bfloat16 if there is one, else
        the CPU in float32.
    embed_rows : bool
        Whether the store keeps the original rows.
    """

    data: Path
    name: str
    target: bool = False
    directions: tuple[str, ...] = ()
    projection: str = "sjlt"
    dim: int = 8192
    seed: int = 0
    encoding: str = "int8"
    chunk_rows: int | None = None
    token_budget: int | None = None
    max_length: int = 2048
    base: str | None = None
    chat_template: str | None = None
    fmt: str | None = None
    device: str | None = None
    dtype: str | None = None
    embed_rows: bool = True

    def resolved_directions(self) -> tuple[str, ...]:
        """The directions asked for, or the convention: ``adam`` for train rows, ``sgd`` for a target."""
        directions = tuple(self.directions) or (("sgd",) if self.target else ("adam",))
        needs_moments(directions)
        return directions

    def resolved_device(self) -> str:
        """The device asked for, else a GPU if there is one."""
        import torch

        if self.device is None:
            return "cuda" if torch.cuda.is_available() else "cpu"
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

    def projection_spec(self, parameters: int) -> ProjectionSpec:
        """The projection of a gradient of `parameters` numbers."""
        dim = parameters if self.projection == "none" else self.dim
        return ProjectionSpec(self.projection, dim, 0 if self.projection == "none" else self.seed)

    def check(self) -> None:
        """Refuse what cannot be right before anything is loaded.

        Raises
        ------
        UsageError
        """
        if self.projection not in PROJECTIONS:
            raise UsageError(unknown_name("projection", self.projection, PROJECTIONS))
        for option, value in (
            ("dim", self.dim),
            ("chunk-rows", self.chunk_rows),
            ("token-budget", self.token_budget),
        ):
            if value is not None and value < 1:
                raise UsageError(f"`--{option}` must be at least 1, not {value}")
        if self.max_length < 2:
            raise UsageError(f"`--max-length` must be at least 2, not {self.max_length}")
        self.resolved_directions()
        self.resolved_dtype()


@dataclass(frozen=True, slots=True)
class Tokenised:
    """The rows of one data file as tokens, for one tokenizer and template."""

    file: DataFile
    examples: list[Example]
    tokenizer: Any | None
    tokenizer_digest: str
    template_digest: str

    @property
    def tokens(self) -> int:
        """Tokens of all rows that have a gradient."""
        return sum(len(e.input_ids) for e in self.examples if not e.reason)

    @property
    def truncated(self) -> int:
        """Rows that were cut to the maximal length."""
        return sum(e.truncated for e in self.examples)

    @property
    def invalid(self) -> dict[str, int]:
        """Rows without a gradient, counted by reason."""
        counts: dict[str, int] = {}
        for example in self.examples:
            if example.reason:
                counts[example.reason] = counts.get(example.reason, 0) + 1
        return counts


def resolve_checkpoints(paths: Sequence[str | Path]) -> list[CheckpointFolder]:
    """All checkpoints of all paths; their folder names must differ, since they become keys of the store."""
    found = [folder for path in paths for folder in find_checkpoints(path)]
    if not found:
        raise UsageError("no checkpoint given; use `--checkpoint RUN/checkpoint-100` or `--checkpoint RUN`")
    names = [folder.name for folder in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"two checkpoints are called {name!r}; extract them into two stores, or rename a folder"
            )
    return found


def tokenise(
    settings: Settings,
    checkpoint: CheckpointFolder,
    *,
    file: DataFile | None = None,
    progress: Progress = silent,
) -> Tokenised:
    """Read the data (unless `file` was read already) and turn every row into tokens."""
    file = file or load_rows(settings.data, fmt=settings.fmt)
    tokenizer = load_tokenizer(checkpoint, settings.base)
    if tokenizer is None and file.fmt != "tokens":
        raise DataError(
            f"{settings.data}: rows are text, but neither {checkpoint.path} nor its base model has a tokenizer;"
            " save one beside the base model, or give rows with input_ids and labels"
        )
    chat = ChatTokenizer(tokenizer, template=settings.chat_template, max_length=settings.max_length)
    examples = []
    with progress(len(file.rows), "rows", "tokenising") as bar:
        for row in file.rows:
            examples.append(chat.encode(row, file.fmt))
            bar.update(1)
    return Tokenised(file, examples, tokenizer, chat.tokenizer_digest, chat.template_digest)
