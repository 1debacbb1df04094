"""Adam's moments of the attributed weights, each tensor made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gradstore.checkpoint.folder import trained_steps
from gradstore.checkpoint.optimizer.slots import Slot
from gradstore.checkpoint.optimizer.source import WAYS_OUT, OptimizerState, read_state
from gradstore.errors import CheckpointError

if TYPE_CHECKING:
    import torch

    from gradstore.checkpoint.load import LoadedModel

__all__ = ["FactoredMoments", "Moments", "load_factored_moments", "load_moments"]

# torch's defaults and Trainer's, for files that do not say: Adafactor's, and DeepSpeed's universal format.
BETAS, EPS = (0.9, 0.999), 1e-8


@dataclass(frozen=True, slots=True)
class Moments:
    """Adam's state for every attributed parameter.

    Attributes
    ----------
    first, second : Mapping from parameter name to float32 tensor of the parameter's shape
        ``exp_avg`` and ``exp_avg_sq``. An optimizer without a first moment (Adafactor, by default) raises a
        CheckpointError when a tensor of `first` is asked for.
    step : int
        Updates made so far.
    betas : (float, float)
    eps : float
        As read from the file, where it says them, else torch's defaults; LESS's formula uses its own constants.
    """

    first: Mapping[str, torch.Tensor]
    second: Mapping[str, torch.Tensor]
    step: int
    betas: tuple[float, float]
    eps: float


@dataclass(frozen=True, slots=True)
class FactoredMoments:
    """The second moment of every attributed layer, reduced to two vectors.

    Attributes
    ----------
    rows, columns : Mapping from parameter name to float32 tensor of shape (d_out,), (d_in,)
        Means of the second moment over the layer's inputs and over its outputs.
    step : int
    """

    rows: Mapping[str, torch.Tensor]
    columns: Mapping[str, torch.Tensor]
    step: int


def load_moments(folder: Path, loaded: LoadedModel) -> Moments:
    """The moments of the attributed weights, from whatever state the checkpoint's optimizer left.

    Raises
    ------
    CheckpointError
        If there is no such state, or it cannot be read as data; the message says what to do.
    IncompatibleError
        If the number of parameters or any shape differs; the message names it.
    """
    state, slots = _slots(folder, loaded)
    lacking = next((name for name, slot in slots.items() if slot.first is None), None)

    def first(name: str) -> torch.Tensor:
        make = slots[name].first
        if make is None or lacking is not None:
            raise CheckpointError(
                f"{state.path}: no first moment (exp_avg) for {lacking}, as Adafactor keeps none by default;"
                " use `--direction precond`, which needs the second moment only, or `--direction sgd`"
            )
        return make()

    betas, eps = state.settings.get("betas"), state.settings.get("eps")
    return Moments(
        first=_Made(slots, first),
        second=_Made(slots, lambda name: slots[name].second()),
        step=_step(folder, slots),
        betas=(float(betas[0]), float(betas[1])) if betas else BETAS,
        eps=eps if isinstance(eps, float) else EPS,  # Adafactor's is another thing
    )


def load_factored_moments(folder: Path, loaded: LoadedModel) -> FactoredMoments:
    """Row and column means of the second moment of every attributed layer of a full fine-tune.

    Adam's state is reduced one layer at a time; Adafactor keeps just these means.

    Raises
    ------
    CheckpointError, IncompatibleError
        As `load_moments`.
    """
    _, slots = _slots(folder, loaded)
    rows, columns = {}, {}
    for name, slot in slots.items():
        pair = slot.factors()
        # GPT-2's Conv1D keeps its weight as (inputs, outputs).
        transposed = type(loaded.linears[name]).__name__ == "Conv1D"
        rows[name], columns[name] = reversed(pair) if transposed else pair
    return FactoredMoments(rows, columns, _step(folder, slots))


class _Made(Mapping[str, "torch.Tensor"]):
    """Tensors by name, made one at a time."""

    def __init__(self, names: Mapping[str, object], make: Callable[[str], torch.Tensor]) -> None:
        self._names = names
        self._make = make

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _slots(folder: Path, loaded: LoadedModel) -> tuple[OptimizerState, dict[str, Slot]]:
    trained = set(loaded.trained.names)
    if not trained:
        raise CheckpointError(f"{folder}: a fresh adapter has no optimizer state; {WAYS_OUT}")
    untrained = next((name for name in loaded.linears if name not in trained), None)
    if untrained is not None:
        raise CheckpointError(
            f"{folder}: no moments of {untrained}, since only an adapter was trained;"
            " use `--direction sgd`, or a checkpoint of a full fine-tune"
        )
    state = read_state(folder, loaded.trained)
    return state, {name: state.slot(name, shape) for name, shape in loaded.parameters}


def _step(folder: Path, slots: Mapping[str, Slot]) -> int:
    """Updates made so far: as the optimizer counted them, else as the trainer did."""
    return max((slot.step for slot in slots.values()), default=0) or trained_steps(folder)
