"""Extract on a Ray cluster: each task fills a store of its own with one part, and the parts are merged.

    python extract.py grads.zarr --checkpoint run --data pool.jsonl --name pool --parts parts --count 8

`--parts` is a folder that all machines of the cluster and this one see; they need not see the store.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gradstore

try:
    import ray
except ModuleNotFoundError:
    raise SystemExit("this example needs Ray: pip install ray") from None


def extract_part(part: str, store: str, options: dict[str, object]) -> tuple[str, int]:
    """Compute one part; a task that Ray runs again goes on after its last finished chunk."""
    reports = gradstore.extract(store, part=part, **options)
    return store, sum(report.computed_chunks for report in reports)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("store", help="the store to make")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--target", action="store_true")
    parser.add_argument("--parts", required=True, type=Path, help="folder for the stores of the parts")
    parser.add_argument("--count", type=int, default=8, help="number of parts")
    parser.add_argument("--gpus", type=float, default=1.0, help="GPUs of a task; 0.5 puts two on one")
    parser.add_argument("--address", help="of the cluster; without it, one is started on this machine")
    parser.add_argument("--dim", type=int, default=8192)
    parser.add_argument("--chunk-rows", type=int)
    given = parser.parse_args()

    options = {
        "checkpoints": [Path(given.checkpoint).resolve()],
        "data": Path(given.data).resolve(),
        "name": given.name,
        "target": given.target,
        "dim": given.dim,
        "chunk_rows": given.chunk_rows,
    }
    parts = given.parts.resolve()
    parts.mkdir(parents=True, exist_ok=True)

    ray.init(address=given.address)
    task = ray.remote(extract_part).options(num_gpus=given.gpus, max_retries=10)
    pending = [
        task.remote(f"{number}/{given.count}", str(parts / f"part-{number}.zarr"), options)
        for number in range(1, given.count + 1)
    ]
    stores = []
    while pending:
        (done,), pending = ray.wait(pending)
        store, chunks = ray.get(done)
        stores.append(store)
        print(f"{store}: {chunks} chunks computed, {len(pending)} parts to go")
    gradstore.merge(given.store, sorted(stores))
    print(gradstore.open(given.store))


if __name__ == "__main__":
    main()
