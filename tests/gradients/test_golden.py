"""Rows written by the original LESS code are reproduced from its checkpoint, optimizer state and inputs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gradstore
from gradstore.gradients.projection import make_projector
from gradstore.records import ProjectionSpec


@pytest.mark.parametrize(
    ("device", "signs"),  # of two numbers next to zero a GPU may find another
    [
        ("cpu", 0.0),
        pytest.param(
            "cuda", 0.05, marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
        ),
    ],
)
@pytest.mark.parametrize("dim", [256, 512])
def test_stored_rows_equal_those_of_less(
    shared: Path, tmp_path: Path, dim: int, device: str, signs: float
) -> None:
    golden = shared / "golden" / "less_tiny"
    gradstore.extract(
        tmp_path / "store",
        checkpoints=[golden / "checkpoint-20"],
        base=str(golden / "base"),
        data=golden / "inputs.jsonl",
        name="t",
        directions=["adam", "sgd", "sign"],
        projection="rademacher",
        dim=dim,
        encoding="exact",
        token_budget=128,
        device=device,
        dtype="float32",
    )
    stored = gradstore.open(tmp_path / "store").dataset("t")
    for direction, tolerance in (("adam", 1e-3), ("sgd", 1e-3), ("sign", signs)):
        rows = torch.from_numpy(stored.read(direction, 0, len(stored)))
        file = golden / "grads" / f"t-ckpt20-{direction}" / f"dim{dim}" / "grads-37.pt"
        theirs = torch.load(file, weights_only=True).float()
        assert ((rows - theirs).norm(dim=1) / theirs.norm(dim=1)).max() <= tolerance


def test_rademacher_columns_are_those_of_less() -> None:
    ramp = torch.arange(1, 301, dtype=torch.float32)[None] / 300
    projector = make_projector(ProjectionSpec("rademacher", 256, 0), [("w", (300,))])
    buffer = projector.begin(1)
    projector.add(buffer, 0, ramp)
    row = projector.finish(buffer)[0]
    assert row[:6].tolist() == pytest.approx([-3.12, -5.7, -12.2333, -7.4467, -22.4133, 20.4933], abs=1e-3)
    assert row[128:131].tolist() == pytest.approx([-5.6867, -4.8533, -3.46], abs=1e-3)
