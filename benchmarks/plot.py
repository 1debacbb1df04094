"""Growth as a picture, from figures that the benchmarks printed (wants matplotlib).

    python benchmarks/plot.py docs/growth.svg "exact graph=10000:4,30000:12,90000:57" "walk=10000:0.2,100000:1.3"

Both axes are logarithmic: a straight line is a power of the number of rows, which stands beside the name.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("series", nargs="+", metavar="NAME=ROWS:SECONDS,…")
    options = parser.parse_args()

    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "gradstore"  # the same figures make the same file
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    for each in options.series:
        name, _, pairs = each.partition("=")
        rows, seconds = np.array([pair.split(":") for pair in pairs.split(",")], float).T
        power = np.polyfit(np.log(rows), np.log(seconds), 1)[0]
        axes.loglog(rows, seconds, marker="o", label=f"{name}: rows^{power:.2f}")
    axes.set(xlabel="rows of 1024 numbers", ylabel="CPU-seconds")
    axes.grid(which="major", alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(options.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
