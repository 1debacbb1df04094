"""A small model, a pool and a target made on the spot, to run the examples offline: ``python make_data.py FOLDER``.

FOLDER gets ``base/`` (a model with a tokenizer and a chat template, trained for seconds), ``pool.jsonl`` and
``target.jsonl``. They show how things are done, not what selection is worth: docs/results.md does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gradstore.demo.model import make_model
from gradstore.demo.skills import instruction_set, write_rows


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = instruction_set(pool=100, target=12, lessons=300)
    make_model(folder / "base", rows.lessons, steps=16, hidden=32, layers=2)
    write_rows(folder / "pool.jsonl", rows.pool)
    write_rows(folder / "target.jsonl", rows.target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
