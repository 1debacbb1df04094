"""What reading vectors from elsewhere will cost."""

from __future__ import annotations

from collections.abc import Iterable

from gradstore.store.dataset import Dataset
from gradstore.store.layout import bytes_text

__all__ = ["download_note"]


def download_note(vectors: Iterable[tuple[Dataset, str]]) -> str:
    """One line about the vectors that must be downloaded before they can be read; empty if all are here.

    Parameters
    ----------
    vectors : iterable of (Dataset, direction)

    Returns
    -------
    str
    """
    sizes = [(dataset, direction, dataset.download_size(direction)) for dataset, direction in vectors]
    names = [f"{dataset.name} ({direction}) {bytes_text(size)}" for dataset, direction, size in sizes if size]
    total = sum(size for _, _, size in sizes)
    return f"up to {bytes_text(total)} of vectors to download: {', '.join(names)}" if names else ""
