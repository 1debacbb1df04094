"""An HTTP server before the S3 server that, some of the time, answers wrongly, late, half or not at all."""

from __future__ import annotations

import http.client
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.serving import Serving

FAULTS = ("500", "503", "hang", "cut", "lost")
"""``lost``: the request is carried out, and the answer says that it was not. ``flip`` damages a byte of a body."""
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length")


class Faulty(Serving):
    """The server; a context manager.

    Attributes
    ----------
    faults : tuple of str
        What may happen to a request.
    share : float
        Probability that it does.
    count : int
        Faults so far.
    methods : tuple of str, or None
        To which requests; None is all.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.faults: tuple[str, ...] = ()
        self.share = 0.5
        self.methods: tuple[str, ...] | None = None
        self.count = 0
        self.draw = random.Random(0)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"faulty": self}))
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def pick(self, method: str) -> str:
        """What happens to a request; empty if nothing bad."""
        with self._lock:
            if (
                not self.faults
                or (self.methods and method not in self.methods)
                or self.draw.random() >= self.share
            ):
                return ""
            self.count += 1
            return self.draw.choice(self.faults)


class _Handler(BaseHTTPRequestHandler):
    faulty: Faulty
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("content-length", 0)))
        fault = self.faulty.pick(self.command)
        if fault == "hang":
            time.sleep(0.5)
            self.close_connection = True
            return
        if fault in ("500", "503"):
            self._send(int(fault), [], _SLOW_DOWN)
            return
        status, headers, body = self._pass_on(sent)
        if fault == "lost":
            self._send(500, [], b"")
        elif fault == "cut":
            self._send(status, headers, body, body[: len(body) // 2])
            self.close_connection = True
        elif fault == "flip" and body and status == 200:
            place = self.faulty.draw.randrange(len(body))
            self._send(status, headers, body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :])
        else:
            self._send(status, headers, body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815

    def _pass_on(self, sent: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.faulty.upstream, timeout=10)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            upstream.request(self.command, self.path, sent, headers)
            response = upstream.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            upstream.close()

    def _send(
        self, status: int, headers: list[tuple[str, str]], body: bytes, part: bytes | None = None
    ) -> None:
        told = {name.lower(): value for name, value in headers}
        size = told.get("content-length", str(len(body))) if self.command == "HEAD" else str(len(body))
        try:
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", size)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body if part is None else part)
        except OSError:  # the client has had enough
            self.close_connection = True
