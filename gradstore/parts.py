"""Which chunks a process computes when several share one extraction, and on which GPU; decided without a message.

No process waits for another, and none needs to know how many are alive: a share says where to begin, and the store's
claims (`DatasetWriter.claim`) see to it that no chunk is computed twice at a time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradstore.errors import UsageError

__all__ = ["LAUNCHER_VARIABLES", "Share", "local_device", "rank_of", "share_of"]

RANKS = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"))
LOCAL_RANKS = ("LOCAL_RANK", "SLURM_LOCALID")
ARRAY = tuple(f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "COUNT", "MIN", "MAX", "STEP"))

LAUNCHER_VARIABLES = (*(name for pair in RANKS for name in pair), *LOCAL_RANKS, *ARRAY)
"""Environment variables that are read here."""


@dataclass(frozen=True, slots=True)
class Share:
    """One process's part of the chunks: every chunk whose number is `index` modulo `count`.

    Attributes
    ----------
    index : int
        Counted from 0.
    count : int
        How many shares there are.
    strict : bool
        Whether the chunks of other shares are left alone. If not, they come after its own, so that a process that is
        left alone finishes the data set, and the work of one that died is taken over.
    """

    index: int = 0
    count: int = 1
    strict: bool = False

    def __str__(self) -> str:
        """As people write it, counted from 1: ``3/8``."""
        return f"{self.index + 1}/{self.count}"

    def order(self, missing: Sequence[int]) -> list[int]:
        """The chunks of `missing` that this process may compute, in the order in which it should try them.

        Its own come first, forwards. Then, unless the share is strict, those of the next share, of the one after it,
        and so on, each backwards: helpers begin where the owner ends, and different ones help different owners.

        Examples
        --------
        >>> Share(1, 3).order(range(8))
        [1, 4, 7, 5, 2, 6, 3, 0]
        >>> Share(1, 3, strict=True).order(range(8))
        [1, 4, 7]
        """

        def distance(chunk: int) -> int:
            return (chunk - self.index) % self.count

        allowed = (chunk for chunk in missing if not self.strict or distance(chunk) == 0)
        return sorted(allowed, key=lambda chunk: (distance(chunk), -chunk if distance(chunk) else chunk))

    def expected(self, missing: Sequence[int]) -> list[int]:
        """The chunks of `missing` that this process will compute if all others do theirs.

        Where its own are finished and it may help, all that are left: nobody may be there to do them.
        """
        own = [chunk for chunk in missing if chunk % self.count == self.index]
        return own if own or self.strict else list(missing)


def share_of(part: str | None, environ: Mapping[str, str]) -> Share:
    """The share that ``--part`` or the launcher of this process gives it.

    Parameters
    ----------
    part : str, optional
        ``"i/n"``, counted from 1 to n: a strict share, for processes that do not write to the same store.
    environ : Mapping
        The environment. Read when there is no `part`: ``RANK`` and ``WORLD_SIZE`` (torchrun, accelerate launch), else
        ``SLURM_PROCID`` and ``SLURM_NTASKS`` (srun); and the ``SLURM_ARRAY_TASK_…`` of an array, whose every task is
        divided further when it launches several processes. The share is not strict.

    Raises
    ------
    UsageError
        If `part` is no part, or a launcher's variables make no sense.

    Examples
    --------
    >>> share_of("3/8", {})
    Share(index=2, count=8, strict=True)
    >>> share_of(None, {"RANK": "1", "WORLD_SIZE": "4", "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "3"})
    Share(index=9, count=12, strict=False)
    """
    if part is not None:
        return _parse(part)
    task, tasks = _array_task(environ)
    rank, ranks = rank_of(environ)
    return Share(task * ranks + rank, tasks * ranks)


def rank_of(environ: Mapping[str, str]) -> tuple[int, int]:
    """Number of this process among those that one launcher started, from 0, and how many they are."""
    for rank_name, size_name in RANKS:
        if environ.get(rank_name) and environ.get(size_name):
            rank, size = _number(environ, rank_name), _number(environ, size_name)
            if rank >= size:
                raise UsageError(
                    f"{rank_name}={rank} and {size_name}={size} do not fit; unset both, or give `--part`"
                )
            if size > 1:  # torchrun's pair says nothing where srun starts one torchrun for each process
                return rank, size
    return 0, 1


def local_device(environ: Mapping[str, str], devices: int | None = None) -> int | None:
    """Which of this machine's GPUs is for this process.

    Parameters
    ----------
    environ : Mapping
        The environment: ``LOCAL_RANK`` (torchrun, accelerate launch), else ``SLURM_LOCALID`` (srun).
    devices : int, optional
        How many GPUs the process sees. Where that is fewer than processes (a scheduler that shows each its own, or two
        processes for one GPU), they are given out in turn.

    Returns
    -------
    int or None
        None if no launcher says anything.
    """
    # Where srun starts one torchrun for each process, every one of them has the local rank 0.
    names = reversed(LOCAL_RANKS) if environ.get("WORLD_SIZE") == "1" else LOCAL_RANKS
    for name in names:
        if environ.get(name):
            rank = _number(environ, name)
            return rank % devices if devices else rank
    return None


def _parse(part: str) -> Share:
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", part)
    if not match:
        raise UsageError(f"`--part {part}` is no part; write i/n, such as 1/8 for the first of eight")
    number, count = map(int, match.groups())
    if not count:
        raise UsageError(f"`--part {part}`: nothing can be divided into 0 parts")
    if not 1 <= number <= count:
        raise UsageError(
            f"`--part {part}`: parts are counted from 1, so here from 1/{count} to {count}/{count}"
        )
    return Share(number - 1, count, strict=True)


def _array_task(environ: Mapping[str, str]) -> tuple[int, int]:
    """Number of this task in its SLURM array, and how many tasks the array has."""
    task, count, first, last, step = ARRAY
    if not environ.get(task):
        return 0, 1
    least = _number(environ, first) if environ.get(first) else 0
    stride = max(1, _number(environ, step)) if environ.get(step) else 1
    if environ.get(count):
        tasks = max(1, _number(environ, count))
    elif environ.get(last):
        tasks = max(1, (_number(environ, last) - least) // stride + 1)
    else:
        return 0, 1
    # An array may be a list, such as 1,3,7. Two of its tasks then begin at the same place, and part at the first claim.
    return max(0, _number(environ, task) - least) // stride % tasks, tasks


def _number(environ: Mapping[str, str], name: str) -> int:
    value = environ[name]
    if not re.fullmatch(r"[0-9]+", value):
        raise UsageError(f"{name}={value} in the environment is no number; unset it, or give `--part`")
    return int(value)
