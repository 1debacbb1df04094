"""As much of Google Cloud Storage's XML interface as obstore asks for, over one bucket in memory.

There is no emulator of it that could be installed here, so obstore's own client meets this server: it answers what that
client was seen to send, as Google's pages say that the service does. Anything else it refuses with 501 and remembers.
It is also the service that gives a machine of Google its credentials.
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import Message
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time  # bound here: a test may move the clock of the client
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.serving import Serving

TOKEN, READER = "ya29.tokenofthetests", "ya29.readerofthetests"
"""A reader may only read."""
BUCKET = "tests"
_MACHINE = "/computeMetadata/v1/instance/service-accounts/default/token"
_CREDENTIALS = b'{"access_token": "%s", "expires_in": 3599, "token_type": "Bearer"}' % TOKEN.encode()
_SMALLEST_PART = 5 << 20


class Stored(NamedTuple):
    """An object; objects of equal bytes have one ETag, and never one generation."""

    data: bytes
    generation: int
    modified: float

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.data).hexdigest()}"'  # noqa: S324


class Answer(NamedTuple):
    body: bytes = b""
    headers: Mapping[str, str] = {}
    status: int = 200


class RefusedError(Exception):
    def __init__(self, status: int, code: str, detail: str = "") -> None:
        self.answer = Answer(
            f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>No.</Message>"
            f"<Details>{escape(detail)}</Details></Error>".encode(),
            {"Content-Type": "application/xml; charset=UTF-8"},
            status,
        )


class Gcs(Serving):
    """The server; a context manager.

    Attributes
    ----------
    objects : dict from str to Stored
        In the bucket.
    uploads : dict from str to dict from int to bytes
        Parts of what is not complete yet.
    asked, unknown : list of str
        All requests, and those that were not understood.
    page : int
        So many names are listed at once.
    checks : bool
        Whether it wants to know who asks; an emulator does not.
    ahead : float
        Seconds between its clock and this machine's.
    pace : float
        Seconds that must pass between two writes of one name; one second at Google.
    tokens : list of Answer
        What the machine is told first when it asks for credentials.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Stored] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.asked: list[str] = []
        self.unknown: list[str] = []
        self.page, self.checks, self.ahead, self.pace = 5, True, 0.0, 0.0
        self.tokens: list[Answer] = []
        self.lock = threading.Lock()
        self._generation = 1_700_000_000_000_000
        self._server = _Server(("127.0.0.1", 0), type("Bound", (_Handler,), {"gcs": self}))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def environment(self) -> dict[str, str]:
        """What lets obstore find it."""
        return {"GOOGLE_BASE_URL": self.endpoint, "GOOGLE_BEARER_TOKEN": TOKEN}

    def answer(self, method: str, url: str, headers: Message, body: bytes) -> Answer:
        parts = urlsplit(url)
        query = {name: found[0] for name, found in parse_qs(parts.query, keep_blank_values=True).items()}
        bucket, _, name = map(unquote, parts.path[1:].partition("/"))
        self.asked.append(" ".join([method, unquote(parts.path), *sorted(query)]))
        if parts.path == _MACHINE and headers.get("metadata-flavor") == "Google":
            return self.tokens.pop(0) if self.tokens else Answer(_CREDENTIALS)
        self._admit(headers.get("authorization"), method)
        if bucket != BUCKET:
            raise RefusedError(404, "NoSuchBucket")
        match method, bool(name), sorted(query):
            case "GET", False, [*_, "list-type"] | [*_, "list-type", "prefix"]:
                return self._list(query)
            case "GET" | "HEAD", True, [] if "range" not in headers:
                return self._get(name)
            case "PUT", True, []:
                source = headers.get("x-goog-copy-source")
                return self._write(name, self._source(source) if source else body, headers)
            case "DELETE", True, []:
                return self._delete(name)
            case "POST", True, ["uploads"]:
                upload = f"upload-{len(self.asked)}"
                self.uploads[upload] = {}
                return _xml("InitiateMultipartUploadResult", _tag("UploadId", upload))
            case "PUT", True, ["partNumber", "uploadId"]:
                self._parts(query)[int(query["partNumber"])] = body
                return Answer(headers={"ETag": Stored(body, 0, 0).etag})
            case "POST", True, ["uploadId"]:
                return self._complete(name, query, headers, body)
            case "DELETE", True, ["uploadId"]:
                self._parts(query).clear()
                del self.uploads[query["uploadId"]]
                return Answer(status=204)
        self.unknown.append(f"{method} {url} {dict(headers)}")
        raise RefusedError(501, "NotImplemented")

    def _admit(self, told: str | None, method: str) -> None:
        if told == f"Bearer {TOKEN}" or not self.checks:
            return
        if told == f"Bearer {READER}" or told is None:
            if told is None or method not in ("GET", "HEAD"):
                raise RefusedError(403, "AccessDenied")
        else:
            raise RefusedError(401, "AuthenticationRequired", told)

    def _get(self, name: str) -> Answer:
        found = self.objects.get(name)
        if found is None:
            raise RefusedError(404, "NoSuchKey")
        return Answer(
            found.data, {**_version(found), "Last-Modified": formatdate(found.modified, usegmt=True)}
        )

    def _write(self, name: str, data: bytes, headers: Message) -> Answer:
        found, now = self.objects.get(name), time() + self.ahead
        if found is not None and now - found.modified < self.pace:
            raise RefusedError(429, "SlowDown")
        wanted = headers.get("x-goog-if-generation-match")
        if wanted is not None and int(wanted) != (found.generation if found else 0):
            raise RefusedError(412, "PreconditionFailed")
        self._generation += 1
        self.objects[name] = made = Stored(data, self._generation, now)
        return Answer(headers=_version(made))

    def _source(self, told: str) -> bytes:
        bucket, _, name = unquote(told).partition("/")
        if bucket != BUCKET or name not in self.objects:
            raise RefusedError(404, "NoSuchKey")
        return self.objects[name].data

    def _delete(self, name: str) -> Answer:
        if self.objects.pop(name, None) is None:
            raise RefusedError(404, "NoSuchKey")
        return Answer(status=204)

    def _parts(self, query: Mapping[str, str]) -> dict[int, bytes]:
        if query["uploadId"] not in self.uploads:
            raise RefusedError(404, "NoSuchUpload")
        return self.uploads[query["uploadId"]]

    def _complete(self, name: str, query: Mapping[str, str], headers: Message, body: bytes) -> Answer:
        parts = self._parts(query)
        told = re.findall(r"<ETag>(.*?)</ETag><PartNumber>(\d+)</PartNumber>", body.decode())
        if told != [(Stored(data, 0, 0).etag, str(number)) for number, data in sorted(parts.items())]:
            raise RefusedError(400, "InvalidPart")
        pieces = [data for _, data in sorted(parts.items())]
        if any(len(each) < _SMALLEST_PART for each in pieces[:-1]):
            raise RefusedError(400, "EntityTooSmall")
        made = self._write(name, b"".join(pieces), headers)
        del self.uploads[query["uploadId"]]
        return made._replace(
            body=_xml("CompleteMultipartUploadResult", _tag("ETag", made.headers["ETag"])).body
        )

    def _list(self, query: Mapping[str, str]) -> Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = base64.b64decode(query.get("continuation-token", "")).decode()
        found: dict[str, Stored | None] = {}
        for key in sorted(self.objects):
            if key.startswith(prefix):
                first, cut, _ = key.removeprefix(prefix).partition(delimiter) if delimiter else ("", "", "")
                found[prefix + first + cut if cut else key] = None if cut else self.objects[key]
        rest = [(name, stored) for name, stored in found.items() if name > after]
        told = [_listed(*each) for each in rest[: self.page]]
        if len(rest) > self.page:
            token = base64.b64encode(rest[self.page - 1][0].encode()).decode()
            told.append(_tag("NextContinuationToken", token))
        told.append(_tag("IsTruncated", str(len(rest) > self.page).lower()))
        return _xml("ListBucketResult", *told)


