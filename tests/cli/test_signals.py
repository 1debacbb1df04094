"""Ctrl-C and SIGTERM stop a command within seconds, whatever it does; a second signal kills."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

RUN = """
import os, signal, sys, time, warnings
import gradstore_cli.signals as signals
from gradstore_cli.commands import env
from gradstore_cli.main import main

def work(**_):
    print("ready", flush=True)
    {work}

env.command.callback = work
signals.GRACE = {grace}
sys.argv = ["gradstore", "env"]
main()
"""

CALM = "time.sleep(60)"
# Hashing lets other threads run but returns to Python only when it is done, minutes later.
DEEP = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
STUBBORN = "import threading; threading.Thread(target=time.sleep, args=(60,)).start(); time.sleep(60)"


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Tests in the background of a shell ignore Ctrl-C, and what they start would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def start(work: str, grace: float = 30.0, **options: object) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN.format(work=work, grace=grace)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)  # from the line to what is called after it
    return process


def end(process: subprocess.Popen[str], timeout: float = 20.0) -> tuple[int, str]:
    try:
        _, errors = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, errors.strip()


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [(signal.SIGINT, 130, "error: interrupted"), (signal.SIGTERM, 143, "error: stopped by SIGTERM")],
)
@pytest.mark.parametrize(
    "work", [CALM, DEEP, STUBBORN], ids=["calm", "deep in compiled code", "a thread stays"]
)
def test_a_signal_ends_a_command_in_time_with_its_code_and_one_line(
    work: str, number: int, code: int, line: str
) -> None:
    process = start(work, grace=30.0 if work == CALM else 0.5)
    process.send_signal(number)
    assert end(process) == (code, line)


@pytest.mark.parametrize("work", [DEEP, STUBBORN], ids=["deep in compiled code", "a thread stays"])
def test_a_second_signal_kills_at_once(work: str) -> None:
    process = start(work)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    code, _ = end(process, timeout=5)
    assert code in (143, -signal.SIGTERM)


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    work = "os.kill(os.getpid(), signal.SIGINT); print('alive', flush=True); time.sleep(60)"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = start(work)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    assert process.stdout.readline() == "alive\n"
    process.send_signal(signal.SIGTERM)
    assert end(process)[0] == 143


def test_a_forked_child_dies_of_its_own_signal_and_the_command_goes_on() -> None:
    work = """
    warnings.simplefilter("ignore")  # Python 3.12 and later warn of forks beside threads
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, b"!")
        time.sleep(60)
    os.read(reader, 1)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    time.sleep(1.5)
    os._exit(7)
    """
    process = start(work, grace=0.5)
    assert process.stdout is not None
    assert process.stdout.readline() == f"{-signal.SIGTERM}\n"
    assert end(process) == (7, "")


def test_a_command_in_a_program_leaves_its_handlers_alone(run) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert run("env").exit_code == 0
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
