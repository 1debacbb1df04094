"""bitsandbytes' optimizer states: 8-bit values come back as they were meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gradstore.checkpoint import find_checkpoints, load_model, load_moments
from gradstore.checkpoint.optimizer.blockwise import dequantize
from gradstore.errors import CheckpointError

Train = Callable[..., Any]
Copy = Callable[..., Path]


def quantized(values: torch.Tensor, code: torch.Tensor, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Block-wise quantisation as its paper describes it: scale by the largest magnitude, take the nearest value."""
    flat = torch.nn.functional.pad(values.flatten(), (0, -values.numel() % block)).view(-1, block)
    largest = flat.abs().amax(1)
    scaled = flat / largest.clamp_min(1e-38)[:, None]
    nearest = (scaled[:, :, None] - code).abs().argmin(-1)
    return nearest.flatten()[: values.numel()].view(values.shape).to(torch.uint8), largest


@pytest.mark.parametrize("block", [256, 2048])
@pytest.mark.parametrize("shape", [(4, 32), (64, 48), (70, 33), (1, 7)])
def test_eight_bit_values_come_back_within_half_a_step(shape: tuple[int, int], block: int) -> None:
    draw = torch.Generator().manual_seed(1)
    values = torch.randn(shape, generator=draw) * torch.logspace(-6, 2, shape[1])
    code = torch.linspace(-1, 1, 256)
    codes, largest = quantized(values, code, block)
    error = (dequantize(codes, code, largest) - values).abs().flatten()
    allowed = largest.repeat_interleave(block)[: values.numel()] / 255
    assert (error <= allowed * 1.01).all()


def test_eight_bit_blocks_of_an_unknown_size_are_refused() -> None:
    with pytest.raises(CheckpointError, match="8-bit optimizer state of 512 values in 3 blocks"):
        dequantize(torch.zeros(512, dtype=torch.uint8), torch.zeros(256), torch.zeros(3))


@pytest.mark.parametrize("nested", [False, True], ids=["plain", "hidden from FSDP"])
def test_eight_bit_state_of_bitsandbytes(nested: bool, trained: Train) -> None:
    made = trained("llama", r=64)
    loaded = made.load()
    stored = torch.load(made.path / "optimizer.pt", weights_only=True)
    signed, unsigned = torch.linspace(-1, 1, 256), torch.linspace(0, 1, 256)
    for number, entry in stored["state"].items():
        first, second = entry.pop("exp_avg"), entry.pop("exp_avg_sq")
        entry["step"] = 3
        if number % 3 == 0:  # parameters of less than 4096 values are kept in 32 bit
            states = {"state1": first, "state2": second}
        else:
            (one, large1), (two, large2) = quantized(first, signed, 256), quantized(second, unsigned, 256)
            states = {"state1": one, "state2": two, "absmax1": large1, "absmax2": large2}
            states |= {"qmap1": signed, "qmap2": unsigned}
        entry.update({"__bnb_optimizer_quant_state__": states} if nested else states)
    torch.save(stored, made.path / "optimizer.pt")
    moments = load_moments(made.path, loaded)
    for name, theirs in made.attributed(loaded).items():
        exact = made.state(theirs)
        scale = exact["exp_avg"].abs().max()
        assert (moments.first[name] - exact["exp_avg"]).abs().max() <= scale / 200
        assert (moments.second[name] - exact["exp_avg_sq"]).abs().max() <= exact["exp_avg_sq"].max() / 400
    assert moments.step == 3


@pytest.mark.parametrize("kind", ["AdamW8bit", "AdamW", "PagedAdamW8bit"])
@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
def test_real_bitsandbytes_optimizers(kind: str, trained: Train) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    made = trained("llama", lambda groups: getattr(bitsandbytes.optim, kind)(groups, lr=1e-3), r=128)
    loaded = made.load()
    moments = load_moments(made.path, loaded)
    quantised = 0
    for name, theirs in made.attributed(loaded).items():
        state = made.state(theirs)
        for number, tensors in ((1, moments.first), (2, moments.second)):
            codes = state[f"state{number}"]
            if codes.dtype == torch.uint8:
                quantised += 1
                exact = bitsandbytes.functional.dequantize_blockwise(
                    codes, absmax=state[f"absmax{number}"], code=state[f"qmap{number}"], blocksize=256
                )
                assert torch.equal(tensors[name], exact.float())
            else:
                assert torch.equal(tensors[name], codes)
    assert bool(quantised) == kind.endswith("8bit")


def test_ademamix_is_named(copy: Copy) -> None:
    folder = copy()
    loaded = load_model(find_checkpoints(folder)[0])
    stored = torch.load(folder / "optimizer.pt", weights_only=True)
    entry = {"state1": torch.zeros(2, 4, 32), "state2": torch.zeros(4, 32)}
    stored["state"] = dict.fromkeys(stored["state"], entry)
    torch.save(stored, folder / "optimizer.pt")
    with pytest.raises(CheckpointError, match="AdEMAMix"):
        load_moments(folder, loaded)
