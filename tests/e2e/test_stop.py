"""Ctrl-C and SIGTERM during a real extraction: it stops in time, keeps what is finished, and says how to go on."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from gradstore_cli.main import cli

from tests.files import contents

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
# The command, with a disk that takes a while: a signal comes in time however busy the machine is.
SLOW = """
import sys, time
from gradstore.store import Claim
from gradstore_cli.main import main

def write(claim, block, own=Claim.write):
    time.sleep(0.3)
    own(claim, block)

Claim.write = write
sys.argv[0] = "gradstore"
main()
"""


@pytest.fixture(scope="module")
def many_rows(token_rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows over and over under new ids, so that a run takes a while."""
    rows = [json.loads(line) for line in token_rows.read_text().splitlines()]
    path = tmp_path_factory.mktemp("many") / "rows.jsonl"
    with path.open("w") as file:
        for again in range(4):
            file.writelines(json.dumps(row | {"id": f"{again}-{row['id']}"}) + "\n" for row in rows)
    return path


def line(store: Path, run: Path, rows: Path) -> list[str]:
    """Arguments of the command."""
    options = {"--checkpoint": run / "run" / "checkpoint-8", "--data": rows, "--name": "pool"}
    sizes = {"--dim": 512, "--chunk-rows": 10, "--device": "cpu"}
    words = [str(word) for pair in (options | sizes).items() for word in pair]
    return ["extract", str(store), *words]


@pytest.fixture(scope="module")
def whole(tiny_run: Path, many_rows: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    store = tmp_path_factory.mktemp("whole") / "s.zarr"
    done = CliRunner().invoke(cli, line(store, tiny_run, many_rows))
    assert done.exit_code == 0, done.output
    return contents(store)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long)]
)
def test_a_signal_stops_in_time_and_the_printed_line_finishes_the_identical_store(
    number: signal.Signals,
    code: int,
    whole: dict[str, bytes],
    tiny_run: Path,
    many_rows: Path,
    tmp_path: Path,
) -> None:
    store = tmp_path / "a store.zarr"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *line(store, tiny_run, many_rows)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and len(list(store.rglob("adam/parts/*.npz"))) < 3:
        time.sleep(0.01)
    process.send_signal(number)
    sent = time.monotonic()
    shown, errors = process.communicate(timeout=60)
    assert time.monotonic() - sent < 8
    assert process.returncode == code, errors
    assert shown == ""
    finished = {path: path.read_bytes() for path in store.rglob("adam/parts/*.npz")}
    assert 3 <= len(finished) < 24

    again = errors.splitlines()[-1].removeprefix("To continue: ")
    program, *arguments = shlex.split(again)
    assert program == "gradstore"
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert f"{len(finished)} of 24 chunks done before" in done.stderr
    assert contents(store) == whole
