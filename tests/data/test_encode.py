from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstore.data import ChatTokenizer, show
from gradstore.data.templates import BUILT_IN
from gradstore.errors import DataError, UsageError
from gradstore.records import Example, Row

PLAIN = (  # chatml without generation blocks: turns are found by writing prefixes
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRIMMING = PLAIN.replace("m['content']", "m['content'] | trim")
NO_END = (  # the answer follows a blank and nothing ends it
    "{% for m in messages %}{% if m['role'] == 'assistant' %}A: {{ m['content'] }}{{ '\n' }}{% else %}"
    "Q: {{ m['content'] }}{{ '\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}A: {% endif %}"
)

Turns = list[dict[str, str]]
PIECES = st.sampled_from(
    [
        "<|im_end|>",
        "<|im_start|>assistant\n",
        "{{ messages }}",
        "{% generation %}",
        "\n",
        "  ",
        "👍🏽",
        "é",
        "你好",
        "</s>",
    ]
)
CONTENTS = st.lists(
    st.one_of(PIECES, st.text(st.characters(exclude_characters="⟦⟧", codec="utf-8"), max_size=5)), max_size=5
)
TURN = st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), CONTENTS)
CHATS = st.lists(TURN, min_size=1, max_size=6).map(
    lambda turns: [{"role": role, "content": "".join(content)} for role, content in turns]
)


def row(**record: Any) -> Row:
    return Row("x", record, "s", "", "f:1")


def encode(
    tokenizer: Any, record: Row, fmt: str, template: str | None = None, max_length: int = 9999
) -> Example:
    return ChatTokenizer(tokenizer, template=template, max_length=max_length).encode(record, fmt)


def learned_pieces(example: Example, tokenizer: Any) -> list[str]:
    return re.findall("⟦(.*?)⟧", show(example, tokenizer), re.DOTALL)


def assert_learns_exactly(
    turns: Turns, example: Example, tokenizer: Any, end: str, clean: Callable[[str], str]
) -> None:
    answers = [clean(turn["content"]) + end for turn in turns if turn["role"] == "assistant"]
    pieces = learned_pieces(example, tokenizer)
    assert len(pieces) == len(answers)
    for piece, answer in zip(pieces, answers, strict=True):
        assert piece.endswith(answer)
        assert not piece.removesuffix(answer).strip()  # a token may begin with blanks of the template


@given(turns=CHATS)
@pytest.mark.parametrize("template", ["chatml", PLAIN], ids=["generation", "prefixes"])
def test_exactly_the_answers_and_their_end_tokens_are_learned(
    tokenizer: Any, template: str, turns: Turns
) -> None:
    example = encode(tokenizer, row(messages=turns), "messages", template)
    assert_learns_exactly(turns, example, tokenizer, "<|im_end|>", str)


@given(turns=CHATS)
def test_templates_may_alter_the_content(tokenizer: Any, turns: Turns) -> None:
    example = encode(tokenizer, row(messages=turns), "messages", TRIMMING)
    assert_learns_exactly(turns, example, tokenizer, "<|im_end|>", str.strip)


@given(turns=CHATS)
def test_generation_blocks_and_prefixes_agree(tokenizer: Any, turns: Turns) -> None:
    plain = encode(tokenizer, row(messages=turns), "messages", "{{ bos_token }}" + PLAIN)
    marked = encode(tokenizer, row(messages=turns), "messages", "chatml")
    assert np.array_equal(plain.input_ids, marked.input_ids)
    assert np.array_equal(plain.labels, marked.labels)


