"""Optimizer states that are not plain Adam's: 8-bit, factored, sharded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gradstore.checkpoint import find_checkpoints, load_factored_moments, load_model, load_moments
from gradstore.checkpoint.optimizer.blockwise import dequantize
from gradstore.errors import CheckpointError, IncompatibleError

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


def adafactor(**options: Any) -> Callable[[list[dict[str, Any]]], Any]:
    def make(groups: list[dict[str, Any]]) -> Any:
        from transformers.optimization import Adafactor

        return Adafactor(groups, lr=1e-3, relative_step=False, scale_parameter=False, **options)

    return make


def torch_adafactor(groups: list[dict[str, Any]]) -> Any:
    return torch.optim.Adafactor(groups, lr=1e-3)


@pytest.mark.parametrize("optimizer", [adafactor(), torch_adafactor], ids=["transformers", "torch"])
def test_adafactor_has_a_second_moment_of_rank_one_and_no_first(
    optimizer: Callable[[list[dict[str, Any]]], Any], trained: Train
) -> None:
    made = trained("llama", optimizer)
    loaded = made.load()
    moments = load_moments(made.path, loaded)
    for name, theirs in made.attributed(loaded).items():
        state = made.state(theirs)
        row = state.get("exp_avg_sq_row", state.get("row_var")).flatten()
        column = state.get("exp_avg_sq_col", state.get("col_var")).flatten()
        second = moments.second[name]
        assert torch.allclose(second.mean(1), row, rtol=1e-4)
        assert torch.allclose(second.mean(0), column, rtol=1e-4)
        assert torch.allclose(second * row.mean(), torch.outer(row, column), rtol=1e-4)
    with pytest.raises(CheckpointError, match=r"no first moment.*Adafactor.*--direction precond"):
        moments.first[loaded.parameters[0][0]]
    assert moments.assumed == ("betas", "eps")


def test_adafactor_with_momentum_has_both(trained: Train) -> None:
    made = trained("llama", adafactor(beta1=0.9))
    loaded = made.load()
    moments = load_moments(made.path, loaded)
    for name, theirs in made.attributed(loaded).items():
        assert torch.equal(moments.first[name], made.state(theirs)["exp_avg"])


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral"])
@pytest.mark.parametrize("optimizer", [adafactor(), torch_adafactor], ids=["transformers", "torch"])
def test_adafactor_of_a_full_fine_tune_gives_its_own_means(
    name: str, optimizer: Callable[[list[dict[str, Any]]], Any], tmp_path: Path
) -> None:
    from tests.architectures import make_model, train

    made: list[Any] = []

    def keep(groups: list[dict[str, Any]]) -> Any:
        made.append(optimizer(groups))
        return made[0]

    model = make_model(name)
    path = train(model, tmp_path / "checkpoint-3", keep)
    loaded = load_model(find_checkpoints(path)[0], parameters="full")
    moments = load_factored_moments(path, loaded)
    parameters = dict(model.named_parameters())
    for parameter in loaded.linears:
        state = made[0].state[parameters[parameter]]
        row = state.get("exp_avg_sq_row", state.get("row_var")).flatten()
        column = state.get("exp_avg_sq_col", state.get("col_var")).flatten()
        rows, columns = (column, row) if name == "gpt2" else (row, column)
        assert torch.equal(moments.rows[parameter], rows)
        assert torch.equal(moments.columns[parameter], columns)


def test_deepspeed_shards_are_refused_with_the_command_that_joins_them(copy: Copy) -> None:
    folder = copy()
    loaded = load_model(find_checkpoints(folder)[0])
    (folder / "optimizer.pt").unlink()
    shards = folder / "global_step3"
    shards.mkdir()
    (shards / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt").touch()
    command = (
        "python -m deepspeed.checkpoint.ds_to_universal --inject_missing_state"
        f" --input_folder {shards} --output_folder {folder / 'universal'}"
    )
    with pytest.raises(CheckpointError) as caught:
        load_moments(folder, loaded)
    assert command in str(caught.value)


@pytest.mark.parametrize("stage", [2, 3])
def test_what_deepspeeds_converter_writes_is_read(stage: int, trained: Train) -> None:
    """Stages 1 and 2: a dictionary with the tensor, and fp32.pt of frozen weights too. Stage 3: a flat tensor."""
    made = trained("llama", lora_bias=True)
    (made.path / "optimizer.pt").unlink()
    zero = made.path / "universal" / "zero"
    for name, parameter in made.model.named_parameters():
        (zero / name).mkdir(parents=True)
        state = made.optimizer.state.get(parameter, {})
        tensors = {"fp32": parameter.detach()} | {k: v for k, v in state.items() if k != "step"}
        for key, tensor in tensors.items():
            whole = {"cat_dim": 0, "param": tensor} if stage == 2 else tensor.flatten()
            torch.save(whole, zero / name / f"{key}.pt")
        if state and stage == 2:
            torch.save(state["step"], zero / name / "step.pt")
    loaded = made.load()
    moments = load_moments(made.path, loaded)
    for name, theirs in made.attributed(loaded).items():
        assert torch.equal(moments.first[name], made.state(theirs)["exp_avg"])
        assert torch.equal(moments.second[name], made.state(theirs)["exp_avg_sq"])
    assert moments.step == 3
    assert moments.assumed == ("betas", "eps")


def test_universal_checkpoint_of_another_model(copy: Copy) -> None:
    folder = copy()
    loaded = load_model(find_checkpoints(folder)[0])
    (folder / "optimizer.pt").unlink()
    for name in (*loaded.linears, "other.weight"):
        (folder / "zero" / name).mkdir(parents=True)
        torch.save({"param": torch.zeros(3, 3)}, folder / "zero" / name / "exp_avg_sq.pt")
    with pytest.raises(IncompatibleError, match=r"moments of other\.weight"):
        load_moments(folder, loaded)
    (folder / "zero" / "other.weight" / "exp_avg_sq.pt").unlink()
    with pytest.raises(IncompatibleError, match=r"have shape \(3, 3\)"):
        load_moments(folder, loaded)


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_fsdp_shards_are_refused_with_a_command_whose_result_is_read(trained: Train) -> None:
    from torch.distributed import checkpoint as sharded
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    made = trained("llama")
    names = {id(p): name for name, p in made.model.named_parameters()}
    state = {names[id(p)]: dict(entry) for p, entry in made.optimizer.state.items()}
    groups = [{**made.optimizer.state_dict()["param_groups"][0], "params": list(state)}]
    shards = made.path / "optimizer_0"
    sharded.save({"optimizer": {"state": state, "param_groups": groups}}, checkpoint_id=shards)
    (made.path / "optimizer.pt").unlink()
    loaded = made.load()
    whole = made.path / "optimizer.bin"
    command = f"python -m torch.distributed.checkpoint.format_utils dcp_to_torch {shards} {whole}"
    with pytest.raises(CheckpointError) as caught:
        load_moments(made.path, loaded)
    assert command in str(caught.value)
    dcp_to_torch_save(shards, whole)  # what the command calls
    moments = load_moments(made.path, loaded)
    for name, theirs in made.attributed(loaded).items():
        assert torch.equal(moments.first[name], made.state(theirs)["exp_avg"])
