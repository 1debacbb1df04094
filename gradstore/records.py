"""Frozen records that pass between rooms or are persisted in the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError

__all__ = [
    "DIRECTIONS",
    "HASH_LENGTH",
    "NON_FINITE",
    "PROJECTIONS",
    "ZERO",
    "CheckpointIdentity",
    "Example",
    "GradientBlock",
    "ProjectionSpec",
    "Row",
    "Selection",
    "canonical_json",
    "content_hash",
    "digest",
]

DIRECTIONS = ("sgd", "sign", "adam", "precond", "adam-true", "rds")
HASH_LENGTH = 24
"""Hexadecimal digits of a content hash: 96 bits, a chance of 1e-11 of any clash among a billion rows."""
ZERO, NON_FINITE = "zero gradient", "non-finite gradient"
"""Why a row that has something to learn is stored as invalid."""
PROJECTIONS = ("sjlt", "rademacher", "kron", "kron+sjlt", "none")


def canonical_json(value: Any, errors: str = "strict") -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: equal values have equal bytes. `errors` as for `str.encode`.

    Parameters
    ----------
    value : JSON value
        What to write.
    errors : str, default "strict"
        As for `str.encode`.

    Returns
    -------
    bytes

    Examples
    --------
    >>> canonical_json({"b": 1, "a": None})
    b'{"a":null,"b":1}'
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors=errors)


def digest(*parts: bytes) -> str:
    """First 16 bytes of the SHA-256 over length-prefixed `parts`, in hexadecimal.

    Parameters
    ----------
    *parts : bytes
        What to hash; where one part ends counts too.

    Returns
    -------
    str, 32 hexadecimal digits

    Examples
    --------
    >>> digest(b"a", b"b") == digest(b"ab")
    False
    """
    state = hashlib.sha256()
    for part in parts:
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.hexdigest()[:32]


def content_hash(record: Mapping[str, Any], errors: str = "strict") -> str:
    """First `HASH_LENGTH` digits of the digest of a record's canonical JSON without its ``id`` and without null fields.

    Nulls do not count because columnar files cannot tell them from absent fields. `TypeError` if
    the record cannot be written as JSON; `errors` as for `canonical_json`.

    Parameters
    ----------
    record : Mapping
        A row.
    errors : str, default "strict"
        As for `canonical_json`.

    Returns
    -------
    str

    Raises
    ------
    TypeError
        If the record cannot be written as JSON.

    Examples
    --------
    >>> content_hash({"id": "p1", "text": "a"}) == content_hash({"text": "a", "source": None})
    True
    """
    content = {
        key: _without_nulls(value) for key, value in record.items() if key != "id" and value is not None
    }
    return digest(canonical_json(content, errors))[:HASH_LENGTH]


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a data file, before tokenising.

    Attributes
    ----------
    id : str
        Unique in its data set: the given id, else a hash of the content.
    record : Mapping
        The original row, untouched.
    source : str
        Where it comes from: the row's ``dataset`` or ``source`` field, else the file's name.
    subtask : str
        The row's ``subtask`` field, else ``""``. LESS scores each subtask on its own.
    where : str
        File and line (or row number) for messages.
    """

    id: str
    record: Mapping[str, Any]
    source: str
    subtask: str
    where: str


@dataclass(frozen=True, slots=True)
class Example:
    """One row as tokens.

    Attributes
    ----------
    input_ids, labels : ndarray of int32, shape (tokens,)
        Labels are -100 where the token is not learned; not shifted (as transformers expects them).
    reason : str
        Why the row has no gradient; ``""`` when it has one.
    truncated : bool
        Whether tokens were cut to fit the maximal length.
    """

    input_ids: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    reason: str = ""
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class ProjectionSpec:
    """How a gradient becomes a row: the same for every row that may be compared.

    Attributes
    ----------
    kind : str
        One of `PROJECTIONS`, or ``"external"`` for imported vectors.
    dim : int
        Length of a stored row.
    seed : int
        Seed of the projection.
    """

    kind: str
    dim: int
    seed: int


