"""Processes divide the chunks without a message: shares, what launchers say, and GPUs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstore.errors import UsageError
from gradstore.parts import Share, local_device, share_of

chunks = st.sets(st.integers(0, 200)).map(sorted)
counts = st.integers(1, 12)


@given(chunks, counts)
def test_strict_shares_partition_the_chunks(missing: list[int], count: int) -> None:
    shares = [Share(index, count, strict=True).order(missing) for index in range(count)]
    assert sorted(chunk for share in shares for chunk in share) == missing


@given(chunks, counts, st.data())
def test_other_shares_order_all_chunks_their_own_first(
    missing: list[int], count: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, count - 1))
    order = Share(index, count).order(missing)
    own = Share(index, count, strict=True).order(missing)
    assert sorted(order) == missing
    assert order[: len(own)] == own == sorted(own)


@given(counts)
def test_processes_begin_at_different_chunks(count: int) -> None:
    assert len({Share(index, count).order(range(count))[0] for index in range(count)}) == count


def test_what_is_expected_is_its_own_or_what_others_left() -> None:
    assert Share(1, 3).expected([0, 1, 2, 4]) == [1, 4]
    assert Share(1, 3).expected([0, 2]) == [0, 2]
    assert Share(1, 3, strict=True).expected([0, 2]) == []


def test_helpers_of_a_dead_process_begin_at_its_end() -> None:
    assert Share(0, 2).order([1, 3, 5]) == [5, 3, 1]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("0/8", "from 1/8 to 8/8"),
        ("9/8", "from 1/8 to 8/8"),
        ("1/0", "0 parts"),
        ("3", "such as 1/8"),
        ("", "such as 1/8"),
        ("-1/8", "such as 1/8"),
        ("1/8 ", "such as 1/8"),
        ("a/b", "such as 1/8"),
        ("1/٨", "such as 1/8"),
    ],
)
def test_what_is_no_part_is_refused_in_one_line(part: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        share_of(part, {})
    assert "\n" not in str(caught.value)


def test_a_given_part_wins_over_the_launcher_and_is_strict() -> None:
    assert share_of("2/3", {"RANK": "5", "WORLD_SIZE": "8"}) == Share(1, 3, strict=True)
    assert str(share_of("2/3", {})) == "2/3"


ARRAY = "SLURM_ARRAY_TASK_"


@pytest.mark.parametrize(
    ("environ", "share"),
    [
        ({}, (0, 1)),
        ({"RANK": "3", "WORLD_SIZE": "4"}, (3, 4)),
        ({"RANK": "3"}, (0, 1)),
        ({"RANK": "", "WORLD_SIZE": ""}, (0, 1)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, (1, 2)),
        ({"RANK": "2", "WORLD_SIZE": "4", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, (2, 4)),
        ({"RANK": "0", "WORLD_SIZE": "1", "SLURM_PROCID": "2", "SLURM_NTASKS": "3"}, (2, 3)),
        ({ARRAY + "ID": "7", ARRAY + "MIN": "1", ARRAY + "MAX": "9", ARRAY + "STEP": "2"}, (3, 5)),
        ({ARRAY + "ID": "2", ARRAY + "COUNT": "3"}, (2, 3)),
        ({ARRAY + "ID": "2"}, (0, 1)),
        ({ARRAY + "ID": "7", ARRAY + "MIN": "1", ARRAY + "MAX": "7", ARRAY + "COUNT": "3"}, (0, 3)),
        ({ARRAY + "ID": "5", ARRAY + "MIN": "5", ARRAY + "MAX": "5", ARRAY + "COUNT": "1"}, (0, 1)),
        ({ARRAY + "ID": "1", ARRAY + "COUNT": "2", "SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, (6, 8)),
    ],
)
def test_launchers_give_a_share_that_is_not_strict(environ: dict[str, str], share: tuple[int, int]) -> None:
    assert share_of(None, environ) == Share(*share)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 9), st.integers(1, 3))
def test_all_processes_of_all_tasks_have_different_shares(
    tasks: int, ranks: int, first: int, step: int
) -> None:
    last = first + (tasks - 1) * step
    array = {ARRAY + "MIN": str(first), ARRAY + "MAX": str(last), ARRAY + "STEP": str(step)}
    shares = {
        share_of(
            None, array | {ARRAY + "ID": str(task), "SLURM_PROCID": str(rank), "SLURM_NTASKS": str(ranks)}
        )
        for task in range(first, last + 1, step)
        for rank in range(ranks)
    }
    assert shares == {Share(index, tasks * ranks) for index in range(tasks * ranks)}


@pytest.mark.parametrize(
    "environ",
    [
        {"RANK": "4", "WORLD_SIZE": "4"},
        {"RANK": "first", "WORLD_SIZE": "4"},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "0"},
        {ARRAY + "ID": "x", ARRAY + "COUNT": "2"},
    ],
)
def test_a_launcher_that_makes_no_sense_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=next(iter(environ))):
        share_of(None, environ)


def test_gpus_are_given_out_by_local_rank_and_in_turn() -> None:
    assert local_device({}) is None
    assert local_device({"LOCAL_RANK": "3"}) == 3
    assert local_device({"LOCAL_RANK": "3", "SLURM_LOCALID": "0"}) == 3
    assert local_device({"LOCAL_RANK": "0", "WORLD_SIZE": "1", "SLURM_LOCALID": "2"}) == 2
    assert local_device({"SLURM_LOCALID": "3"}, devices=1) == 0
    assert local_device({"SLURM_LOCALID": "5"}, devices=4) == 1


def test_shares_need_no_torch() -> None:
    code = "import sys, gradstore.parts; assert not {'torch', 'numpy'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
