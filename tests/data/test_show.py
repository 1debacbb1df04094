from __future__ import annotations

from typing import Any

import numpy as np

from gradstore.data import show
from gradstore.records import Example


def example(ids: list[int], labels: list[int], **more: Any) -> Example:
    return Example(np.array(ids, np.int32), np.array(labels, np.int32), **more)


def test_ids_are_shown_without_a_tokenizer() -> None:
    shown = show(example([1, 2, 3, 4], [-100, 2, 3, -100]), None)
    assert shown == "4 tokens, 2 learned\n1 ⟦2 3⟧ 4"


def test_text_keeps_its_lines_and_learned_pieces_are_marked(tokenizer: Any) -> None:
    ids = tokenizer("the cat\nsat on", add_special_tokens=False).input_ids
    cut = len(tokenizer("the cat\n", add_special_tokens=False).input_ids)
    shown = show(example(ids, [-100] * cut + ids[cut:]), tokenizer)
    assert shown == f"{len(ids)} tokens, {len(ids) - cut} learned\nthe cat\n⟦sat on⟧"


def test_the_header_tells_cuts_and_reasons() -> None:
    shown = show(example([1, 2], [-100, -100], reason="no assistant turn", truncated=True), None)
    assert shown.startswith(
        "2 tokens, 0 learned, cut at the maximal length; not learnable: no assistant turn\n"
    )
    assert show(example([], [], reason="empty"), None) == "0 tokens, 0 learned; not learnable: empty\n"
