"""Checks every request before Gradio handles it: host, origin, and the size and sum of uploads.

A page of another site can send requests to this server from a visitor's browser, and a host name of another site can
be made to point here. Both are refused with one sentence. Programs send no ``Origin`` and are not affected.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.jobs import Visitor
from demo.settings import Settings

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_MULTIPART_BYTES = 100_000
"""Upper bound of what surrounds the file in an upload."""


class Refusal(Exception):
    """A request is refused: ``args`` are the HTTP status and one sentence."""


class Guard:
    """ASGI middleware around the whole app.

    Args:
        app: The app.
        settings: Hosts, origins and limits.
        clock: Seconds, monotonic; tests pass their own.
    """

    def __init__(self, app: ASGIApp, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._uploads: deque[tuple[float, str | None, int]] = deque()
        ancestors = " ".join(("'self'", *settings.allow_origins))
        self._policy = "" if "*" in settings.allow_origins else f"frame-ancestors {ancestors}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request or a socket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope, Headers(scope=scope))
        except Refusal as refusal:
            status, sentence = refusal.args
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 4403})
            else:
                await JSONResponse({"detail": sentence}, status_code=status)(scope, receive, send)
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start" and self._policy:
                MutableHeaders(scope=message).setdefault("Content-Security-Policy", self._policy)
            await send(message)

        await self._app(scope, receive, send_with_policy)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        if not self._is_own_host(_name(host)):
            raise Refusal(421, f"This server does not answer as {_name(host)!r}; --allow-host would permit it.")
        method = scope.get("method")  # a socket has none
        if method in _SAFE_METHODS:
            return
        own = {host, headers.get("x-forwarded-host", host)}
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc not in own and not self._allows(origin):
            raise Refusal(403, "This request comes from a page of another site; --allow-origin would permit it.")
        if method == "POST" and scope["path"].rstrip("/").endswith("/upload"):
            self._count_upload(headers.get("content-length", ""), (scope.get("client") or ("",))[0])

    def _allows(self, origin: str) -> bool:
        return bool({"*", origin} & set(self._settings.allow_origins))

    def _is_own_host(self, name: str) -> bool:
        allowed = self._settings.allow_hosts
        if name in ("localhost", self._settings.host, *allowed) or "*" in allowed:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False  # a name, which others can point to this machine
        return True

    def _count_upload(self, content_length: str, address: str) -> None:
        limit = self._settings.max_upload_mb * 1_000_000
        if not content_length.isdecimal():
            raise Refusal(411, "The upload does not say how large it is.")
        size = int(content_length)
        if size > limit + _MULTIPART_BYTES:
            raise Refusal(413, f"The file has {size / 1e6:.0f} MB; this page takes up to {limit / 1e6:.0f} MB.")
        key, now_s = Visitor("", address).key, self._clock()
        with self._lock:
            while self._uploads and now_s - self._uploads[0][0] > self._settings.file_ttl_s:
                self._uploads.popleft()
            own = sum(size for _, other, size in self._uploads if other == key and key is not None)
            total = sum(size for _, _, size in self._uploads)
            if own + size > 3 * limit or total + size > self._settings.max_total_upload_mb * 1_000_000:
                raise Refusal(429, "Too much was uploaded here recently. Try again later.")
            self._uploads.append((now_s, key, size))


def _name(host: str) -> str:
    """Return the host name or address in a ``Host`` header, without the port."""
    return urlsplit(f"//{host}").hostname or ""