@given(turns=CHATS)
def test_generation_blocks_mean_what_they_mean_to_transformers(tokenizer: Any, turns: Turns) -> None:
    # transformers also marks a token of the template whose last blanks are content: begin with a word
    turns = [{**turn, "content": "a" + turn["content"]} for turn in turns]
    reference = tokenizer.apply_chat_template(
        turns,
        chat_template="{{ bos_token }}" + BUILT_IN["chatml"],
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    example = encode(tokenizer, row(messages=turns), "messages", "chatml")
    assert example.input_ids.tolist() == reference["input_ids"]
    assert (example.labels != -100).tolist() == [bool(mask) for mask in reference["assistant_masks"]]


@given(
    chat=st.lists(
        st.tuples(st.text("ab \n", max_size=8), st.text("ab \n", max_size=8)), min_size=1, max_size=3
    ),
    limit=st.integers(2, 80),
)
def test_less_learns_what_less_learns(tokenizer: Any, chat: list[tuple[str, str]], limit: int) -> None:
    turns, text, cuts = [], "", []
    for question, answer in chat:
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        asked = f"{text}<|user|>\n{question.strip()}\n<|assistant|>\n"
        text = f"{asked}{answer.strip()}</s>\n"
        cuts.append((len(tokenizer(asked).input_ids), len(tokenizer(text).input_ids)))
    ids = tokenizer(text).input_ids
    labels = [token if any(a <= i < b for a, b in cuts) else -100 for i, token in enumerate(ids)]
    example = encode(tokenizer, row(messages=turns), "messages", "less", limit)
    assert example.input_ids.tolist() == ids[:limit]
    assert example.labels.tolist() == labels[:limit]


@given(turns=CHATS, limit=st.integers(2, 60))
def test_truncation_cuts_the_tail_and_leaves_nothing_learned_beyond(
    tokenizer: Any, turns: Turns, limit: int
) -> None:
    whole = encode(tokenizer, row(messages=turns), "messages", "chatml")
    cut = encode(tokenizer, row(messages=turns), "messages", "chatml", limit)
    assert cut.input_ids.tolist() == whole.input_ids[:limit].tolist()
    assert cut.labels.tolist() == whole.labels[:limit].tolist()
    assert cut.truncated == (len(whole.input_ids) > limit)
    assert (cut.reason == "") == bool((cut.labels[1:] != -100).any())


@pytest.mark.parametrize("trim", [True, False])
def test_answers_after_a_blank_are_learned_whole(trim: bool, make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer(trim_offsets=trim)
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "the cat  "}] * 2
    pieces = learned_pieces(encode(tokenizer, row(messages=turns), "messages", NO_END), tokenizer)
    assert [piece.lstrip() for piece in pieces] == ["the cat  \n"] * 2


def test_an_answer_may_come_first_and_a_question_last(tokenizer: Any) -> None:
    turns = [{"role": "assistant", "content": "Hi."}, {"role": "user", "content": "Hi?"}]
    for template in ("chatml", PLAIN):
        example = encode(tokenizer, row(messages=turns), "messages", template)
        assert learned_pieces(example, tokenizer) == ["Hi.<|im_end|>"]


def test_no_special_token_is_put_on_top_of_a_template(tokenizer: Any) -> None:
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    bos = tokenizer.bos_token_id
    for template in ("chatml", "less", "{{ bos_token }}" + PLAIN):
        assert encode(tokenizer, row(messages=turns), "messages", template).input_ids.tolist().count(bos) == 1
    assert bos not in encode(tokenizer, row(messages=turns), "messages", PLAIN).input_ids


@pytest.mark.parametrize("template", ["chatml", PLAIN], ids=["generation", "prefixes"])
def test_of_a_conversational_prompt_nothing_is_learned(tokenizer: Any, template: str) -> None:
    def turn(role: str, content: str) -> dict[str, str]:
        return {"role": role, "content": content}

    prompt = [turn("user", "a"), turn("assistant", "b"), turn("user", "c")]
    record = row(prompt=prompt, completion=[turn("assistant", "d")])
    example = encode(tokenizer, record, "prompt-completion", template)
    assert learned_pieces(example, tokenizer) == ["d<|im_end|>"]


def test_of_a_prompt_and_completion_the_completion_and_the_end_are_learned(tokenizer: Any) -> None:
    example = encode(tokenizer, row(prompt="the cat", completion="42"), "prompt-completion")
    assert show(example, tokenizer).splitlines()[1] == "<s>the cat⟦42</s>⟧"
    again = encode(tokenizer, row(prompt="the cat", completion="42</s>"), "prompt-completion")
    assert again.input_ids.tolist() == example.input_ids.tolist()


def test_of_plain_text_everything_is_learned(tokenizer: Any) -> None:
    example = encode(tokenizer, row(text="the cat"), "text")
    assert tokenizer.decode(example.input_ids) == "<s>the cat</s>"
    assert (example.labels[1:] == example.input_ids[1:]).all()


