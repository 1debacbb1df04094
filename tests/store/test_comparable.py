"""Whoever extracts what cannot be compared is told whose number is which, and the option that makes it fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gradstore.errors import IncompatibleError
from gradstore.records import CheckpointIdentity, ProjectionSpec
from gradstore.store import check_comparable

STORED = CheckpointIdentity(
    base_digest="b", adapter_digest="a", tokenizer_digest="t", projection=ProjectionSpec("sjlt", 256, 0)
)


@pytest.mark.parametrize(
    ("change", "what", "cure"),
    [
        (
            {"projection": ProjectionSpec("sjlt", 8192, 0)},
            "the store has dim 256, this command 8192",
            "add `--dim 256`, or use another store",
        ),
        (
            {"projection": ProjectionSpec("kron", 256, 5)},
            "the store has projection sjlt, this command kron; seed 0, this command 5",
            "add `--projection sjlt --seed 0`, or use another store",
        ),
        ({"base_digest": "x"}, "another base model", "name the same with `--base`, or use another store"),
        (
            {"tokenizer_digest": "x"},
            "another tokenizer",
            "put the same beside the checkpoint, or use another store",
        ),
        (
            {"template_digest": "x"},
            "another chat template",
            "give the same `--chat-template`, or use another store",
        ),
        (
            {"adapter_digest": "x", "projection": ProjectionSpec("sjlt", 8192, 0)},
            "dim 256, this command 8192; another adapter",
            "rename the checkpoint folder, or use another store",
        ),
        ({"parameters": (("w", (2, 2)),)}, "another set of trained parameters", "use another store"),
        (
            {"projection": ProjectionSpec("external", 8, 0)},
            "projection sjlt, this command external; dim 256, this command 8",
            "use another store",
        ),
    ],
)
def test_the_message_says_what_to_add(change: dict[str, Any], what: str, cure: str) -> None:
    with pytest.raises(IncompatibleError) as told:
        check_comparable("g.zarr", "checkpoint-4", STORED, replace(STORED, **change))
    before, _, after = str(told.value).rpartition("): ")
    assert before.endswith(what)
    assert after == cure
