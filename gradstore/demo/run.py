"""`gradstore demo`: every step through the public functions, on rows and a model made on the spot."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gradstore
from gradstore.demo.result import DemoResult, SkillCount
from gradstore.demo.skills import OTHERS, PREREQUISITES, TARGET, InstructionSet, instruction_set, write_rows
from gradstore.demo.steps import FRACTION, SELECTORS, TRAINING, Places, commands, fresh
from gradstore.progress import Log, Progress, silent, unheard

__all__ = ["Scale", "run_demo"]


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the demo is: rows of the pool, the target and the lessons; the model's training and size."""

    pool: int = 1300
    target: int = 48
    lessons: int = 1500
    steps: int = 240
    hidden: int = 128
    layers: int = 3


def run_demo(
    folder: str | Path,
    *,
    seed: int = 0,
    scale: Scale = Scale(),
    progress: Progress = silent,
    log: Log = unheard,
) -> DemoResult:
    """Make rows and a model, extract gradients, build the graph, and select with three selectors.

    Parameters
    ----------
    folder : path
        Where everything is kept. The results of an earlier demo there are replaced.
    seed : int
        Decides rows, model, training and choices.
    scale : Scale, optional
        Sizes; the default takes about a minute and a half.
    progress, log : callable, optional
        ``progress(total, unit, label)`` gives a context manager with ``update(n)``; ``log(line)`` hears what
        happens.

    Returns
    -------
    DemoResult

    Raises
    ------
    UsageError
        If the folder holds something that is not an earlier demo's.
    """
    clock = _Clock()
    at = fresh(Path(folder))
    rows = instruction_set(pool=scale.pool, target=scale.target, lessons=scale.lessons, seed=seed)
    write_rows(at.pool, rows.pool)
    write_rows(at.target, rows.target)
    log(f"generated {len(rows.pool)} rows for the pool, and {len(rows.target)} of the target skill")
    with _one_thread():
        with clock("model"):
            _make_model(at, rows, scale, seed, progress, log)
        with clock("warm-up"):
            gradstore.warmup(
                model=at.model, data=at.pool, out=at.run, seed=seed, progress=progress, log=log, **TRAINING
            )
        with clock("extract"):
            _extract(at, progress, log)
    with clock("graph"):
        graph = gradstore.build_graph(at.store, seed=seed)
    log(f"built the graph: {len(graph)} nodes, recall {graph.recall:.3f}")
    with clock("select"):
        chosen = {selector: _select(at, selector, seed) for selector in SELECTORS}
    return _result(at, seed, Counter(row["source"] for row in rows.pool), chosen, clock.seconds)


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[stage] = round(time.monotonic() - started, 1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread: as good as two for so small a model, ten times faster where others compute too.

    The sums, and so the choices, are also the same whatever the number of cores.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _make_model(
    at: Places, rows: InstructionSet, scale: Scale, seed: int, progress: Progress, log: Log
) -> None:
    from gradstore.demo.model import make_model

    losses = make_model(
        at.model,
        rows.lessons,
        steps=scale.steps,
        hidden=scale.hidden,
        layers=scale.layers,
        seed=seed,
        progress=progress,
    )
    log(f"made a model: loss {losses[0]:.2f} at first, {losses[-1]:.2f} at last")


def _extract(at: Places, progress: Progress, log: Log) -> None:
    for data, name, target in ((at.pool, "pool", False), (at.target, TARGET.name, True)):
        gradstore.extract(
            at.store, checkpoints=[at.run], data=data, name=name, target=target, progress=progress, log=log
        )


def _select(at: Places, selector: str, seed: int) -> dict[str, int]:
    """Choose, keep the rows, and count them by skill."""
    picked = gradstore.select(at.store, selector=selector, target=TARGET.name, budget=FRACTION, seed=seed)
    picked.write(at.picked(selector))
    return {line.source: line.chosen for line in picked.composition()}


def _result(
    at: Places,
    seed: int,
    pool: Mapping[str, int],
    chosen: Mapping[str, Mapping[str, int]],
    seconds: Mapping[str, float],
) -> DemoResult:
    return DemoResult(
        target=TARGET.name,
        skills=[
            SkillCount(
                skill.name,
                skill in PREREQUISITES,
                pool[skill.name],
                {selector: counts[skill.name] for selector, counts in chosen.items()},
            )
            for skill in PREREQUISITES + OTHERS
        ],
        prerequisite_share={
            name: sum(counts[skill.name] for skill in PREREQUISITES) / sum(counts.values())
            for name, counts in {"pool": pool, **chosen}.items()
        },
        files={
            "pool": str(at.pool),
            "target": str(at.target),
            "model": str(at.model),
            "checkpoints": str(at.run),
            "gradients and graph": str(at.store),
            **{f"chosen by {selector}": str(at.picked(selector)) for selector in SELECTORS},
        },
        commands=commands(at, seed),
        seconds=seconds,
    )