@dataclass(frozen=True, slots=True)
class CheckpointIdentity:
    """What makes two stored rows comparable; one for each checkpoint group of a store.

    Attributes
    ----------
    base : str
        Name of the base model, for people; `base_digest` decides.
    base_revision : str
        Its commit on the hub, or the branch or tag that the adapter names; "" where neither is known.
    base_digest, adapter_digest, tokenizer_digest, template_digest : str
        Digests of the weights, the tokenizer and the chat template.
    step : int
        Optimizer step of the checkpoint.
    weight : float
        Its learning-rate weight (LESS): mean learning rate of the epoch that ends with it; 0 where unknown.
    lora : Mapping
        The adapter's configuration.
    parameters : sequence of (str, tuple of int)
        Names and shapes of the trained parameters, in the order in which gradients are concatenated.
    projection : ProjectionSpec
        The projection of all rows.
    """

    base: str = ""
    base_revision: str = ""
    base_digest: str = ""
    adapter_digest: str = ""
    tokenizer_digest: str = ""
    template_digest: str = ""
    step: int = 0
    weight: float = 0.0
    lora: Mapping[str, Any] = field(default_factory=dict)
    parameters: Sequence[tuple[str, tuple[int, ...]]] = ()
    projection: ProjectionSpec = ProjectionSpec("external", 0, 0)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; without a revision that is not known."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if not self.base_revision:
            del plain["base_revision"]
        return plain

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CheckpointIdentity:
        """Inverse of `to_json`; fields of later versions are ignored.

        Parameters
        ----------
        value : Mapping
            What `to_json` made.
        """
        known = {f.name: value[f.name] for f in fields(cls) if f.name in value}
        projection = known.get("projection", {})
        known["projection"] = ProjectionSpec(**{k: projection[k] for k in ("kind", "dim", "seed")})
        known["parameters"] = tuple(
            (str(n), tuple(int(d) for d in s)) for n, s in known.get("parameters", ())
        )
        return cls(**known)

    def differences(self, other: CheckpointIdentity) -> list[str]:
        """One phrase for every difference that makes rows incomparable, such as ``"projection: a, not b"``.

        Parameters
        ----------
        other : CheckpointIdentity
            What is to be compared with.

        Returns
        -------
        list of str
        """
        found = []
        for name in ("base_digest", "adapter_digest", "tokenizer_digest", "template_digest"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                found.append(
                    f"{name.replace('_digest', '')}: {theirs[:12] or 'none'}, not {mine[:12] or 'none'}"
                )
        for name in ("kind", "dim", "seed"):
            mine, theirs = getattr(self.projection, name), getattr(other.projection, name)
            if mine != theirs:
                found.append(f"projection {name}: {theirs}, not {mine}")
        if tuple(self.parameters) != tuple(other.parameters):
            found.append("trained parameters: other names, shapes or order")
        return found


@dataclass(frozen=True, slots=True)
class GradientBlock:
    """The finished rows of one chunk.

    Attributes
    ----------
    ids, sources, subtasks, reasons : list of str, length n
    records : list of bytes, length n
        Original rows as JSON; ``b""`` where they are not embedded.
    loss : ndarray of float32, shape (n,)
        Mean cross-entropy over the learned tokens; NaN where the row is invalid.
    tokens : ndarray of int32, shape (n,)
    valid, truncated : ndarray of bool, shape (n,)
    contents : ndarray of uint8, shape (n, 12)
        Hash of each row's content, by which a later run knows the rows that are stored already.
    gradients : Mapping from direction to ndarray of float32, shape (n, dim)
        Rows of invalid examples are zero.
    """

    ids: list[str]
    sources: list[str]
    subtasks: list[str]
    reasons: list[str]
    records: list[bytes]
    loss: npt.NDArray[np.float32]
    tokens: npt.NDArray[np.int32]
    valid: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    contents: npt.NDArray[np.uint8]
    gradients: Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a selector chose.

    Attributes
    ----------
    picks : ndarray of int64, shape (n,)
        Candidate indices in pick order, without repeats.
    scores : ndarray of float32, shape (N,), or None
        A score for each candidate, higher is better; None if the selector does not score.
    report : Mapping
        Counts and figures worth printing and keeping (JSON values).
    columns : Mapping from str to list, length n
        What explains each pick, such as ``{"how": ["anchor", "local", …]}``.
    """

    picks: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32] | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse repeated picks, whoever wrote the selector."""
        if len(np.unique(self.picks)) != len(self.picks):
            raise UsageError("the selector picked a row twice; this is a defect of the selector")
