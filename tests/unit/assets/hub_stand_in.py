"""A small hub on this machine: one repository, one commit, one file, and the failures of the real one."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Hub:
    """What the hub holds and how it behaves."""

    repository: str
    file_name: str
    content: bytes
    commit: str
    stated_sha256: str = ""
    is_gated: bool = False
    cut_first_transfer_at: int | None = None
    """End the first transfer after so many bytes, as a dropped line does."""
    ranges: list[str | None] = field(default_factory=list)
    """``Range`` header of every transfer."""
    url: str = ""

    def __post_init__(self) -> None:
        self.stated_sha256 = self.stated_sha256 or hashlib.sha256(self.content).hexdigest()


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Run the hub on a free port of this machine."""

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: Hub

    def log_message(self, *arguments: object) -> None:
        """Stay silent."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        hub, path = self.state, self.path.split("?")[0]
        if hub.is_gated:
            self._send(403, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"}, with_body)
        elif not path.startswith((f"/api/models/{hub.repository}", f"/{hub.repository}/")):
            self._send(404, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "none"}, with_body)
        elif "/revision/" in path and not path.endswith(hub.commit):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "none"}, with_body)
        elif path.startswith("/api/"):
            self._send(200, json.dumps(self._listing()).encode(), {"Content-Type": "application/json"}, with_body)
        elif path == f"/{hub.repository}/resolve/{hub.commit}/{hub.file_name}":
            self._send_file(with_body)
        else:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Error-Message": "none"}, with_body)

    def _listing(self) -> dict[str, object]:
        hub = self.state
        size = len(hub.content)
        lfs = {"sha256": hub.stated_sha256, "size": size, "pointerSize": 130}
        file = {"rfilename": hub.file_name, "size": size, "blobId": "0" * 40, "lfs": lfs}
        return {"id": hub.repository, "modelId": hub.repository, "sha": hub.commit, "siblings": [file]}

    def _send_file(self, with_body: bool) -> None:
        hub = self.state
        wanted = self.headers.get("Range")
        first = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        body = hub.content[first:]
        headers = {
            "X-Repo-Commit": hub.commit,
            "ETag": f'"{hub.stated_sha256}"',
            "X-Linked-Etag": f'"{hub.stated_sha256}"',
            "X-Linked-Size": str(len(hub.content)),
            "Accept-Ranges": "bytes",
        }
        if wanted:
            headers["Content-Range"] = f"bytes {first}-{len(hub.content) - 1}/{len(hub.content)}"
        if with_body:
            hub.ranges.append(wanted)
            if hub.cut_first_transfer_at is not None and len(hub.ranges) == 1:
                self._send(200, body, headers, with_body, hub.cut_first_transfer_at)
                self.close_connection = True
                return
        self._send(206 if wanted else 200, body, headers, with_body)

    def _send(self, code: int, body: bytes, headers: dict[str, str], with_body: bool, limit: int | None = None) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body[:limit])
