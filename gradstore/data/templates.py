"""Chat templates: which one is used, and what it writes."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradstore.data.spans import Span
from gradstore.errors import DataError, UsageError
from gradstore.registry import unknown_name

__all__ = ["BUILT_IN", "Template", "UnwritableError", "template_text"]

_LONGEST_REASON = 80
_RENDERING = threading.Lock()  # what notes the generation blocks is shared by all that use a template

# LESS strips the contents and learns the newline after the end token too.
_LESS = """\
{% for message in messages %}<|{{ message['role'] }}|>
{% if message['role'] == 'assistant' -%}
{% generation %}{{ message['content'] | trim }}{{ eos_token }}{{ '\\n' }}{% endgeneration %}
{% else %}{{ message['content'] | trim }}{{ '\\n' }}{% endif %}
{% endfor %}{% if add_generation_prompt %}<|assistant|>{{ '\\n' }}{% endif %}"""

_CHATML = """\
{% for message in messages %}<|im_start|>{{ message['role'] }}
{% if message['role'] == 'assistant' -%}
{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}
{% else %}{{ message['content'] }}<|im_end|>{% endif %}
{{ '\\n' }}{% endfor %}
{% if add_generation_prompt %}<|im_start|>assistant{{ '\\n' }}{% endif %}"""

BUILT_IN = {"chatml": _CHATML, "less": _LESS}

# Some templates write today's date: a row must have the same tokens on every day.
_FIXED_DATE = "{% macro strftime_now(format) %}26 Jul 2024{% endmacro %}"


def template_text(template: str | None, tokenizer: Any) -> str:
    """The Jinja text of a chat template; ``""`` if none is given and the tokenizer has none.

    Parameters
    ----------
    template : str or None
        A built-in name, a path to a file, or the text itself; None for the tokenizer's own.
    tokenizer : transformers tokenizer

    Raises
    ------
    UsageError
        If `template` is none of these.
    """
    if template in BUILT_IN:
        # The built-in ones stand in for plain text, at whose start many tokenizers put a token of their own.
        starts_with_bos = tokenizer.bos_token_id in tokenizer("a").input_ids[:1]
        text = "{{ bos_token }}" * starts_with_bos + BUILT_IN[template]
    elif template is None:
        own = tokenizer.chat_template or ""
        text = own if isinstance(own, str) else own.get("default", "")
    elif "{{" in template or "{%" in template:
        text = template
    else:
        text = _read(Path(template))
    dated = "strftime_now" in text and not text.startswith(_FIXED_DATE)
    return _FIXED_DATE + text if dated else text


def _read(path: Path) -> str:
    if not path.is_file():
        raise UsageError(
            f"{unknown_name('chat template', str(path), BUILT_IN)}; "
            "or the path of a .jinja file, or a template's text"
        )
    return path.read_text(encoding="utf-8")


class UnwritableError(DataError):
    """A conversation that the template does not write, though it may write others.

    Attributes
    ----------
    reason : str
        Why, in a few words.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = f"chat template: {reason}"[:_LONGEST_REASON].rstrip()


class Template:
    """A chat template and the special tokens it may write.

    Parameters
    ----------
    text : str
        Jinja source; transformers renders it in its sandbox.
    special_tokens : mapping
        The tokenizer's ``special_tokens_map``.
    """

    def __init__(self, text: str, special_tokens: Mapping[str, Any]) -> None:
        self._text = text
        self._special = dict(special_tokens)
        self.marks_generation = re.search(r"\{%[-+]?\s*generation\s*[-+]?%\}", text) is not None

    def render(
        self, turns: Sequence[Mapping[str, Any]], where: str, *, prompt: bool = False
    ) -> tuple[str, list[Span]]:
        """The text of `turns`, and the spans that ``{% generation %}`` marks in it.

        Parameters
        ----------
        turns : sequence of mapping
        where : str
            The row's place, for messages.
        prompt : bool
            Whether to end with what precedes an answer.

        Raises
        ------
        UnwritableError
            If the template refuses the conversation.
        DataError
            If it is no template that could write any.
        """
        from jinja2 import TemplateError, TemplateSyntaxError
        from jinja2.exceptions import SecurityError
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            with _RENDERING:
                texts, spans = render_jinja_template(
                    conversations=[list(turns)],
                    chat_template=self._text,
                    return_assistant_tokens_mask=self.marks_generation,
                    add_generation_prompt=prompt,
                    **self._special,
                )
        except (
            TemplateError,
            ArithmeticError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            told = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
            message = (
                f"{where}: the chat template cannot write this conversation: {told}; "
                "change the row, or name another template with --chat-template"
            )
            if isinstance(error, TemplateSyntaxError | SecurityError):
                raise DataError(message) from error
            raise UnwritableError(message, told) from error
        return texts[0], spans[0] if spans else []
