"""The row formats: which one a row has, and the conversation, text or tokens it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gradstore.errors import DataError

__all__ = ["FORMATS", "Chat", "Text", "Tokens", "convert", "detect"]

FORMATS = ("messages", "prompt-completion", "alpaca", "sharegpt", "text", "tokens")

_NEEDS = {  # in the order of detection
    "messages": ("messages",),
    "sharegpt": ("conversations",),
    "prompt-completion": ("prompt", "completion"),
    "alpaca": ("instruction", "output"),
    "tokens": ("input_ids",),
    "text": ("text",),
}
_ROLES = {role: role for role in ("system", "developer", "user", "assistant", "tool")}
_SHAREGPT = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
    "observation": "tool",
}


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation.

    Attributes
    ----------
    turns : list of dict
        Each with ``role`` and ``content``; what else a message holds is left for the template.
    learned_from : int
        The first turn that may be learned: what precedes it is prompt, assistant turns too.
    """

    turns: list[dict[str, Any]]
    learned_from: int = 0

    @property
    def learned(self) -> list[int]:
        """Indices of the turns to learn."""
        return [
            i for i, turn in enumerate(self.turns) if i >= self.learned_from and turn["role"] == "assistant"
        ]


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text, of which the completion is learned."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """A row that was tokenised elsewhere; labels are -100 where a token is not learned."""

    input_ids: list[int]
    labels: list[int]


def detect(record: Mapping[str, Any], where: str) -> str:
    """Name of the format whose fields `record` has."""
    for fmt, names in _NEEDS.items():
        if all(name in record for name in names):
            return fmt
    known = "; ".join(f"{fmt} ({', '.join(_NEEDS[fmt])})" for fmt in FORMATS)
    raise DataError(
        f"{where}: no known format has the fields {_fields(record)}; rename them to those of one of: {known}"
    )


def convert(record: Mapping[str, Any], fmt: str, where: str) -> Chat | Text | Tokens:
    """What a row of format `fmt` holds.

    Raises
    ------
    DataError
        If a field is missing or of the wrong type, or a role is unknown.
    """
    for name in _NEEDS[fmt]:
        if record.get(name) is None:
            found = "null" if name in record else "missing"
            raise DataError(
                f"{where}: the field {name!r} is {found} in a row of format {fmt} "
                f"(fields: {_fields(record)}); add it, or keep rows of other formats in a file of their own"
            )
    return _CONVERTERS[fmt](record, where)


def _fields(record: Mapping[str, Any]) -> str:
    return ", ".join(map(str, record)) or "none"


def _messages(record: Mapping[str, Any], where: str) -> Chat:
    return Chat(_turns(record["messages"], "messages", where))


def _prompt_completion(record: Mapping[str, Any], where: str) -> Chat | Text:
    prompt, completion = record["prompt"], record["completion"]
    if isinstance(prompt, str) and isinstance(completion, str):
        return Text(prompt, completion)
    if isinstance(prompt, list) and isinstance(completion, list):
        turns = _turns(prompt, "prompt", where)
        return Chat(turns + _turns(completion, "completion", where), learned_from=len(turns))
    raise DataError(f"{where}: 'prompt' and 'completion' must both be text, or both lists of messages")


def _alpaca(record: Mapping[str, Any], where: str) -> Chat:
    parts = [_string(record, "instruction", where)]
    if record.get("input"):
        parts.append(_string(record, "input", where))
    return Chat(
        [
            {"role": "user", "content": "\n\n".join(parts)},
            {"role": "assistant", "content": _string(record, "output", where)},
        ]
    )


def _sharegpt(record: Mapping[str, Any], where: str) -> Chat:
    turns = _turns(record["conversations"], "conversations", where, "from", "value", _SHAREGPT)
    return Chat([{"role": _SHAREGPT[turn["from"]], "content": turn["value"]} for turn in turns])


def _text(record: Mapping[str, Any], where: str) -> Text:
    return Text("", _string(record, "text", where))


def _tokens(record: Mapping[str, Any], where: str) -> Tokens:
    ids = _integers(record["input_ids"], "input_ids", where)
    labels = ids if record.get("labels") is None else _integers(record["labels"], "labels", where)
    if len(ids) != len(labels):
        raise DataError(
            f"{where}: {len(ids)} input_ids but {len(labels)} labels; "
            "give one label for each token, -100 where it is not learned"
        )
    if min(ids, default=0) < 0 or min((label for label in labels if label != -100), default=0) < 0:
        raise DataError(
            f"{where}: a negative token; only a label may be negative, and only -100 (not learned)"
        )
    return Tokens(ids, labels)


_CONVERTERS: dict[str, Callable[[Mapping[str, Any], str], Chat | Text | Tokens]] = {
    "messages": _messages,
    "prompt-completion": _prompt_completion,
    "alpaca": _alpaca,
    "sharegpt": _sharegpt,
    "text": _text,
    "tokens": _tokens,
}


def _joined(parts: list[Any], where: str) -> str:
    """The text of a list of content parts, as chat templates write it: one part after the other."""
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    if len(texts) < len(parts) or not all(isinstance(text, str) for text in texts):
        raise DataError(
            f"{where} is a list with more than text parts; gradients are of text: leave the others out, or the row"
        )
    return "".join(map(str, texts))


def _lacking(item: Mapping[str, Any], name: str) -> str:
    """What is wrong with a turn's field, and what to do."""
    if name not in item:
        return f"is missing (fields: {_fields(item)})"
    if item[name] is None:
        return "is null; give it a text, or leave the turn or the row out"
    return f"is not text but {type(item[name]).__name__} (fields: {_fields(item)})"


def _string(record: Mapping[str, Any], name: str, where: str) -> str:
    value = record[name]
    if not isinstance(value, str):
        raise DataError(f"{where}: the field {name!r} must be text, not {type(value).__name__}")
    return value


def _integers(value: Any, name: str, where: str) -> list[int]:
    if not isinstance(value, list) or not all(
        type(item) is int and -(2**31) <= item < 2**31 for item in value
    ):
        raise DataError(f"{where}: the field {name!r} must be a list of whole numbers (32-bit token ids)")
    return value


def _turns(
    value: Any,
    field: str,
    where: str,
    role: str = "role",
    content: str = "content",
    roles: Mapping[str, str] = _ROLES,
) -> list[dict[str, Any]]:
    """The turns of a conversation, checked, without fields that are null."""
    if not isinstance(value, list):
        raise DataError(f"{where}: the field {field!r} must be a list of turns, not {type(value).__name__}")
    turns = []
    for number, item in enumerate(value):
        place = f"{where}: {field}[{number}]"
        if not isinstance(item, dict):
            raise DataError(
                f"{place} must be an object with {role!r} and {content!r}, not {type(item).__name__}"
            )
        turn = {key: entry for key, entry in item.items() if entry is not None}
        if turn.get("tool_calls"):
            turn.setdefault(content, "")
        if isinstance(turn.get(content), list):
            turn[content] = _joined(turn[content], f"{place}: the field {content!r}")
        for name in (role, content):
            if not isinstance(turn.get(name), str):
                raise DataError(f"{place}: the field {name!r} {_lacking(item, name)}")
        if turn[role] not in roles:
            raise DataError(f"{place}: unknown role {turn[role]!r}; known roles: {', '.join(roles)}")
        turns.append(turn)
    return turns
