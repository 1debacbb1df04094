"""The YAML at the head of a store's card, by which the Hugging Face Hub files and finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradstore.sharing.markdown import quoted

__all__ = ["front_matter"]

# Of the identifiers that the Hub knows, those of data; any other is "other" there, and named in the text.
# fmt: off
_LICENCES = frozenset((
    "apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5",
    "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0",
    "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0",
    "gpl-3.0", "agpl-3.0", "lgpl-3.0", "gfdl", "mpl-2.0", "odc-by", "odbl", "pddl", "unlicense",
))
# fmt: on
_SIZES = (
    (10**3, "1K"),
    (10**4, "10K"),
    (10**5, "100K"),
    (10**6, "1M"),
    (10**7, "10M"),
    (10**8, "100M"),
    (10**9, "1B"),
)


def front_matter(checkpoints: Sequence[Mapping[str, Any]]) -> str:
    """The block of YAML between its dashes.

    Parameters
    ----------
    checkpoints : sequence of Mapping
        As `gradstore.sharing.card` describes them; nothing in them can become a key.
    """
    datasets = [
        each for checkpoint in checkpoints for each in checkpoint["datasets"] if "damaged" not in each
    ]
    bases = sorted({str(each["identity"]["base"]) for each in checkpoints if each["identity"]["base"]})
    rows: dict[str, int] = {}
    for each in datasets:
        rows[each["name"]] = max(each["rows"], rows.get(each["name"], 0))
    title = f"Gradients of {', '.join(bases)}" if bases else "Gradient store"
    lines = [
        f"pretty_name: {quoted(title)}",
        "license:",
        *(f"- {name}" for name in _licences(datasets)),
        "tags:",
        *(f"- {tag}" for tag in ("gradstore", "gradients", "data-selection", "influence", "zarr")),
        "size_categories:",
        f"- {_size(sum(rows.values()))}",
        "viewer: false",
    ]
    return "\n".join(["---", *lines, "---"])


def _licences(datasets: Sequence[Mapping[str, Any]]) -> list[str]:
    named = {name.lower() for each in datasets for name in each["licences"].values()}
    if not named or any("" not in each["licences"] for each in datasets):
        named.add("unknown")
    return sorted({name if name in _LICENCES or name == "unknown" else "other" for name in named})


def _size(rows: int) -> str:
    """The Hub's name of a number of rows."""
    below = "n"
    for most, name in _SIZES:
        if rows < most:
            return f"n<{name}" if below == "n" else f"{below}<n<{name}"
        below = name
    return "n>1B"