def test_tokens_are_taken_as_they_are() -> None:
    example = encode(None, row(input_ids=[4, 5, 6], labels=[-100, 5, -100]), "tokens", max_length=2)
    assert (example.input_ids.tolist(), example.labels.tolist()) == ([4, 5], [-100, 5])
    assert example.input_ids.dtype == example.labels.dtype == np.dtype(np.int32)
    assert (example.reason, example.truncated) == ("", True)


@pytest.mark.parametrize(
    ("fmt", "record", "reason"),
    [
        ("messages", {"messages": []}, "empty"),
        ("messages", {"messages": [{"role": "user", "content": "x"}]}, "no assistant turn"),
        ("text", {"text": ""}, "empty"),
        ("tokens", {"input_ids": []}, "empty"),
        ("tokens", {"input_ids": [1]}, "no learned token"),
        ("tokens", {"input_ids": [1, 2], "labels": [1, -100]}, "no learned token"),
        ("tokens", {"input_ids": [1] * 9, "labels": [-100] * 8 + [1]}, "no learned token within 8 tokens"),
    ],
)
def test_rows_that_cannot_be_learned_get_a_reason(
    tokenizer: Any, fmt: str, record: dict[str, Any], reason: str
) -> None:
    example = encode(tokenizer, row(**record), fmt, "chatml", 8)
    assert example.reason == reason
    assert len(example.input_ids) == len(example.labels) <= 8


def test_missing_templates_and_tokenizers_are_told(tokenizer: Any) -> None:
    record = row(messages=[{"role": "assistant", "content": "x"}])
    with pytest.raises(
        DataError, match=r"f:1: the tokenizer has no chat template; .*--chat-template: chatml, less"
    ):
        encode(tokenizer, record, "messages")
    with pytest.raises(DataError, match="f:1: rows of format messages need a tokenizer"):
        encode(None, record, "messages")
    with pytest.raises(UsageError, match="at least 2 tokens, not 1"):
        encode(tokenizer, record, "messages", max_length=1)


ALTERNATING = (  # as Gemma's: no system turn, and roles in turn
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('\nConversation roles must alternate ' + 'user/assistant/' * 9 + '\nat least') }}{% endif %}"
    "{% endfor %}"
) + PLAIN


@given(
    chats=st.lists(CHATS, max_size=6),
    texts=st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=4),
    limit=st.integers(2, 60),
)
@pytest.mark.parametrize(
    "template", ["chatml", PLAIN, ALTERNATING], ids=["generation", "prefixes", "refusing"]
)
def test_rows_encoded_together_are_encoded_as_one_by_one(
    tokenizer: Any, template: str, chats: list[Turns], texts: list[tuple[str, str]], limit: int
) -> None:
    def same(a: Example, b: Example) -> bool:
        return (
            np.array_equal(a.input_ids, b.input_ids)
            and np.array_equal(a.labels, b.labels)
            and (
                (a.reason, a.truncated, a.input_ids.dtype, a.labels.dtype)
                == (b.reason, b.truncated, b.input_ids.dtype, b.labels.dtype)
            )
        )

    rows = [row(prompt=chat[:1], completion=chat[1:]) for chat in chats]
    rows += [row(prompt=prompt, completion=completion) for prompt, completion in texts]
    rows = rows[::2] + rows[1::2]
    chat = ChatTokenizer(tokenizer, template=template, max_length=limit)
    together = chat.encode_all(rows, "prompt-completion")
    alone = [chat.encode(one, "prompt-completion") for one in rows]
    assert len(together) == len(rows)
    assert all(map(same, together, alone))


def test_threads_may_share_a_tokenizer_and_a_template(tokenizer: Any) -> None:
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "the cat " * 9}] * 9
    rows = [row(messages=turns[: 2 * n % 19]) for n in range(60)]
    chat = ChatTokenizer(tokenizer, template="chatml", max_length=9999)
    expected = [example.labels.tolist() for example in chat.encode_all(rows, "messages")]
    with ThreadPoolExecutor(4) as pool:
        for examples in pool.map(lambda _: chat.encode_all(rows, "messages"), range(12)):
            assert [example.labels.tolist() for example in examples] == expected


def test_more_text_than_one_batch_holds_is_encoded_whole(tokenizer: Any) -> None:
    texts = ["the cat " * count for count in (30_000, 1, 40_000, 0, 20_000, 5)]
    examples = ChatTokenizer(tokenizer, template=None, max_length=10**6).encode_all(
        [row(text=text) for text in texts], "text"
    )
    decoded = [tokenizer.decode(example.input_ids, skip_special_tokens=True) for example in examples]
    assert decoded == texts


