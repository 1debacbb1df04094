"""A `gradstore` command that begins at once: a fork of one process that has imported everything.

Scripts call the command many times, and most of its time would go into importing torch and transformers. Here PATH
leads them to a small client, which hands its arguments, folder, environment, files and signals to such a fork.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["commands"]

CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(request)
    process = int.from_bytes(server.recv(8), "big")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(process, number))
    answer = server.recv(1)
sys.exit(answer[0] if answer else "gradstore was killed")
"""

SERVER = """
import gc, json, os, signal, socket, sys, traceback
import hnswlib, zarr, zarr.codecs, numcodecs.blosc, numcodecs.zstd, scipy.sparse
import accelerate, datasets, peft, safetensors.torch, torch, transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.llama import modeling_llama
from gradstore import extract, select, warmup
from gradstore_cli.main import main

def serve(client):
    head, files, *_ = socket.recv_fds(client, 8, 3)
    wanted, request = int.from_bytes(head, "big"), b""
    while len(request) < wanted:
        request += client.recv(wanted - len(request))
    arguments, folder, environment = json.loads(request)
    client.sendall(os.getpid().to_bytes(8, "big"))
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["gradstore", *arguments]
    code = 1
    try:
        code = main() or 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    client.sendall(bytes([code]))

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
gc.freeze()
print("ready", flush=True)
while True:
    client, _ = listener.accept()
    if os.fork() == 0:
        listener.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            serve(client)
        finally:
            os._exit(0)
    client.close()
"""


@contextlib.contextmanager
def commands(folder: Path) -> Iterator[Path]:
    """A folder for PATH with the command `gradstore`, which works as long as the block lasts."""
    from tests.s3 import die_with_parent

    address = str(folder / "socket")
    (folder / "gradstore").write_text(CLIENT.format(python=sys.executable, address=address))
    (folder / "gradstore").chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, address], stdout=subprocess.PIPE, preexec_fn=die_with_parent
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield folder
    finally:
        process.kill()
        process.communicate()
