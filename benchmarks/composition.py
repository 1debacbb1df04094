"""What each selector chooses, by source, as a Markdown table.

    python benchmarks/composition.py STORE --target gsm8k --target bbh --fraction 0.01 --fraction 0.05
        [--choice less@precond ...] [--seed 0]

A choice is ``SELECTOR[@DIRECTION][:NAME=VALUE,…]``; one with a direction uses the graph of that name.
"""

from __future__ import annotations

import argparse
import time

import gradstore

CHOICES = ("random", "less", "less:aggregate=mean", "g2is:preset=authors", "g2is")


def choose(
    store: gradstore.Store, choice: str, target: str, fraction: float, seed: int
) -> tuple[dict[str, float], str]:
    """Share of each source among the picks, and the walk's counts."""
    selection, _, rest = choice.partition(":")
    selector, _, direction = selection.partition("@")
    started = time.process_time()
    picked = gradstore.select(
        store,
        selector=selector,
        target=target,
        budget=fraction,
        params=dict(pair.split("=") for pair in rest.split(",") if pair),
        direction=direction or None,
        graph=direction or "default",
        seed=seed,
        name="composition",
    )
    seconds = time.process_time() - started
    counts = picked.report()["report"].get("walk", {})
    walk = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items() if count)
    shares = {part.source: part.share for part in picked.composition()}
    return shares, f"{len(picked.ids)} picked in {seconds:.1f} CPU-s" + (f": {walk}" if walk else "")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store")
    parser.add_argument("--target", action="append", required=True)
    parser.add_argument("--fraction", action="append", type=float, required=True)
    parser.add_argument("--choice", action="append", metavar="SELECTOR[@DIRECTION][:NAME=VALUE,…]")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    store = gradstore.open(options.store)
    pool = gradstore.select(store, selector="random", budget=1, name="composition").composition()
    base = {part.source: part.base_share for part in sorted(pool, key=lambda part: -part.base_share)}
    for target in options.target:
        for fraction in options.fraction:
            print(f"\n### {target}, {fraction:.0%}\n")
            print("| chosen by | " + " | ".join(base) + " |")
            print("|---|" + "---:|" * len(base))
            print("| *the pool* | " + " | ".join(f"{share:.1%}" for share in base.values()) + " |")
            notes = []
            for choice in options.choice or CHOICES:
                shares, note = choose(store, choice, target, fraction, options.seed)
                print(f"| {choice} | " + " | ".join(f"{shares[source]:.1%}" for source in base) + " |")
                notes.append(f"- {choice}: {note}")
            print("\n" + "\n".join(notes), flush=True)


if __name__ == "__main__":
    main()