@pytest.mark.parametrize(
    ("roles", "reason"),
    [
        (["system", "user", "assistant"], "chat template: System role not supported"),
        (
            ["user", "user", "assistant"],
            "chat template: Conversation roles must alternate user/assistant/user/ass",
        ),
        (["user", "assistant"], ""),
    ],
)
def test_a_conversation_that_the_template_refuses_is_a_row_without_a_learned_token(
    tokenizer: Any, roles: list[str], reason: str
) -> None:
    turns = [{"role": role, "content": "x"} for role in roles]
    example = encode(tokenizer, row(messages=turns), "messages", ALTERNATING)
    assert example.reason[:68] == reason[:68]
    assert len(example.reason) <= 80
    assert "\n" not in example.reason
    assert (len(example.input_ids) == 0) == bool(reason)


def test_a_turn_that_only_some_conversations_hide_is_the_fault_of_the_row(tokenizer: Any) -> None:
    template = "{{ messages | length if messages | length > 3 }}" + PLAIN
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    assert encode(tokenizer, row(messages=turns), "messages", template).reason == ""
    example = encode(tokenizer, row(messages=turns * 2), "messages", template)
    assert example.reason == "chat template: writes turns differently when others follow"


@pytest.mark.parametrize(
    "template", ["{% for %}", "{{ messages | nonsense }}", "{{ messages.__class__.__mro__ }}"]
)
def test_templates_that_are_none_are_refused(tokenizer: Any, template: str) -> None:
    record = row(messages=[{"role": "assistant", "content": "x"}])
    with pytest.raises(DataError, match=r"f:1: the chat template cannot write .*--chat-template") as caught:
        encode(tokenizer, record, "messages", template)
    assert "\n" not in str(caught.value)


def test_templates_that_rewrite_earlier_turns_are_refused(tokenizer: Any) -> None:
    template = "{{ messages | length }}" + PLAIN
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    with pytest.raises(DataError, match=r"f:1: .* writes the first 1 turns differently .*--chat-template"):
        encode(tokenizer, row(messages=turns), "messages", template)


def test_digests_tell_templates_and_tokenizers_apart(make_tokenizer: Callable[..., Any]) -> None:
    def digests(tokenizer: Any, template: str | None = None) -> tuple[str, str]:
        made = ChatTokenizer(tokenizer, template=template, max_length=8)
        return made.template_digest, made.tokenizer_digest

    tokenizer = make_tokenizer()
    assert digests(None) == ("", "")
    assert digests(tokenizer)[0] == ""
    assert digests(tokenizer, "less")[0] != digests(tokenizer, "chatml")[0] != ""
    before = digests(tokenizer)
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    assert digests(tokenizer) == before == digests(make_tokenizer())
    assert digests(make_tokenizer(bos=False))[1] != before[1]


@given(turns=CHATS)
def test_real_byte_level_tokenizer_learns_exactly_the_answers(
    real: Callable[[str], Any], turns: Turns
) -> None:
    tokenizer = real("tiny-instruct")
    example = encode(tokenizer, row(messages=turns), "messages")
    assert_learns_exactly(turns, example, tokenizer, "<|end|>", str)


@given(turns=CHATS)
@pytest.mark.parametrize("template", ["chatml", PLAIN], ids=["generation", "prefixes"])
def test_real_byte_fallback_tokenizer_learns_exactly_the_answers(
    real: Callable[[str], Any], template: str, turns: Turns
) -> None:
    tokenizer = real("stories260K")
    # this tokenizer puts a blank of its own behind each special token
    turns = [{**turn, "content": turn["content"].replace("</s>", "")} for turn in turns]
    example = encode(tokenizer, row(messages=turns), "messages", template)
    end = (
        "<|im_end|>" if template == "chatml" else "<|im_end|>\n"
    )  # no special token here: nothing ends the turn
    assert_learns_exactly(turns, example, tokenizer, end, str)


@pytest.fixture(scope="session")
def real(shared: Path) -> Callable[[str], Any]:
    from transformers import AutoTokenizer

    known = {
        name: AutoTokenizer.from_pretrained(shared / "models" / name)
        for name in ("tiny-instruct", "stories260K")
    }
    return known.__getitem__
