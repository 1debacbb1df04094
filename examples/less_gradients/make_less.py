"""Folders as LESS's ``collect_grad_reps.py`` leaves them, with made-up numbers: ``python make_less.py FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

DIM, TOPICS = 128, ("algebra", "cooking", "poetry")


def main(folder: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    topics = torch.randn(len(TOPICS), DIM, generator=draw)
    for name, rows, direction in (("pool", 300, "adam"), ("target", 8, "sgd")):
        of = [0 if name == "target" else row % len(TOPICS) for row in range(rows)]
        records = [
            {"id": f"{name}-{i}", "dataset": TOPICS[t], "text": f"{TOPICS[t]} {i}"} for i, t in enumerate(of)
        ]
        (folder / "grads").mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
        for step in (105, 211):
            place = folder / "grads" / f"{name}-ckpt{step}-{direction}" / f"dim{DIM}"
            place.mkdir(parents=True)
            gradients = topics[of] + torch.randn(rows, DIM, generator=draw)
            torch.save(torch.nn.functional.normalize(gradients, dim=1), place / "all_orig.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
