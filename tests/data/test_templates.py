from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradstore.data.templates import BUILT_IN, Template, template_text
from gradstore.errors import DataError, UsageError

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "1 + 1?"},
    {"role": "assistant", "content": "2"},
]


def render(template: str, tokenizer: Any, **more: Any) -> str:
    text = template_text(template, tokenizer)
    return Template(text, tokenizer.special_tokens_map).render(TURNS, "f:1", **more)[0]


def test_less_writes_the_text_of_less(tokenizer: Any) -> None:
    text = "<s><|system|>\nBe brief.\n<|user|>\n1 + 1?\n<|assistant|>\n2</s>\n"
    assert render("less", tokenizer) == text
    assert render("less", tokenizer, prompt=True) == text + "<|assistant|>\n"


def test_chatml_writes_chatml(tokenizer: Any) -> None:
    text = "<s>" + "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in TURNS)
    assert render("chatml", tokenizer) == text
    assert render("chatml", tokenizer, prompt=True) == text + "<|im_start|>assistant\n"


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_templates_mark_the_answer_and_add_no_token_that_the_tokenizer_would_not(
    name: str, make_tokenizer: Callable[..., Any]
) -> None:
    tokenizer = make_tokenizer(bos=False)
    template = Template(template_text(name, tokenizer), tokenizer.special_tokens_map)
    text, spans = template.render(TURNS, "f:1")
    assert template.marks_generation
    assert not text.startswith("<s>")
    assert [text[slice(*span)] for span in spans] == [{"less": "2</s>\n", "chatml": "2<|im_end|>"}[name]]


def test_a_template_is_a_name_a_file_a_text_or_the_tokenizers_own(tokenizer: Any, tmp_path: Path) -> None:
    text = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    (tmp_path / "mine.jinja").write_text(text)
    assert template_text(str(tmp_path / "mine.jinja"), tokenizer) == text
    assert template_text(text, tokenizer) == text
    assert template_text(None, tokenizer) == ""
    with pytest.raises(
        UsageError, match=r"unknown chat template 'chatlm'; did you mean 'chatml'.*\.jinja file"
    ):
        template_text("chatlm", tokenizer)


def test_what_a_template_refuses_is_told_with_the_row(tokenizer: Any) -> None:
    for text in ("{{ raise_exception('no system turns') }}", "{{ messages[9]['role'] }}", "{% for %}"):
        with pytest.raises(DataError, match=r"f:1: the chat template cannot write .*--chat-template"):
            Template(text, {}).render(TURNS, "f:1")


def test_templates_run_in_a_sandbox() -> None:
    with pytest.raises(DataError, match=r"cannot write this conversation: .*unsafe"):
        Template("{{ messages.__class__.__mro__ }}", {}).render(TURNS, "f:1")


def test_templates_write_the_same_date_on_every_day(tokenizer: Any) -> None:
    text = "{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    assert render(text, tokenizer) == "26 Jul 2024Be brief.1 + 1?2"
