"""Chunks of tokens that are kept for the next checkpoint."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradstore
from gradstore.data import ChatTokenizer
from gradstore.errors import DataError
from gradstore.gradients.spool import TokenSpool
from gradstore.records import Example

ROWS = Path("rows.jsonl")

tokens = st.lists(st.integers(-100, 2**31 - 1), max_size=6).map(lambda ids: np.array(ids, np.int32))
examples = st.lists(
    st.builds(
        lambda ids, reason, cut: Example(ids, ids[::-1], reason, cut), tokens, st.text(), st.booleans()
    ),
    min_size=1,
    max_size=5,
)


@given(st.lists(examples, min_size=1, max_size=4))
def test_what_is_kept_comes_back_unchanged(chunks: list[list[Example]]) -> None:
    with TokenSpool(ROWS) as spool:
        for key, chunk in enumerate(chunks):
            spool.examples(key, lambda chunk=chunk: chunk)  # type: ignore[misc]
        kept = [spool.examples(key, list) for key in range(len(chunks))]
    for back, chunk in zip(kept, chunks, strict=True):
        for found, given_ in zip(back, chunk, strict=True):
            np.testing.assert_array_equal(found.input_ids, given_.input_ids)
            np.testing.assert_array_equal(found.labels, given_.labels)
            assert found.input_ids.dtype == found.labels.dtype == np.int32
            assert (found.reason.rstrip("\0"), found.truncated) == (
                given_.reason.rstrip("\0"),
                given_.truncated,
            )


def test_rows_are_tokenised_once_for_all_checkpoints_of_a_command(
    tiny_run: Path, token_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[str] = []
    own = ChatTokenizer.encode_all

    def counted(self: ChatTokenizer, given_: Any, fmt: str) -> list[Example]:
        rows.extend(row.id for row in given_)
        return own(self, given_, fmt)

    job: dict[str, Any] = {
        "data": token_rows,
        "name": "pool",
        "dim": 256,
        "chunk_rows": 16,
        "encoding": "exact",
    }
    both = [tiny_run / "run"]
    monkeypatch.setattr(ChatTokenizer, "encode_all", counted)
    gradstore.extract(tmp_path / "both.zarr", checkpoints=both, **job)
    assert all(
        rows.count(f"row-{number}") == 1 for number in range(20, 60)
    )  # earlier ones are looked at first
    monkeypatch.undo()
    alone = [tiny_run / "run" / "checkpoint-8"]
    gradstore.extract(tmp_path / "alone.zarr", checkpoints=alone, **job)
    one, other = (
        gradstore.open(tmp_path / f"{store}.zarr").dataset("pool", "checkpoint-8")
        for store in ("both", "alone")
    )
    np.testing.assert_array_equal(one.read("adam", 0, 60), other.read("adam", 0, 60))


def test_full_temporary_disk_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        return open("/dev/full", "wb", buffering=0)  # noqa: PTH123

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with (
        TokenSpool(ROWS) as spool,
        pytest.raises(DataError, match=r"rows\.jsonl: its tokens do not fit.*TMPDIR"),
    ):
        spool.examples(0, lambda: [Example(np.zeros(3, np.int32), np.zeros(3, np.int32))])


def test_a_temporary_disk_that_fills_up_in_the_middle_of_a_chunk_is_told_at_once() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    many = [Example(np.zeros(9999, np.int32), np.zeros(9999, np.int32))]
    with TokenSpool(ROWS) as spool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            with pytest.raises(DataError, match="its tokens do not fit"):
                spool.examples(0, lambda: many)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
