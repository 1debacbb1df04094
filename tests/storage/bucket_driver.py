"""Writes a data set into a bucket with short leases: ``python -m tests.storage.bucket_driver URL [--stand]``.

With ``--stand`` it claims the second chunk, says so, and stands still.
"""

from __future__ import annotations

import sys
import time
from unittest.mock import patch

from gradstore.storage import remote
from gradstore.store import DatasetWriter
from tests.storage.conftest import QUICK
from tests.store.conftest import block, settings


def main(url: str, *words: str) -> None:
    with DatasetWriter.open(url, **settings(rows=40)) as writer:
        if "--stand" in words:
            claim = writer.claim(1)
            print("claimed" if claim else "not claimed", flush=True)
            time.sleep(60)
        while missing := writer.missing():
            for chunk in missing:
                claim = writer.claim(chunk)
                if claim is not None:
                    with claim:
                        claim.write(block(claim.rows, 16, claim.directions))
            time.sleep(0.1)
        writer.seal()


if __name__ == "__main__":
    with patch.object(remote, "TIMING", QUICK):
        main(*sys.argv[1:])
