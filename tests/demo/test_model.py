from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gradstore.data import ChatTokenizer
from gradstore.demo.model import make_model
from gradstore.demo.skills import InstructionSet, instruction_set
from gradstore.records import Row


@pytest.fixture(scope="module")
def rows() -> InstructionSet:
    return instruction_set(pool=60, target=4, lessons=150)


@pytest.fixture(scope="module")
def made(rows: InstructionSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    folder = tmp_path_factory.mktemp("demo") / "model"
    return folder, make_model(folder, rows.lessons, steps=24, hidden=32, layers=1)


def test_training_lowers_the_loss(made: tuple[Path, list[float]]) -> None:
    _, losses = made
    assert len(losses) == 24
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])


def test_the_saved_folder_loads_as_a_model_and_a_tokenizer(made: tuple[Path, list[float]]) -> None:
    model = AutoModelForCausalLM.from_pretrained(made[0])
    tokenizer = AutoTokenizer.from_pretrained(made[0])
    assert model.config.vocab_size == len(tokenizer)


def test_the_tokenizer_gives_back_every_text_and_keeps_digits_apart(
    made: tuple[Path, list[float]], rows: InstructionSet
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(made[0])
    for row in rows.pool + rows.target:
        text = row["messages"][1]["content"]
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert len(tokenizer("40312").input_ids) == 5


def test_the_answer_and_its_end_are_what_is_learned(
    made: tuple[Path, list[float]], rows: InstructionSet
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(made[0])
    chat = ChatTokenizer(tokenizer, template=None, max_length=512)
    for record in rows.target:
        example = chat.encode(Row(record["id"], record, "", "", ""), "messages")
        learned = tokenizer.decode(example.labels[example.labels >= 0])
        assert learned == record["messages"][1]["content"] + "<|end|>"


def test_the_same_seed_gives_the_same_model_and_leaves_torchs_random_state(
    made: tuple[Path, list[float]], rows: InstructionSet, tmp_path: Path
) -> None:
    before = torch.random.get_rng_state()
    losses = make_model(tmp_path, rows.lessons, steps=24, hidden=32, layers=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert losses == made[1]
    assert (tmp_path / "model.safetensors").read_bytes() == (made[0] / "model.safetensors").read_bytes()


@pytest.mark.parametrize("steps", [1, 10])
def test_few_steps_suffice_for_a_model(steps: int, rows: InstructionSet, tmp_path: Path) -> None:
    assert len(make_model(tmp_path, rows.lessons, steps=steps, hidden=32, layers=1)) == steps
