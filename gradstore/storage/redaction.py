"""Keeps secrets out of everything that a user may see."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

__all__ = ["Secrets", "plain"]

_USER = re.compile(r"://[^/?#\s\"'<>]*@")
_QUERY = re.compile(r"(://[^\s?#\"'<>]*)[?#][^\s\"'<>]*")
_ANSWER = re.compile(r"<\?xml.*?</Error>|<Error>.*?</Error>", re.DOTALL)  # may tell keys and signatures
_WORDS = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|SAS|CREDENTIAL|SIGNATURE", re.IGNORECASE)
_SOURCES = ("AWS_", "AZURE_", "GOOGLE_", "HF_")
_SHORTEST = 4
"""What is shorter is no secret, and blotting it out everywhere would leave no text."""


def plain(text: str) -> str:
    """`text` without what its URLs say of users, passwords, queries and fragments.

    Examples
    --------
    >>> plain("cannot read https://me:pw@host/a?sig=x")
    'cannot read https://host/a'
    """
    return _QUERY.sub(r"\1", _USER.sub("://", text))


class Secrets:
    """What must appear nowhere: settings and variables that by their names are secret.

    Parameters
    ----------
    options : Mapping from str to str
        Settings of a location.
    more : iterable of str
        Other secrets.
    """

    def __init__(self, options: Mapping[str, str], more: Iterable[str] = ()) -> None:
        environment = {name: value for name, value in os.environ.items() if name.startswith(_SOURCES)}
        named = [value for name, value in {**environment, **options}.items() if _WORDS.search(name)]
        values = {value for value in (*named, *more) if len(value) >= _SHORTEST and value.lower() != "true"}
        self._values = sorted(values, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """`text` with ``***`` for each secret, and plain URLs."""
        text = _ANSWER.sub("<…>", plain(text))
        for value in self._values:
            text = text.replace(value, "***")
        return text
