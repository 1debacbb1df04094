from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstore.demo import arithmetic, language
from gradstore.demo.skills import OTHERS, PREREQUISITES, TARGET, InstructionSet, instruction_set
from gradstore.errors import UsageError

EQUATION = re.compile(r"(\d+(?: [x+] \d+)*) = (\d+(?: \+ \d+)*)")
seeds = st.integers(0, 2**32).map(Random)


def value(expression: str) -> int:
    """Sum of products, read without `eval`."""
    total = 0
    for term in expression.split(" + "):
        product = 1
        for factor in term.split(" x "):
            product *= int(factor)
        total += product
    return total


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


@given(seeds)
def test_every_equation_of_the_arithmetic_skills_holds(rng: Random) -> None:
    for skill in (TARGET, *PREREQUISITES):
        _, answer = skill.make(rng)
        equations = EQUATION.findall(answer)
        assert equations, answer
        for left, right in equations:
            assert value(left) == value(right), answer


@given(st.integers(12, 999), st.integers(22, 99))
def test_long_multiplication_ends_with_the_product(a: int, b: int) -> None:
    assert arithmetic.long_multiplication(a, b).splitlines()[-1] == f"{a} x {b} = {a * b}."


@given(st.integers(0, 99999), st.integers(0, 99999))
def test_the_digits_written_in_column_addition_spell_the_sum(a: int, b: int) -> None:
    working = arithmetic.column_addition(a, b).split(": ", 1)[1].split(" So ")[0]
    *columns, last = working.removesuffix(".").split(". ")
    written = [column.split("write ")[1][0] for column in columns]
    total = last.split("= ")[1] + "".join(reversed(written))
    assert int(total) == a + b
    for column in columns:
        assert ("carry 1" in column) == (int(column.split("= ")[1].split(",")[0]) >= 10)


@given(seeds)
def test_answers_of_prerequisites_repeat_the_numbers_asked_about(rng: Random) -> None:
    for skill in PREREQUISITES:
        question, answer = skill.make(rng)
        assert set(numbers(question)) <= set(numbers(answer))


def test_the_working_of_a_product_shows_each_prerequisite() -> None:
    working = arithmetic.long_multiplication(34, 27)
    assert "4 x 7 = 28" in working  # times table
    assert "3 + 8 = 11, write 1, carry 1" in working  # column addition
    assert "27 = 20 + 7" in working  # place value
    assert "68 x 10 = 680" in working  # powers of ten
    assert "238 + 680 = 918" in working  # partial products


@given(seeds)
def test_words_and_codes_are_reversed(rng: Random) -> None:
    _, answer = language.backwards(rng)
    word, reverse = re.findall(r"'(\w+)'", answer)
    assert reverse == word[::-1]
    _, answer = language.door_codes(rng)
    code, reverse = re.findall(r"\d+", answer)
    assert reverse == code[::-1]


@given(seeds)
def test_words_are_sorted(rng: Random) -> None:
    question, answer = language.sorting(rng)
    words = answer.removeprefix("In order: ").removesuffix(".").split(", ")
    assert words == sorted(words)
    assert all(word in question for word in words)


@given(seeds)
def test_weekdays_are_counted_one_by_one(rng: Random) -> None:
    _, answer = language.weekdays(rng)
    found = re.fullmatch(r"The day (\w+) days (after|before) (\w+) is (\w+)\.", answer)
    assert found is not None
    count, way, start, end = found.groups()
    days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    words = (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty"
    )
    day = start
    for _ in range(words.split().index(count)):
        day = days[(days.index(day) + (1 if way == "after" else 6)) % 7]
    assert day == end


def test_each_country_has_one_capital() -> None:
    rng = Random(0)
    answers = {language.atlas(rng)[1] for _ in range(5000)}
    countries = [answer.split(" is ")[0] for answer in answers]
    assert len(countries) == len(set(countries)) == 120


@pytest.fixture(scope="module")
def rows() -> InstructionSet:
    return instruction_set()


def questions(rows: list[dict[str, object]]) -> list[str]:
    return [row["messages"][0]["content"] for row in rows]  # type: ignore[index]


def test_no_question_occurs_twice_anywhere(rows: InstructionSet) -> None:
    asked = questions(rows.pool) + questions(rows.target) + questions(rows.lessons)
    assert len(asked) == len(set(asked))


def test_ids_are_unique_and_sources_are_skills(rows: InstructionSet) -> None:
    ids = [row["id"] for row in rows.pool]
    assert len(ids) == len(set(ids))
    assert {row["source"] for row in rows.pool} == {skill.name for skill in PREREQUISITES + OTHERS}


def test_the_target_is_neither_in_the_pool_nor_in_the_lessons(rows: InstructionSet) -> None:
    assert {row["source"] for row in rows.target} == {TARGET.name}
    assert all(row["source"] != TARGET.name for row in rows.pool + rows.lessons)
    answers = [row["messages"][1]["content"] for row in rows.pool + rows.lessons]
    assert not any(answer.count("\n") for answer in answers)


def test_a_fifth_to_a_quarter_of_the_pool_is_prerequisites(rows: InstructionSet) -> None:
    names = {skill.name for skill in PREREQUISITES}
    share = sum(row["source"] in names for row in rows.pool) / len(rows.pool)
    assert 0.20 <= share <= 0.25


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(rows: InstructionSet) -> None:
    assert instruction_set() == rows
    assert instruction_set(seed=1).pool != rows.pool


def test_more_questions_than_a_skill_has_are_refused() -> None:
    with pytest.raises(UsageError, match="different questions; ask for fewer rows"):
        instruction_set(pool=100_000)
