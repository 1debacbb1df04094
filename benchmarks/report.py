"""What a report page costs: making it, its size, and how soon a browser has it ready.

python benchmarks/report.py STORE [--repeats 5]

Needs Selenium, chromium and chromedriver. The browser has no graphics card; its time is counted from the address to
the list of rows being there, the median of all repeats.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READY = "return !document.getElementById('explorer').hasAttribute('aria-busy')"


def made(store: str, page: Path) -> tuple[float, float, str]:
    """CPU-seconds, MiB at most, and what the command printed."""
    command = [Path(sys.executable).with_name("gradstore"), "report", store, "-o", page]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit("gradstore report failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, said


@contextmanager
def browser() -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(
            options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))
        )
        try:
            yield driver
        finally:
            driver.quit()


def opened(page: Path) -> float:
    """Seconds until the page answers to search and clicks."""
    with browser() as driver:
        started = time.monotonic()
        driver.get(page.resolve().as_uri())
        while not driver.execute_script(READY):
            time.sleep(0.02)
        return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        cpu, memory, said = made(options.store, page)
        seconds = [opened(page) for _ in range(options.repeats)]
        print(said)
        print(f"made    {cpu:.0f} CPU-s, {memory:.0f} MiB")
        print(f"page    {page.stat().st_size / 2**20:.1f} MiB")
        print(f"opened  {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")


if __name__ == "__main__":
    main()
