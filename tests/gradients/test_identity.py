"""The store's bytes depend on neither interruptions nor how many processes wrote them; its rows not on batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstore
from gradstore.store import Claim
from tests.architectures import ARCHITECTURES
from tests.files import contents

LORA = {"directions": ["sgd", "sign", "adam", "precond", "adam-true", "rds"]}
FULL = {"parameters": "full", "directions": ["sgd", "precond", "rds"]}
# Every architecture in both kinds of gradients, and the other projections on one. In each run only those whose layers
# differ most: Conv1D, attention in windows, experts.
ODD = ("llama", "gpt2", "gemma3", "mixtral")


def case(name: str, kind: str, job: dict[str, Any]) -> Any:
    return pytest.param(name, job, id=f"{name}-{kind}", marks=() if name in ODD else pytest.mark.long)


CASES: list[Any] = [
    *(case(name, "lora", LORA) for name in ARCHITECTURES),
    *(case(name, "full", FULL) for name in ARCHITECTURES),
    pytest.param("llama", LORA | {"projection": "rademacher"}, id="rademacher"),
    pytest.param("llama", LORA | {"projection": "none"}, id="none"),
    pytest.param("llama", FULL | {"projection": "kron"}, id="kron"),
    pytest.param("llama", FULL | {"projection": "sjlt", "directions": ["sgd", "sign"]}, id="full-sjlt"),
]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_rows_are_the_same_interrupted_in_parts_and_in_other_batches(
    name: str,
    case: dict[str, Any],
    architecture: Callable[..., Path],
    token_rows: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(token_rows.read_text().splitlines(keepends=True)[10:30]))
    job: dict[str, Any] = {
        "checkpoints": [architecture(name, full="parameters" in case)],
        "data": rows,
        "name": "pool",
        "dim": 256,
        "chunk_rows": 8,
        "token_budget": 128,
        "encoding": "exact",
        **case,
    }
    (report,) = gradstore.extract(tmp_path / "whole.zarr", **job)
    assert (report.valid, report.chunks) == (19, 3)
    whole = contents(tmp_path / "whole.zarr")

    gradstore.extract(tmp_path / "parts.zarr", **job, part="2/2")
    (last,) = gradstore.extract(tmp_path / "parts.zarr", **job, part="1/2")
    assert (last.sealed, last.computed_chunks) == (True, 2)
    assert contents(tmp_path / "parts.zarr") == whole

    own = Claim.write
    with monkeypatch.context() as patch:
        patch.setattr(Claim, "write", lambda claim, block: own(claim, block) if claim.chunk < 1 else stop())
        with pytest.raises(KeyboardInterrupt):
            gradstore.extract(tmp_path / "stopped.zarr", **job)
    (rest,) = gradstore.extract(tmp_path / "stopped.zarr", **job)
    assert rest.computed_chunks == 2
    assert contents(tmp_path / "stopped.zarr") == whole

    gradstore.extract(tmp_path / "alone.zarr", **job | {"token_budget": 1, "chunk_rows": 20})
    one, other = (gradstore.open(tmp_path / f"{s}.zarr").dataset("pool") for s in ("whole", "alone"))
    for direction in set(case["directions"]) - {"sign"}:  # the sign of a rounding error is anyone's guess
        found, expected = other.read(direction, 0, 20), one.read(direction, 0, 20)
        norms = np.linalg.norm(expected, axis=1)
        assert (np.linalg.norm(found - expected, axis=1) <= 1e-4 * norms).all(), direction


def stop() -> None:
    raise KeyboardInterrupt
