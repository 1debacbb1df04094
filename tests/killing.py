"""What the drivers share that kill processes: forks, deaths before a chosen request, and what is left behind."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import stat
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from gradstore.storage import Location, open_folder

__all__ = ["KILLS", "die_before", "digests", "forked", "objects", "quick", "start"]

KILLS = int(os.environ.get("GRADSTORE_KILLS", "5"))
"""How many processes each test kills; a few, to save time."""

DISK = ("replace", "fsync", "mkdir", "unlink", "rmdir")
BUCKET = ("put", "get", "head", "copy", "delete", "list", "list_with_delimiter")


def start(work: Callable[[], object]) -> int:
    """Begin `work` in a child process; its number."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 (the child must not run the parent's code)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def forked(work: Callable[[], object]) -> bool:
    """Run `work` in a child process; False if it was killed."""
    _, status = os.waitpid(start(work), 0)
    if os.WIFSIGNALED(status):
        return False
    if os.WEXITSTATUS(status):
        raise SystemExit("see the traceback above")
    return True


def die_before(step: int, bucket: bool = False) -> Callable[[], int]:
    """Let this process be killed before its `step`-th request to the disk or the bucket; with 0 it lives.

    Of a file that was to be synchronised only half is left, as a power cut might. Returns a counter of requests, which
    threads make in any order.
    """
    lock = threading.Lock()
    count = 0

    def guard(module: ModuleType, name: str) -> None:
        real = getattr(module, name)

        def request(*args: object, **kwargs: object) -> object:
            nonlocal count
            with lock:
                count += 1
                if count == step:
                    if name == "fsync" and stat.S_ISREG(os.fstat(args[0]).st_mode):
                        os.ftruncate(args[0], os.fstat(args[0]).st_size // 2)
                    os.kill(os.getpid(), signal.SIGKILL)
            # Not waiting for the disk saves minutes.
            return None if name == "fsync" else real(*args, **kwargs)

        setattr(module, name, request)

    if bucket:
        import obstore

        for name in BUCKET:
            guard(obstore, name)
    else:
        for name in DISK:
            guard(os, name)
        guard(fcntl, "flock")
    return lambda: count


def quick() -> None:
    """Do not wait for the disk: nothing dies any more."""
    os.fsync = lambda _: None


def objects(path: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        each.relative_to(path).as_posix(): each.read_bytes() for each in path.rglob("*") if not each.is_dir()
    }


def digests(location: Location, notes: Path) -> dict[str, str]:
    """SHA-256 of all objects; in a bucket found by a child, since a process that has used one cannot be forked."""

    def look() -> None:
        folder = open_folder(location)
        found = {name: hashlib.sha256(folder.get(name) or b"").hexdigest() for name in folder.files()}
        notes.write_text(json.dumps(found))

    if "://" in str(location):
        forked(look)
    else:
        look()
    found: dict[str, str] = json.loads(notes.read_text())
    return {name: each for name, each in found.items() if not name.endswith("-clock.lock")}
