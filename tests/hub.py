"""As much of the Hugging Face Hub's HTTP interface as its own client asks for, over one repository in memory.

It lets the real client speak: what it sends, in which order, and how it reads. Files with a zero byte go the way of
large files, as most chunks do on the Hub.
"""

from __future__ import annotations

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.serving import Serving

TOKEN = "hf_ofthetests"  # noqa: S105
REPOSITORY = "team/grads"
_API = f"/api/datasets/{REPOSITORY}"


class Hub(Serving):
    """The server; a context manager.

    Attributes
    ----------
    files : dict from str to bytes
        Of the repository; None until it is made.
    commits : list of list of str
        What each brought.
    asked : list of str
        Methods and paths of all requests.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] | None = None
        self.large: dict[str, bytes] = {}
        self.commits: list[list[str]] = []
        self.asked: list[str] = []
        self.private = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def commit(self) -> str:
        """The newest one."""
        return hashlib.sha1(str(len(self.commits)).encode()).hexdigest()  # noqa: S324


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), parse_qs(parts.query)
        self.hub.asked.append(f"{self.command} {path}")
        if self.headers.get("authorization") != f"Bearer {TOKEN}" and not path.startswith("/large/"):
            self._send(401, {"error": "Invalid username or password."})
        elif path == "/api/repos/create":
            told = json.loads(body)
            assert f"{told.get('organization')}/{told['name']}" == REPOSITORY
            self.hub.private = bool(told.get("private")) or told.get("visibility") == "private"
            self.hub.files = self.hub.files or {}
            self._send(200, {"url": f"{self.hub.endpoint}/datasets/{REPOSITORY}"})
        elif path == "/api/validate-yaml":
            self._send(200, {"errors": [], "warnings": []})
        elif self.hub.files is None:
            self._send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        elif path.startswith(f"{_API}/tree/"):
            self._send(200, self._tree(path.removeprefix(f"{_API}/tree/"), query))
        elif path.startswith(f"{_API}/paths-info/"):
            names = _form(body, self.headers.get("content-type", ""))
            self._send(200, [each for name in names for each in self._entries(name, itself=True)])
        elif path.startswith(f"{_API}/preupload/"):
            self._send(200, {"files": [_way(each) for each in json.loads(body)["files"]]})
        elif path.startswith(f"{_API}/commit/"):
            self._commit(body)
        elif path.endswith("/info/lfs/objects/batch"):
            self._send(
                200, {"transfer": "basic", "objects": [self._lfs(e) for e in json.loads(body)["objects"]]}
            )
        elif path.startswith("/large/"):
            assert hashlib.sha256(body).hexdigest() == path.removeprefix("/large/")
            self.hub.large[path.removeprefix("/large/")] = body
            self._send(200, {})
        elif path.startswith(f"/datasets/{REPOSITORY}/resolve/"):
            self._file(path.removeprefix(f"/datasets/{REPOSITORY}/resolve/").partition("/")[2])
        elif path == _API or path.startswith(f"{_API}/revision/"):
            about = {"id": REPOSITORY, "sha": self.hub.commit, "private": True, "siblings": [], "tags": []}
            self._send(200, about)
        else:
            self._send(404, {"error": f"{self.command} {path}"})

    do_GET = do_PUT = do_HEAD = do_POST = answer  # noqa: N815

    def _tree(self, rest: str, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        _, _, folder = rest.partition("/")
        deep = query.get("recursive", ["false"])[0].lower() in ("true", "1")
        return self._entries(folder.strip("/"), deep=deep)

    def _entries(self, folder: str, *, deep: bool = False, itself: bool = False) -> list[dict[str, Any]]:
        files = self.hub.files or {}
        prefix = f"{folder}/" if folder else ""
        if itself:
            inside = any(name.startswith(prefix) for name in files)
            return [_entry(folder, files[folder])] if folder in files else [_folder(folder)] if inside else []
        found: dict[str, dict[str, Any]] = {}
        for name, data in files.items():
            if name.startswith(prefix):
                steps = name.removeprefix(prefix).split("/")
                for depth in range(1, len(steps)):
                    if deep or depth == 1:
                        place = prefix + "/".join(steps[:depth])
                        found[place] = _folder(place)
                if deep or len(steps) == 1:
                    found[name] = _entry(name, data)
        return list(found.values())

    def _lfs(self, told: dict[str, Any]) -> dict[str, Any]:
        about = {"oid": told["oid"], "size": told["size"]}
        if told["oid"] not in self.hub.large:
            about["actions"] = {"upload": {"href": f"{self.hub.endpoint}/large/{told['oid']}", "header": {}}}
        return about

    def _commit(self, body: bytes) -> None:
        assert self.hub.files is not None
        names = []
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.hub.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.hub.files[value["path"]] = self.hub.large[value["oid"]]
            else:
                continue
            names.append(value["path"])
        self.hub.commits.append(names)
        url = f"{self.hub.endpoint}/datasets/{REPOSITORY}/commit/{self.hub.commit}"
        self._send(200, {"commitUrl": url, "commitOid": self.hub.commit, "success": True})

    def _file(self, name: str) -> None:
        data = (self.hub.files or {}).get(name)
        if data is None:
            self._send(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        told = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": self.hub.commit}
        asked = self.headers.get("range", "")
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last or len(data)) + 1, len(data))
            if start >= len(data):
                self._bytes(416, b"", told)
                return
            told["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
            data = data[start:stop]
        self._bytes(206 if asked else 200, data, told)

    def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._bytes(
            status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})}
        )

    def _bytes(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _entry(name: str, data: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # noqa: S324
    found: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": blob}
    if b"\0" in data:
        found["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return found


def _folder(name: str) -> dict[str, Any]:
    return {"type": "directory", "path": name, "size": 0, "oid": hashlib.sha1(name.encode()).hexdigest()}  # noqa: S324


def _form(body: bytes, kind: str) -> list[str]:
    if "json" in kind:
        found = json.loads(body)["paths"]
        return found if isinstance(found, list) else [found]
    return parse_qs(body.decode()).get("paths", [])


def _way(told: dict[str, Any]) -> dict[str, Any]:
    binary = b"\0" in base64.b64decode(told["sample"])
    mode = "lfs" if binary else "regular"
    return {"path": told["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}
