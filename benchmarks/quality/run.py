"""The runs that are not in the results yet."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.quality.choices import has_target, picked, seen
from benchmarks.quality.tune import Trainee, loss


def run(options: argparse.Namespace) -> None:
    """Train on each choice, and write a line for each."""
    own, parts = map(int, options.part.split("/"))
    store = seen(options.store, options.encoding, options.dim)
    trainee = Trainee(options.model)
    pairs = [test.partition("=") for test in options.test]
    tests = {name: trainee.read(Path(path), options.test_rows) for name, _, path in pairs}
    for number, key in enumerate(_keys(options, list(tests))):
        if number % parts != own - 1 or _known(options.results, key):
            continue
        begun = time.process_time()
        line: dict[str, Any] = {**key}
        if key["choice"] == "base":
            model = trainee.untrained()
        else:
            found = picked(store, key["choice"], key["target"], key["fraction"], key["seed"])
            records = found.nodes.records([int(row) for row in found.selection.picks])
            line["rows"] = len(found)
            line["picks"] = hashlib.sha256("\n".join(found.ids).encode()).hexdigest()[:16]
            line["select_seconds"] = round(time.process_time() - begun, 2)
            model = trainee.trained(
                trainee.examples(records), steps=key["steps"], lr=key["lr"], seed=key["seed"]
            )
        wanted = [name for name in tests if not key["target"] or name in key["target"].split("+")]
        line["loss"] = {name: round(loss(model, tests[name]), 5) for name in wanted}
        line["seconds"] = round(time.process_time() - begun, 1)
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def _keys(options: argparse.Namespace, names: list[str]) -> Iterator[dict[str, Any]]:
    """What makes a run, the first seed of all choices first; a choice without target serves all of them."""
    targets = [*names] if options.apart or len(names) == 1 else [*names, "+".join(names)]
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for fraction in options.fraction:
            for choice in options.choice:
                for target in targets if has_target(choice) else [""]:
                    fixed = choice == "base"
                    if (fixed and seed) or (choice in ("base", "all") and fraction != options.fraction[0]):
                        continue  # the same for every seed, or every budget
                    yield {
                        "model": Path(options.model).name,
                        "label": options.label,
                        "choice": choice,
                        "target": target,
                        "fraction": 0.0 if fixed else 1.0 if choice == "all" else fraction,
                        "seed": seed,
                        "steps": 0 if fixed else options.steps,
                        "lr": 0.0 if fixed else options.lr,
                        "test_rows": options.test_rows,
                    }


def _known(results: Path, key: dict[str, Any]) -> bool:
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    return any(key.items() <= json.loads(line).items() for line in lines)
