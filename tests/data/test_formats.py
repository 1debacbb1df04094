from __future__ import annotations

from typing import Any

import pytest

from gradstore.data.formats import FORMATS, Chat, Text, Tokens, convert, detect
from gradstore.errors import DataError

ASK, ANSWER = {"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}

EXAMPLES: dict[str, tuple[dict[str, Any], Chat | Text | Tokens]] = {
    "messages": ({"messages": [ASK, ANSWER], "prompt": "1 + 1?"}, Chat([ASK, ANSWER])),
    "prompt-completion": ({"prompt": "1 + 1 =", "completion": " 2"}, Text("1 + 1 =", " 2")),
    "alpaca": ({"instruction": "1 + 1?", "input": "", "output": "2"}, Chat([ASK, ANSWER])),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "1 + 1?"}, {"from": "gpt", "value": "2"}]},
        Chat([ASK, ANSWER]),
    ),
    "text": ({"text": "1 + 1 = 2"}, Text("", "1 + 1 = 2")),
    "tokens": ({"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}, Tokens([1, 2, 3], [-100, 2, 3])),
}


@pytest.mark.parametrize("fmt", FORMATS)
def test_each_format_is_detected_and_converted(fmt: str) -> None:
    record, content = EXAMPLES[fmt]
    assert detect(record, "f:1") == fmt
    assert convert(record, fmt, "f:1") == content


def test_alpaca_puts_a_blank_line_between_instruction_and_input() -> None:
    chat = convert({"instruction": "Add.", "input": "1, 1", "output": "2"}, "alpaca", "f:1")
    assert isinstance(chat, Chat)
    assert chat.turns[0]["content"] == "Add.\n\n1, 1"


def test_of_a_conversational_prompt_no_turn_is_learned() -> None:
    chat = convert({"prompt": [ASK, ANSWER, ASK], "completion": [ANSWER]}, "prompt-completion", "f:1")
    assert isinstance(chat, Chat)
    assert chat.learned == [3]


def test_sharegpt_names_become_roles() -> None:
    names = ("system", "human", "observation", "gpt")
    chat = convert({"conversations": [{"from": n, "value": n} for n in names]}, "sharegpt", "f:1")
    assert isinstance(chat, Chat)
    assert [turn["role"] for turn in chat.turns] == ["system", "user", "tool", "assistant"]


def test_tool_calls_and_reasoning_are_kept_for_the_template_and_nulls_are_not() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}], "reasoning_content": None}
    chat = convert({"messages": [ASK, call]}, "messages", "f:1")
    assert isinstance(chat, Chat)
    assert chat.turns[1] == {"role": "assistant", "content": "", "tool_calls": [{"name": "f"}]}


def test_tokens_without_labels_are_all_learned() -> None:
    assert convert({"input_ids": [5, 6]}, "tokens", "f:1") == Tokens([5, 6], [5, 6])


def test_conversations_without_an_answer_are_no_structure_error() -> None:
    records: tuple[dict[str, Any], ...] = ({"messages": [ASK]}, {"messages": []})
    for record in records:
        chat = convert(record, "messages", "f:1")
        assert isinstance(chat, Chat)
        assert chat.learned == []


@pytest.mark.parametrize(
    ("fmt", "record", "message"),
    [
        ("messages", {"text": "x"}, r"f:7: the field 'messages' is missing .* \(fields: text\); add it"),
        ("text", {"text": None}, r"f:7: the field 'text' is null"),
        ("messages", {"messages": "hi"}, r"f:7: the field 'messages' must be a list of turns, not str"),
        ("messages", {"messages": ["hi"]}, r"f:7: messages\[0\] must be an object with 'role' and 'content'"),
        ("messages", {"messages": [ASK, {"role": "user"}]}, r"messages\[1\]: the field 'content' is missing"),
        (
            "messages",
            {"messages": [ASK, {"role": "assistant", "content": None}]},
            r"messages\[1\]: the field 'content' is null; give it a text, or leave the turn or the row out",
        ),
        (
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
            r"'content' is a list with more than text parts; .* leave the others out",
        ),
        ("messages", {"messages": [{"role": "user", "content": 3}]}, r"'content' is not text but int"),
        (
            "messages",
            {"messages": [{"role": "human", "content": "x"}]},
            r"unknown role 'human'; known roles: system, developer, user, assistant, tool",
        ),
        ("sharegpt", {"conversations": [ASK]}, r"the field 'from' is missing \(fields: role, content\)"),
        (
            "sharegpt",
            {"conversations": [{"from": "bob", "value": ""}]},
            r"unknown role 'bob'; known .* human",
        ),
        ("prompt-completion", {"prompt": "x", "completion": [ANSWER]}, r"must both be text, or both lists"),
        ("alpaca", {"instruction": "x", "input": 3, "output": "y"}, r"'input' must be text, not int"),
        ("tokens", {"input_ids": [1, 2], "labels": [1]}, r"2 input_ids but 1 labels; give one label"),
        ("tokens", {"input_ids": [1, True]}, r"'input_ids' must be a list of whole numbers"),
        ("tokens", {"input_ids": [1, 2**31]}, r"'input_ids' must be a list of whole numbers"),
        ("tokens", {"input_ids": [1], "labels": [-1]}, r"a negative token; only a label may be negative"),
        ("tokens", {"input_ids": [-100], "labels": [1]}, r"a negative token"),
        ("tokens", {"input_ids": [-100]}, r"a negative token"),
    ],
)
def test_wrong_structure_is_named_with_place_and_field(
    fmt: str, record: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        convert(record, fmt, "f:7")
    assert "\n" not in str(caught.value)


def test_unknown_fields_list_what_the_formats_need() -> None:
    with pytest.raises(
        DataError, match=r"f:1: no known format has the fields q, a; .*alpaca \(instruction, output\)"
    ):
        detect({"q": 1, "a": 2}, "f:1")


def test_text_parts_are_one_text() -> None:
    parts = [{"type": "text", "text": "1 + "}, {"type": "text", "text": "1?"}]
    chat = convert({"messages": [{"role": "user", "content": parts}, ANSWER]}, "messages", "f:1")
    assert isinstance(chat, Chat)
    assert chat.turns == [ASK, ANSWER]
