"""How much a choice depends on the graph: overlap of a walk's picks on approximate graphs with those on the exact one.

    python benchmarks/picks.py STORE --target gsm8k [--target bbh] --exact EXACT --graph NAME [--graph NAME ...]
        [--direction adam] [--fraction 0.01]

All graphs are built beforehand, by `gradstore graph STORE --name NAME`; the table says what recall each was measured to
have. The overlap is Jaccard's: rows in both choices over rows in either.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gradstore

PRESETS = ("authors", "robust")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--target", action="append", required=True)
    parser.add_argument("--exact", required=True)
    parser.add_argument("--graph", action="append", required=True)
    parser.add_argument("--direction")
    parser.add_argument("--fraction", type=float, default=0.01)
    options = parser.parse_args()

    def picks(graph: str, target: str, preset: str) -> set[str]:
        chosen = gradstore.select(
            options.store,
            selector="g2is",
            target=target,
            budget=options.fraction,
            direction=options.direction,
            graph=graph,
            params={"preset": preset},
            name="picks",
        )
        return set(chosen.ids)

    cases = [(target, preset) for target in options.target for preset in PRESETS]
    exact = {case: picks(options.exact, *case) for case in cases}
    print("| graph | recall | " + " | ".join(f"{target}, {preset}" for target, preset in cases) + " |")
    print("|---|---:|" + "---:|" * len(cases))
    for graph in options.graph:
        recall = gradstore.load_graph(options.store, graph).recall
        found = {case: picks(graph, *case) for case in cases}
        shares = [len(exact[case] & found[case]) / len(exact[case] | found[case]) for case in cases]
        print(
            f"| {graph} | {recall:.3f} | " + " | ".join(f"{share:.2f}" for share in shares) + " |", flush=True
        )


if __name__ == "__main__":
    main()
