"""Skills that have nothing to do with multiplying: the rest of the demo's pool."""

from __future__ import annotations

from functools import cache
from random import Random

__all__ = [
    "atlas",
    "backwards",
    "colours",
    "door_codes",
    "greetings",
    "opposites",
    "plurals",
    "sorting",
    "units",
    "weekdays",
]


def _words(text: str) -> list[str]:
    return text.split()


_WORDS = _words(
    "anchor apple autumn badge basket beach bottle branch breeze bridge butter button camera candle "
    "canyon carpet castle cheese cherry circle cloud coffee corner cotton desert dinner dragon engine "
    "falcon feather fiddle flower forest garden ginger glove hammer harbour hazel helmet honey island "
    "jacket jungle kettle ladder lantern lemon letter lizard market meadow mirror mitten monkey needle "
    "orange orchard paddle paper parrot pebble pencil pepper pillow planet pocket potato rabbit ribbon "
    "river rocket saddle salmon silver spider stable summer table tiger timber tulip valley velvet violin "
    "walnut whistle window winter wizard"
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NUMBERS = _words(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)
_COLOURS = {
    ("red", "blue"): "purple",
    ("red", "yellow"): "orange",
    ("blue", "yellow"): "green",
    ("red", "white"): "pink",
    ("black", "white"): "grey",
    ("red", "green"): "brown",
    ("blue", "white"): "light blue",
    ("black", "blue"): "dark blue",
    ("green", "white"): "light green",
    ("black", "green"): "dark green",
}
_THINGS = _words("fence boat door chair wall shed gate bench box cart kite wagon roof toy sign")
_NAMES = _words(
    "Anna Ben Clara David Ella Felix Grace Hugo Ida Jonas Kira Leo Mara Nils Olga Paul Rosa Sven Tara Vera"
)
_TIMES = {
    "morning": "Good morning",
    "afternoon": "Good afternoon",
    "evening": "Good evening",
    "night": "Good night",
}
_MANNERS = {
    "politely": "I hope that you are well.",
    "shortly": "All well?",
    "warmly": "How lovely to see you!",
}
_OPPOSITES = _words(
    "hot:cold big:small early:late loud:quiet heavy:light open:closed full:empty wet:dry new:old "
    "rich:poor fast:slow high:low near:far deep:shallow soft:hard thick:thin wide:narrow bright:dark "
    "clean:dirty brave:afraid calm:angry cheap:costly easy:difficult first:last happy:sad kind:cruel "
    "long:short smooth:rough strong:weak sweet:sour"
)
_MEASURES = {
    "length": "metre",
    "weight": "kilogram",
    "temperature": "degree",
    "duration": "second",
    "brightness": "candela",
    "volume": "litre",
    "loudness": "decibel",
    "speed": "metre per second",
    "area": "square metre",
    "power": "watt",
}
_OBJECTS = _words("rope stone river lamp train bell engine field barrel storm drum tower")


@cache
def _countries() -> list[tuple[str, str]]:
    """A made-up atlas, the same for everyone: 120 countries with their capitals."""
    rng = Random("atlas")
    starts = [
        "Bal",
        "Cor",
        "Dan",
        "El",
        "Fen",
        "Gar",
        "Hol",
        "Is",
        "Jor",
        "Kel",
        "Lum",
        "Mar",
        "Nor",
        "Or",
        "Pel",
        "Quil",
        "Ros",
        "Sar",
        "Tel",
        "Ul",
        "Vor",
        "Wes",
        "Yar",
        "Zan",
    ]
    middles = ["a", "e", "i", "o", "ari", "eni", "olo", "una"]
    pairs = [
        (start + middle, end)
        for start in starts
        for middle in middles
        for end in ("via", "land", "stan", "ria")
    ]
    towns = [
        start + middle + end
        for start in starts
        for middle in middles
        for end in ("burg", "ton", "grad", "mouth")
    ]
    return [
        (a + b, town) for (a, b), town in zip(rng.sample(pairs, 120), rng.sample(towns, 120), strict=True)
    ]


def atlas(rng: Random) -> tuple[str, str]:
    """Capitals of countries that do not exist."""
    country, capital = rng.choice(_countries())
    ask = rng.choice(["What is the capital of {}?", "Name the capital city of {}.", "Which city governs {}?"])
    return ask.format(country), f"The capital of {country} is {capital}."


def backwards(rng: Random) -> tuple[str, str]:
    """Words spelt backwards."""
    word = rng.choice(_WORDS)
    ask = rng.choice(
        ["Spell '{}' backwards.", "Reverse the word '{}'.", "Write '{}' from its end to its start."]
    )
    return ask.format(word), f"'{word}' backwards is '{word[::-1]}'."


def door_codes(rng: Random) -> tuple[str, str]:
    """Strings of digits spelt backwards: digits without any arithmetic."""
    code = "".join(rng.choice("0123456789") for _ in range(rng.randint(4, 7)))
    ask = rng.choice(["Read the door code {} backwards.", "Reverse the code {}."])
    return ask.format(code), f"The code {code} backwards is {code[::-1]}."


def sorting(rng: Random) -> tuple[str, str]:
    """Three words in alphabetical order."""
    words = rng.sample(_WORDS, 3)
    ask = rng.choice(["Sort these words: {}.", "Put into alphabetical order: {}."])
    return ask.format(", ".join(words)), f"In order: {', '.join(sorted(words))}."


def plurals(rng: Random) -> tuple[str, str]:
    """Plural forms in small sentences."""
    word = rng.choice(_WORDS)
    plural = (
        word[:-1] + "ies" if word == "cherry" else word + ("es" if word.endswith(("ch", "s", "to")) else "s")
    )
    ask = rng.choice(
        ["What is the plural of '{}'?", "One {}, many ...?", "Complete: I saw one {}, then several ..."]
    )
    return ask.format(word), f"One {word}, many {plural}."


def colours(rng: Random) -> tuple[str, str]:
    """Colours made by mixing two paints."""
    pair, mixed = rng.choice(list(_COLOURS.items()))
    first, second = rng.sample(pair, 2)
    ask = rng.choice(
        [
            "I mix {} and {} paint for the {}. Which colour is it?",
            "{} and {} together: which colour will the {} have?",
        ]
    )
    thing = rng.choice(_THINGS)
    return ask.format(
        first, second, thing
    ), f"Mixing {first} and {second} gives {mixed}, so the {thing} is {mixed}."


def weekdays(rng: Random) -> tuple[str, str]:
    """Days of the week, counted in words."""
    day, count, later = rng.randrange(7), rng.randrange(2, 21), rng.random() < 0.5
    result = _DAYS[(day + (count if later else -count)) % 7]
    phrase = f"{_NUMBERS[count - 1]} days {'after' if later else 'before'} {_DAYS[day]}"
    ask = rng.choice(["Which day comes {}?", "Name the day {}."])
    return ask.format(phrase), f"The day {phrase} is {result}."


def greetings(rng: Random) -> tuple[str, str]:
    """Greetings that fit the hour."""
    name, (hour, words), (manner, closing) = (
        rng.choice(_NAMES),
        rng.choice(list(_TIMES.items())),
        rng.choice(list(_MANNERS.items())),
    )
    ask = rng.choice(
        ["Greet {} {} in the {}.", "You meet {} and want to speak {} in the {}. What do you say?"]
    )
    return ask.format(name, manner, hour), f"{words}, {name}. {closing}"


def opposites(rng: Random) -> tuple[str, str]:
    """Opposites of adjectives, in either direction."""
    word, opposite = rng.sample(rng.choice(_OPPOSITES).split(":"), 2)
    ask = rng.choice(
        [
            "What is the opposite of '{}'?",
            "It is not {} but the contrary. What is it?",
            "Give an antonym of '{}'.",
            "Turn '{}' into its opposite.",
            "If something is not {}, it may be ...?",
        ]
    )
    return ask.format(word), f"The opposite of {word} is {opposite}."


def units(rng: Random) -> tuple[str, str]:
    """Names of the units in which things are measured."""
    (what, unit), thing = rng.choice(list(_MEASURES.items())), rng.choice(_OBJECTS)
    ask = rng.choice(
        [
            "In which unit is the {} of a {} given?",
            "Name the unit for the {} of a {}.",
            "How do we state the {} of a {}?",
        ]
    )
    return ask.format(what, thing), f"The {what} of the {thing} is given in the unit {unit}."
