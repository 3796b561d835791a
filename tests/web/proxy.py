"""A reverse proxy as in front of many demos: it ends TLS, and shows a server under a sub-path.

One request per connection, so that only the head of a request has to be understood; sockets and streams pass as bytes.
The key is made by ``openssl`` when the test runs.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

_HEAD_END = b"\r\n\r\n"
_CHUNK = 65536


@dataclass
class Passed:
    """What went through."""

    paths: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    """Asked for beside the sub-path: an address that is not relative."""
    socket_bytes: int = 0
    """From the server to the browser over upgraded connections."""


class Proxy:
    """Serves ``https://127.0.0.1:port/prefix/`` from ``http://127.0.0.1:upstream/`` while its ``with`` block lasts.

    Args:
        upstream_port: Where the server listens.
        prefix: The sub-path.
        folder: For the certificate; without one there is no TLS.
    """

    def __init__(self, upstream_port: int, prefix: str, folder: Path | None) -> None:
        self._upstream_port, self._prefix = upstream_port, prefix
        self._scheme = "http" if folder is None else "https"
        self.passed = Passed()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tls-proxy", daemon=True)
        self._tls = None if folder is None else ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if folder is not None:
            self._tls.load_cert_chain(*_make_certificate(folder))

    def __enter__(self) -> Proxy:
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(60)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    @property
    def url(self) -> str:
        """The page's address."""
        return f"{self._scheme}://127.0.0.1:{self.port}{self._prefix}/"

    async def _close(self) -> None:
        self._server.close()
        open_ones = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._forward(reader, writer)
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # either side may leave at any moment
        finally:
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *headers = (await reader.readuntil(_HEAD_END)).decode("latin-1").rstrip().split("\r\n")
        method, path, version = request.split(" ")
        self.passed.paths.append(path)
        if not path.startswith(f"{self._prefix}/"):
            if path != "/favicon.ico":  # which browsers look for on their own
                self.passed.outside.append(path)
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return
        is_socket = any(header.lower().startswith("upgrade: websocket") for header in headers)
        if not is_socket:
            headers = [header for header in headers if not header.lower().startswith("connection:")]
            headers.append("Connection: close")
        headers += [f"X-Forwarded-Proto: {self._scheme}", f"X-Forwarded-Host: 127.0.0.1:{self.port}"]
        head = "\r\n".join([f"{method} {path[len(self._prefix) :]} {version}", *headers]).encode("latin-1") + _HEAD_END
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        up_writer.write(head)
        ways = [
            asyncio.create_task(self._copy(reader, up_writer, is_counted=False)),
            asyncio.create_task(self._copy(up_reader, writer, is_counted=is_socket)),
        ]
        try:  # whoever leaves first ends it: a server has to notice that a tab was closed
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            up_writer.close()

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_counted: bool) -> None:
        while piece := await source.read(_CHUNK):
            target.write(piece)
            await target.drain()
            if is_counted:
                self.passed.socket_bytes += len(piece)


def _make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key
