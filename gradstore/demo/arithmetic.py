"""Arithmetic with its working: the target skill of the demo, and the skills that it is made of."""

from __future__ import annotations

from random import Random

__all__ = [
    "addition",
    "column_addition",
    "long_multiplication",
    "multiplication",
    "partial_products",
    "place_value",
    "powers_of_ten",
    "times_table",
]


def long_multiplication(a: int, b: int) -> str:
    """Working of `a` x `b` digit by digit.

    Examples
    --------
    >>> print(long_multiplication(34, 27))
    27 = 20 + 7.
    34 x 7: 4 x 7 = 28, write 8, carry 2. 3 x 7 = 21, 21 + 2 = 23. So 34 x 7 = 238.
    34 x 2: 4 x 2 = 8, write 8. 3 x 2 = 6. So 34 x 2 = 68.
    68 x 10 = 680.
    238 + 680: 8 + 0 = 8, write 8. 3 + 8 = 11, write 1, carry 1. 2 + 6 + 1 = 9. So 238 + 680 = 918.
    34 x 27 = 918.
    """
    tens, ones = divmod(b, 10)
    return "\n".join(
        [
            _split(b),
            _times_digit(a, ones),
            _times_digit(a, tens),
            f"{a * tens} x 10 = {a * tens * 10}.",
            column_addition(a * ones, a * tens * 10),
            f"{a} x {b} = {a * b}.",
        ]
    )


def column_addition(a: int, b: int) -> str:
    """Working of `a` + `b` column by column, with carries.

    Examples
    --------
    >>> column_addition(38, 25)
    '38 + 25: 8 + 5 = 13, write 3, carry 1. 3 + 2 + 1 = 6. So 38 + 25 = 63.'
    """
    columns, carry = [], 0
    width = max(len(str(a)), len(str(b)))
    for place in range(width):
        x, y = a // 10**place % 10, b // 10**place % 10
        terms = f"{x} + {y} + {carry}" if carry else f"{x} + {y}"
        carry, column = _written(f"{terms} = ", x + y + carry, last=place == width - 1)
        columns.append(column)
    return f"{a} + {b}: {' '.join(columns)} So {a} + {b} = {a + b}."


def _times_digit(a: int, digit: int) -> str:
    """Working of `a` times one digit, with carries."""
    columns, carry = [], 0
    for place in range(len(str(a))):
        x = a // 10**place % 10
        product = x * digit
        terms = f"{x} x {digit} = "
        if carry:
            terms += f"{product}, {product} + {carry} = "
        carry, column = _written(terms, product + carry, last=place == len(str(a)) - 1)
        columns.append(column)
    return f"{a} x {digit}: {' '.join(columns)} So {a} x {digit} = {a * digit}."


def _written(terms: str, total: int, *, last: bool) -> tuple[int, str]:
    """The carry, and the sentence of one column: the last column is written down whole."""
    carry, unit = divmod(total, 10)
    if last:
        return 0, f"{terms}{total}."
    return carry, f"{terms}{total}, write {unit}{f', carry {carry}' if carry else ''}."


def _split(number: int) -> str:
    """`number` as the sum of its digits' values, such as ``"407 = 400 + 7."``."""
    digits = str(number)
    values = [int(digit) * 10 ** (len(digits) - 1 - i) for i, digit in enumerate(digits)]
    return f"{number} = {' + '.join(str(value) for value in values if value)}."


def multiplication(rng: Random) -> tuple[str, str]:
    """Target skill: two numbers of several digits, with the working."""
    a, b = rng.randint(12, 999), rng.randint(2, 9) * 10 + rng.randint(2, 9)
    ask = rng.choice(
        [
            "Multiply {a} by {b}. Show the working.",
            "Work out {a} x {b} step by step.",
            "What is {a} times {b}? Show how.",
        ]
    )
    return ask.format(a=a, b=b), long_multiplication(a, b)


def times_table(rng: Random) -> tuple[str, str]:
    """Prerequisite: the product of two digits."""
    a, b = rng.randint(1, 9), rng.randint(1, 9)
    ask = rng.choice(
        [
            "What is {a} times {b}?",
            "{a} x {b} = ?",
            "Say the product of {a} and {b}.",
            "How much is {a} x {b}?",
        ]
    )
    return ask.format(a=a, b=b), f"{a} x {b} = {a * b}."


def addition(rng: Random) -> tuple[str, str]:
    """Prerequisite: column addition with carrying."""
    a, b = rng.randint(15, 9999), rng.randint(15, 9999)
    ask = rng.choice(["Add {a} and {b} column by column.", "Work out {a} + {b} with carrying."])
    return ask.format(a=a, b=b), column_addition(a, b)


def partial_products(rng: Random) -> tuple[str, str]:
    """Prerequisite: a product as the sum of its given parts."""
    a, tens, ones = rng.randint(12, 99), rng.randint(2, 9), rng.randint(2, 9)
    left, right, b = a * ones, a * tens * 10, tens * 10 + ones
    ask = rng.choice(
        [
            "Add the partial products {left} and {right} of {a} x {b}.",
            "The parts of {a} x {b} are {left} and {right}. What is the whole?",
        ]
    )
    answer = f"{left} + {right} = {left + right}, so {a} x {b} = {left + right}."
    return ask.format(left=left, right=right, a=a, b=b), answer


def place_value(rng: Random) -> tuple[str, str]:
    """Prerequisite: a number as the sum of its digits' values."""
    number = rng.randint(21, 9999)
    ask = rng.choice(
        ["Split {number} by place value.", "Write {number} as the sum of what its digits are worth."]
    )
    return ask.format(number=number), _split(number)


def powers_of_ten(rng: Random) -> tuple[str, str]:
    """Prerequisite: shifting a number by multiplying it with a power of ten."""
    a, power = rng.randint(2, 999), rng.choice([10, 10, 100, 1000])
    ask = rng.choice(["Multiply {a} by {power}.", "What is {a} x {power}?"])
    return ask.format(a=a, power=power), f"{a} x {power} = {a * power}."
