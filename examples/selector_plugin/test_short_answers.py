"""What every selector should be tested for, in one line."""

from short_answers import ShortAnswers

from gradstore.testing import check_selector


def test_it_behaves() -> None:
    check_selector(lambda: ShortAnswers(half_length=50))
