from __future__ import annotations

from gradstore.data.spans import tokens_in


def test_tokens_that_begin_in_a_span_are_marked() -> None:
    text = "ab cd ef"
    offsets = [(0, 2), (2, 5), (5, 8)]
    assert tokens_in([(2, 5)], text, offsets).tolist() == [False, True, False]
    assert tokens_in([], text, offsets).tolist() == [False, False, False]
    assert tokens_in([(0, 1), (6, 8)], text, offsets).tolist() == [True, False, True]


def test_blanks_before_a_word_do_not_decide_where_it_begins() -> None:
    whole, trimmed = [(0, 2), (2, 5)], [(0, 2), (3, 5)]
    for offsets in (whole, trimmed):
        assert tokens_in([(3, 5)], "a: bc", offsets).tolist() == [False, True]


def test_a_token_that_begins_with_text_before_the_span_is_not_marked() -> None:
    assert tokens_in([(2, 4)], "a>bc", [(0, 1), (1, 3), (3, 4)]).tolist() == [False, False, True]


def test_bytes_of_one_character_go_together() -> None:
    assert tokens_in([(1, 2)], "a👍b", [(0, 1), (1, 2), (1, 2), (2, 3)]).tolist() == [
        False,
        True,
        True,
        False,
    ]


def test_tokens_without_characters_stand_where_the_one_before_ends() -> None:
    # blanks whose offsets were trimmed away, then tokens put around the text
    assert tokens_in([(1, 4)], "a  b", [(0, 0), (0, 1), (3, 3), (3, 4), (0, 0)]).tolist() == [
        False,
        False,
        True,
        True,
        False,
    ]


def test_no_token_lies_in_an_empty_span() -> None:
    assert tokens_in([(1, 1)], " ab", [(0, 2), (2, 3)]).tolist() == [False, False]
    assert tokens_in([(0, 1)], "", []).tolist() == []
