"""What each encoding of a store's rows costs and keeps, as a Markdown table.

    python benchmarks/encodings.py                                  # isotropic rows: nothing but noise to order
    python benchmarks/encodings.py STORE --train pool --direction adam --target gsm8k --target-direction sgd
    python benchmarks/encodings.py rows.npy --targets targets.npy

Rows must be float32 (encoding ``exact``). Train and target rows are encoded alike. A row's score is its mean cosine, or
its largest, to the target rows; Spearman and the top 1 % compare scores with those of the float32 rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import gradstore
from gradstore.store.arrays import COMPRESSIONS, ArraySpec, decode_chunk, encode_chunk
from gradstore.store.encodings import ENCODINGS, Encoding
from gradstore.store.fidelity import spearman, top_share

CHUNK = 512


def read(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Train and target rows."""
    if options.source is None:
        random = np.random.default_rng(0)
        return tuple(random.normal(size=(n, options.dim)).astype(np.float32) for n in (options.rows, 128))  # type: ignore[return-value]
    if options.source.endswith(".npy"):
        return tuple(np.load(path).astype(np.float32) for path in (options.source, options.targets))  # type: ignore[return-value]
    store = gradstore.open(options.source)
    found = []
    for name, direction in ((options.train, options.direction), (options.target, options.target_direction)):
        dataset = store.dataset(name)
        if dataset.encoding(direction) != "exact":
            raise SystemExit(f"{name}, {direction}: rows are {dataset.encoding(direction)}, not float32")
        found.append(dataset.read(direction, 0, len(dataset))[dataset.norms(direction) > 0])
    return found[0], found[1]


def cosines(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    unit = [m / np.linalg.norm(m.astype(np.float64), axis=1, keepdims=True) for m in (rows, targets)]
    return unit[0] @ unit[1].T


def absmax(rows: np.ndarray) -> np.ndarray:
    """Fifteen equal steps up to the largest number, as QLESS has them: for comparison only."""
    step = np.abs(rows).max(axis=1, keepdims=True) / 7
    return np.rint(rows / step) * step


def kept(decode: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, targets: np.ndarray) -> list[str]:
    """Quality cells: Spearman and top 1 % of mean and of largest cosines, and the error of a cosine."""
    true, found = cosines(rows, targets), cosines(decode(rows), decode(targets))
    cells = []
    for score in (np.mean, np.max):
        a, b = score(true, axis=1), score(found, axis=1)
        cells += [f"{spearman(a, b):.4f}", f"{top_share(a, b):.0%}"]
    return [*cells, f"{np.sqrt(np.square(found - true).mean()):.5f}"]


def round_trip(kind: Encoding) -> Callable[[np.ndarray], np.ndarray]:
    return lambda rows: kind.decode(*kind.encode(rows), rows.shape[1])


def cost(kind: Encoding, compression: str, rows: np.ndarray, rounds: int) -> list[str]:
    """Bytes a row with norm and scale, and CPU-seconds for a GB of float32 numbers to and from stored bytes."""
    dim = rows.shape[1]
    scalars = 4 * (1 + kind.scaled)
    blocks = [rows[start : start + CHUNK] for start in range(0, len(rows) - CHUNK + 1, CHUNK)] or [rows]
    size, seconds = 0, np.full((rounds, 2), np.inf)
    for turn in range(rounds):
        size, spent = 0, [0.0, 0.0]
        for block in blocks:
            spec = ArraySpec((len(block), kind.width(dim)), len(block), kind.dtype, compression)
            started = time.process_time()
            codes, scale = kind.encode(block)
            data = encode_chunk(spec, codes)
            between = time.process_time()
            kind.decode(decode_chunk(spec, 0, data, "here"), scale, dim)
            spent[0] += between - started
            spent[1] += time.process_time() - between
            size += len(data)
        seconds[turn] = spent
    count = sum(map(len, blocks))
    return [
        f"{size / count + scalars:,.0f}",
        *(f"{value:.2f}" for value in seconds.min(axis=0) / (count * dim * 4e-9)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="?", metavar="STORE|ROWS.npy")
    parser.add_argument("--targets", type=Path, metavar="TARGETS.npy")
    parser.add_argument("--train", default="pool")
    parser.add_argument("--direction", default="adam")
    parser.add_argument("--target", default="gsm8k")
    parser.add_argument("--target-direction", default="sgd")
    parser.add_argument("--rows", type=int, default=1500, help="isotropic rows")
    parser.add_argument("--dim", type=int, default=8192, help="numbers of an isotropic row")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows, targets = read(options)
    print(f"{len(rows)} rows, {len(targets)} target rows, {rows.shape[1]} numbers a row\n")
    print(
        "| encoding | compression | bytes a row | Spearman, mean | top 1 % | Spearman, max | top 1 % | rms error "
        "| encode, s/GB | decode, s/GB |"
    )
    print("|---|---|" + "---:|" * 8)
    for kind in sorted(ENCODINGS.values(), key=lambda kind: -kind.row_bytes(1024)):
        quality = kept(round_trip(kind), rows, targets)
        for compression in COMPRESSIONS:
            size, *speed = cost(kind, compression, rows, options.rounds)
            print(
                "| " + " | ".join([f"`{kind.name}`", compression, size, *quality, *speed]) + " |", flush=True
            )
            quality = [""] * len(quality)
    print("| " + " | ".join(["int4 by absmax", "", "", *kept(absmax, rows, targets), "", ""]) + " |")


if __name__ == "__main__":
    main()
