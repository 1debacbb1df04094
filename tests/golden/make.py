"""Writes the frozen store of format 1 and what is to be read from it: ``python tests/golden/make.py [FOLDER]``.

Run once. A store that a released version wrote is never written anew: a change of the format gets a folder of its own.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from gradstore.graph import build_graph, load_graph
from gradstore.records import DIRECTIONS, CheckpointIdentity, GradientBlock, ProjectionSpec
from gradstore.sharing import write_card
from gradstore.sharing.convert import convert
from gradstore.store import DatasetWriter, embed_adapter, open_store, read_artefact, write_artefact

HERE = Path(__file__).parent
NAME = "format-1.zarr"
EXPECTED = "format-1.json"
ROWS, DIM, CHUNK = 11, 13, 4


def identity(step: int) -> CheckpointIdentity:
    return CheckpointIdentity(
        base="tiny",
        base_digest="b" * 32,
        adapter_digest=f"{step:032x}",
        tokenizer_digest="7" * 32,
        template_digest="e" * 32,
        step=step,
        weight=0.5 / step,
        lora={"r": 4, "target_modules": ["q_proj"]},
        parameters=(("layer.0.lora_A", (4, 8)),),
        projection=ProjectionSpec("sjlt", DIM, 1),
    )


def numbers(step: int, direction: str, rows: int) -> np.ndarray:
    """Float32 rows that are the same on every machine: fractions of whole numbers, no distribution of NumPy's."""
    words = np.random.Philox(key=step + DIRECTIONS.index(direction)).random_raw(rows * DIM).reshape(rows, DIM)
    matrix = (words >> np.uint64(44)).astype(np.float32) / np.float32(1 << 19) - np.float32(1)
    matrix[3] = 0
    return matrix * np.float32(2.0**-16)


def block(rows: range, directions: tuple[str, ...], step: int, total: int) -> GradientBlock:
    valid = np.array([row != 3 for row in rows])
    return GradientBlock(
        ids=[f"row-{row:02}" for row in rows],
        sources=["häkel" if row % 2 else "plain" for row in rows],
        subtasks=["" if row % 3 else f"task-{row}" for row in rows],
        reasons=["" if good else "no learned token" for good in valid],
        records=[json.dumps({"id": f"row-{row:02}", "text": "é" * row}).encode() for row in rows],
        loss=np.array(rows, np.float32) / 8,
        tokens=np.array(rows, np.int32) * 3,
        valid=valid,
        truncated=np.array([row == 5 for row in rows]),
        contents=np.array([[row] * 12 for row in rows], np.uint8),
        gradients={each: numbers(step, each, total)[rows.start : rows.stop] for each in directions},
    )


def write(
    path: Path, step: int, name: str, rows: int, directions: tuple[str, ...], encoding: str, **more: Any
) -> None:
    with DatasetWriter.open(
        path,
        checkpoint=f"checkpoint-{step}",
        identity=identity(step),
        name=name,
        rows=rows,
        directions=dict.fromkeys(directions, DIM),
        encoding=encoding,
        chunk_rows=CHUNK,
        content_digest="c" * 32,
        attributes={"target": False, "provenance": {"versions": {"gradstore": "0"}}} | more,
    ) as writer:
        for chunk, span in enumerate(writer.chunks):
            writer.write(chunk, block(span, directions, step, rows))
        writer.seal()


def make(path: Path) -> Path:
    """Two checkpoints with a train and a target set, all encodings and compressions, a graph, a selection."""
    for step in (100, 200):
        write(path, step, "pool", ROWS, ("adam", "sgd"), "int8")
        write(path, step, "aim", 5, ("sgd",), "exact", target=True)
    for direction, kind in (("adam", "half"), ("sgd", "int4"), ("sign", "sign")):
        write(path, 200, "mixed", 6, (direction,), kind)
    for direction, compression in (("precond", "zstd"), ("rds", "blosc")):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "s", 200, "mixed", 6, (direction,), "int8")
            convert(Path(folder) / "s", path, to="int8", compression=compression)
    store = open_store(path)
    embed_adapter(store, "checkpoint-200", {"adapter_config.json": b'{"r": 4}'})
    build_graph(store, train=["pool"], targets=["aim"], neighbours=3, method="exact", name="near")
    write_artefact(
        store,
        "selections",
        "chosen",
        arrays={"picks": np.array([4, 1], np.int64), "scores": np.arange(10, dtype=np.float32)},
        strings={"ids": [f"row-{row:02}" for row in range(10)]},
        attributes={"selector": "less", "picked": 2},
    )
    write_card(store)
    return path


def expected(path: Path) -> dict[str, Any]:
    """Everything that can be read, as JSON values; floats of 32 bits survive JSON exactly."""
    store = open_store(path, verified=True)
    found: dict[str, Any] = {"datasets": {}}
    for checkpoint in store.checkpoints:
        for name in store.datasets(checkpoint):
            dataset = store.dataset(name, checkpoint)
            columns = {
                each: getattr(dataset, each).tolist()
                for each in (
                    "ids",
                    "sources",
                    "subtasks",
                    "reasons",
                    "loss",
                    "tokens",
                    "valid",
                    "truncated",
                    "contents",
                )
            }
            columns["loss"] = [None if loss != loss else loss for loss in columns["loss"]]
            found["datasets"][f"{checkpoint}/{name}"] = {
                **columns,
                "records": dataset.records(range(len(dataset))),
                "attributes": dict(dataset.attributes),
                "identity": dataset.identity.to_json(),
                "directions": {
                    each: {
                        "norms": dataset.norms(each).tolist(),
                        "rows": dataset.read(each, 0, len(dataset)).tolist(),
                        "fidelity": dataset.fidelity(each),
                        "encoding": dataset.encoding(each),
                    }
                    for each in dataset.directions
                },
            }
    graph, selection = load_graph(store, "near"), read_artefact(store, "selections", "chosen")
    found["graph"] = {"neighbours": graph.neighbours.tolist(), "cosines": graph.cosines.tolist()}
    found["selection"] = {name: array.tolist() for name, array in selection.arrays.items()}
    return found


def main(folder: Path) -> None:
    shutil.rmtree(folder / NAME, ignore_errors=True)
    values = expected(make(folder / NAME))
    (folder / EXPECTED).write_text(json.dumps(values, separators=(",", ":"), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