def _version(stored: Stored) -> dict[str, str]:
    return {"ETag": stored.etag, "x-goog-generation": str(stored.generation)}


def _tag(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"


def _listed(name: str, stored: Stored | None) -> str:
    if stored is None:
        return f"<CommonPrefixes>{_tag('Prefix', name)}</CommonPrefixes>"
    modified = datetime.fromtimestamp(stored.modified, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    told = {"Key": name, "LastModified": modified, "ETag": stored.etag, "Size": str(len(stored.data))}
    return f"<Contents>{''.join(_tag(*each) for each in told.items())}</Contents>"


def _xml(name: str, *told: str) -> Answer:
    return Answer(f"<{name}>{''.join(told)}</{name}>".encode(), {"Content-Type": "application/xml"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # obstore removes many objects at once


class _Handler(BaseHTTPRequestHandler):
    gcs: Gcs
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_: Any) -> None:
        pass

    def do(self) -> None:
        size = int(self.headers.get("content-length", 0))
        body = self.rfile.read(size)
        if len(body) < size:  # the client was killed: it has sent no object
            self.close_connection = True
            return
        try:
            with self.gcs.lock:
                told = self.gcs.answer(self.command, self.path, self.headers, body)
        except RefusedError as refusal:
            told = refusal.answer
        try:
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            if told.status != 204:
                self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(told.body)
        except OSError:  # the client has had enough
            self.close_connection = True

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = do  # noqa: N815
