"""What a selection is worth: train on it, and look at the loss on the target's held-out rows.

    python -m benchmarks.quality run STORE --model BASE --test gsm8k=gsm8k_test.jsonl --test bbh=bbh_test.jsonl.gz
    python -m benchmarks.quality report docs/results.md

`run` adds a line to `results.jsonl` beside this file for every (choice, target, budget, seed) that is not there yet,
so it may be stopped, and continued by several processes (--part 1/2). `report` writes the tables of a page anew.

For each of them: select, train a fresh LoRA adapter of the base model on the picks for the same number of steps of
16 rows, take the mean loss of the target's test rows. The seed decides the selector's draws, the adapter's first
values and the order of the rows.

A choice is ``SELECTOR[@DIRECTION][^GRAPH][:NAME=VALUE,…]``, such as ``less@precond:aggregate=mean``; the graph is
``exact`` unless named. ``base`` is the model without training, ``all`` the whole pool. ``--encoding sign`` and
``--dim 1024`` choose from the rows as they would be with fewer bits or numbers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.quality import choices
from benchmarks.quality.report import report
from benchmarks.quality.run import run

RESULTS = Path(__file__).parent / "results.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    runs = verbs.add_parser("run", help="train on choices and keep the losses")
    runs.add_argument("store", type=Path)
    runs.add_argument("--model", required=True)
    runs.add_argument("--test", action="append", required=True, metavar="TARGET=FILE")
    runs.add_argument("--label", default="main", help="what the store is called in the results")
    runs.add_argument("--encoding", help="choose from rows that have gone through it")
    runs.add_argument("--dim", type=int, help="choose from rows folded to so many numbers")
    runs.add_argument("--choice", action="append", metavar="SELECTOR[@DIRECTION][^GRAPH][:NAME=VALUE,…]")
    runs.add_argument("--fraction", type=float, action="append")
    runs.add_argument("--steps", type=int, default=48)
    runs.add_argument("--lr", type=float, default=1e-3)
    runs.add_argument("--seeds", type=int, default=5)
    runs.add_argument("--first-seed", type=int, default=0)
    runs.add_argument("--test-rows", type=int, default=200)
    runs.add_argument("--apart", action="store_true", help="each target alone, not both together as well")
    runs.add_argument("--part", default="1/1", metavar="K/N")
    runs.add_argument("--results", type=Path, default=RESULTS)
    reports = verbs.add_parser("report", help="write the tables of a page anew")
    reports.add_argument("page", type=Path)
    reports.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.verb == "report":
        report(options.results, options.page)
    else:
        options.choice = options.choice or list(choices.MAIN)
        options.fraction = options.fraction or [0.01, 0.05]
        run(options)


if __name__ == "__main__":
    main()
