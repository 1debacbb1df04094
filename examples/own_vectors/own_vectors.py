"""Vectors made elsewhere, in a store; the rest is the same as for extracted gradients.

python own_vectors.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import gradstore

TOPICS = ("algebra", "cooking", "geography", "poetry")
DIM = 256


def rows_about(topic: str, count: int, draw: np.random.Generator) -> tuple[np.ndarray, list[dict[str, str]]]:
    """Vectors that share their topic's direction, and the rows they stand for."""
    direction = np.random.default_rng(TOPICS.index(topic)).standard_normal(DIM)
    vectors = direction + 1.5 * draw.standard_normal((count, DIM))
    return vectors.astype(np.float32), [{"text": f"{topic} {i}", "source": topic} for i in range(count)]


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "own-vectors")
    store = folder / "vectors.zarr"
    draw = np.random.default_rng(0)

    parts = [rows_about(topic, 200, draw) for topic in TOPICS]
    vectors = np.concatenate([part for part, _ in parts])
    rows = [row for _, part in parts for row in part]
    sources = [row["source"] for row in rows]
    gradstore.import_arrays(store, name="pool", gradients=vectors, rows=rows, sources=sources)

    wanted, wanted_rows = rows_about("algebra", 20, draw)
    gradstore.import_arrays(store, name="algebra", gradients=wanted, rows=wanted_rows, target=True)

    graph = gradstore.build_graph(store)
    print(gradstore.open(store))
    print(f"\n{len(graph)} nodes, recall {graph.recall:.3f}\n")

    for selector in ("random", "less", "g2is"):
        picked = gradstore.select(store, selector=selector, target="algebra", budget=0.05)
        picked.write(folder / f"{selector}.jsonl")
        shares = ", ".join(f"{part.source} {part.share:.0%}" for part in picked.composition() if part.chosen)
        print(f"{selector:<7} {len(picked)} rows: {shares}")


if __name__ == "__main__":
    main()
