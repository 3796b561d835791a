"""Checks every request before Gradio handles it: host, origin, size and pace of what is sent, and their sums.

A page of another site can send requests to this server from a visitor's browser, and a host name of another site can
be made to point here. Both are refused with one sentence. Programs send no ``Origin`` and are not affected.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.connections import PATIENCE_S
from demo.jobs import Visitor
from demo.settings import Settings

_LOG = logging.getLogger(__name__)
_SAFE_METHODS = ("GET", "HEAD")
_MULTIPART_BYTES = 100_000
"""Upper bound of what surrounds the file in an upload."""
_MAX_MESSAGE_BYTES = 1_000_000
"""Of a request that is no upload: the page sends a few kilobytes."""
_MIN_BYTES_PER_S = 10_000
"""A body takes at most ``PATIENCE_S``, and as long as a slow telephone needs for it."""
_PROXY = "/proxy="
"""Gradio's route to pages of other servers, of which this page has none."""
_UNKNOWN = "192.0.0.8"
"""Address of all visitors whose proxy does not name theirs. Source: RFC 7600, dummy address."""
_MAX_OPEN = 200
"""Requests and sockets of one address at a time; a page holds about ten."""
_ONE_RANGE = re.compile(r"(bytes=([0-9]{1,15}-[0-9]{0,15}|-[0-9]{1,15}))?")
"""The part of a file that players ask for."""
_MAX_MESSAGES_PER_S = 200
"""Read from one socket; a camera and a viewer send 30 to 60."""


class Refusal(Exception):
    """A request is refused: ``args`` are the HTTP status and one sentence."""


@dataclass(eq=False)
class _Upload:
    """One upload."""

    started_s: float
    visitor: str | None
    size: int
    """Bytes: what was announced, then what came."""


class _Body:
    """What a request sends: no more than was announced or is allowed, and not endlessly slowly."""

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive, self._max_bytes = receive, max_bytes
        self._waited_s, self._is_over = 0.0, False
        self.num_bytes = 0
        """Received so far."""

    async def receive(self) -> Message:
        """Return the next message; ``Refusal`` where it takes too long or is too much."""
        if self._is_over:
            return await self._receive()
        started_s = time.monotonic()
        left_s = PATIENCE_S + self.num_bytes / _MIN_BYTES_PER_S - self._waited_s
        try:
            message = await asyncio.wait_for(self._receive(), max(left_s, 0.01))
        except asyncio.TimeoutError:
            raise Refusal(408, "The request came too slowly.") from None
        self._waited_s += time.monotonic() - started_s
        self.num_bytes += len(message.get("body", b""))
        self._is_over = not message.get("more_body", False)
        if self.num_bytes > self._max_bytes:
            raise Refusal(413, _too_large(self._max_bytes))
        return message


class _Paced:
    """What a socket sends: read no faster than a page sends it, so that a flood waits at its sender."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._since_s, self._count = time.monotonic(), 0

    async def receive(self) -> Message:
        """Return the next message."""
        now_s = time.monotonic()
        if now_s - self._since_s >= 1:
            self._since_s, self._count = now_s, 0
        self._count += 1
        if self._count > _MAX_MESSAGES_PER_S:
            await asyncio.sleep(self._since_s + 1 - now_s)
        return await self._receive()


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
        self._uploads: list[_Upload] = []
        self._open: Counter[str] = Counter()
        ancestors = " ".join(("'self'", *settings.allow_origins))
        self._policy = "" if "*" in settings.allow_origins else f"frame-ancestors {ancestors}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request or a socket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        is_answered = False

        async def send_with_policy(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            if message["type"] == "http.response.start" and self._policy:
                MutableHeaders(scope=message).setdefault("Content-Security-Policy", self._policy)
            if scope["type"] == "websocket":  # pinged by the web server
                await send(message)
                return
            try:
                await asyncio.wait_for(send(message), PATIENCE_S)
            except asyncio.TimeoutError:
                raise Refusal(408, "The answer is not read.") from None

        headers = Headers(scope=scope)
        key = Visitor("", (scope.get("client") or ("",))[0]).key
        if not key and "x-forwarded-for" in headers:
            # What passed a proxy is not this machine, whatever its header says, and has an address.
            key, scope["client"] = _UNKNOWN, (_UNKNOWN, 0)
        if not _ONE_RANGE.fullmatch(headers.get("range", "")):
            del MutableHeaders(scope=scope)["range"]  # the whole file answers it, too
        try:
            self._check(scope, headers)
            with self._counted(key), self._body(scope, headers, receive, key) as receive_body:
                await self._app(scope, receive_body, send_with_policy)
        except Exception as error:
            refusal = error if isinstance(error, Refusal) else _refusal_for(error, scope)
            if refusal is not error:
                _log_in_one_line(error, scope)
            if not is_answered:
                await _refuse(refusal, scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        if _PROXY in scope["path"]:
            raise Refusal(404, "Nothing is fetched from other sites here.")
        if not self._is_own_host(_name(host)):
            raise Refusal(421, f"This server does not answer as {_name(host)!r}; --allow-host would permit it.")
        if scope.get("method") in _SAFE_METHODS:  # a socket has none
            return
        own = {host}
        if scope.get("method") != "OPTIONS":
            # A proxy sets it. A page of another site can set it as well, once the question before was answered.
            own.add(headers.get("x-forwarded-host", host))
        origin = headers.get("origin")
        if origin is not None and _place(origin) not in own and not self._allows(origin):
            raise Refusal(403, "This request comes from a page of another site; --allow-origin would permit it.")

    @contextmanager
    def _counted(self, key: str | None) -> Iterator[None]:
        """Bound what one address has open at a time."""
        if key is None:
            yield
            return
        if self._open[key] >= _MAX_OPEN:
            raise Refusal(429, f"This address has {_MAX_OPEN} requests open; close some pages.")
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            self._open += Counter()  # drops entries that reach 0

    @contextmanager
    def _body(self, scope: Scope, headers: Headers, receive: Receive, key: str | None) -> Iterator[Receive]:
        """Bound what a request sends; of an upload that breaks off, only what came is counted."""
        if scope["type"] == "websocket":
            yield _Paced(receive).receive
        elif scope["method"] in _SAFE_METHODS:
            yield receive
        elif not _is_upload(scope):
            if int(_decimal(headers.get("content-length"))) > _MAX_MESSAGE_BYTES:
                raise Refusal(413, _too_large(_MAX_MESSAGE_BYTES))
            yield _Body(receive, _MAX_MESSAGE_BYTES).receive
        else:
            upload = self._announce(headers.get("content-length", ""), key)
            body = _Body(receive, upload.size)
            try:
                yield body.receive
            finally:
                upload.size = body.num_bytes

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

    def _announce(self, content_length: str, key: str | None) -> _Upload:
        limit = self._settings.max_upload_mb * 1_000_000
        if not content_length.isdecimal():
            raise Refusal(411, "The upload does not say how large it is.")
        size = int(_decimal(content_length))
        if size > limit + _MULTIPART_BYTES:
            raise Refusal(413, f"The file has {size / 1e6:.0f} MB; this page takes up to {limit / 1e6:.0f} MB.")
        upload = _Upload(self._clock(), key, size)
        with self._lock:
            oldest_s = upload.started_s - self._settings.file_ttl_s
            self._uploads = [other for other in self._uploads if other.started_s >= oldest_s]
            own = sum(other.size for other in self._uploads if other.visitor == key and key is not None)
            total = sum(other.size for other in self._uploads)
            if own + size > 3 * limit or total + size > self._settings.max_total_upload_mb * 1_000_000:
                raise Refusal(429, "Too much was uploaded here recently. Try again later.")
            self._uploads.append(upload)
        return upload


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    status, sentence = refusal.args
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4403})
    else:
        await JSONResponse({"detail": sentence}, status_code=status)(scope, receive, send)


def _is_upload(scope: Scope) -> bool:
    return scope.get("method") == "POST" and scope["path"].rstrip("/").endswith("/upload")


def _refusal_for(error: Exception, scope: Scope) -> Refusal:
    """Return the answer to a request on which the app fails: Gradio's routes raise on what they cannot read."""
    if _is_upload(scope) and not isinstance(error, OSError):
        return Refusal(400, "The upload cannot be read; send one file as a form's field named 'files'.")
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return Refusal(404, "There is no such file.")
    return Refusal(500, "The request cannot be answered.")


def _log_in_one_line(error: Exception, scope: Scope) -> None:
    """A request may cause many of these; the trace is for DEBUG."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    what = f"{type(error).__name__} ({str(error)[:100]!r}) at {place.filename}:{place.lineno}"
    _LOG.error("%s %.100r: %s", scope.get("method", "socket"), scope["path"], what)
    _LOG.debug("trace", exc_info=error)


def _name(host: str) -> str:
    """Return the host name or address in a ``Host`` header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _place(origin: str) -> str | None:
    """Return host and port of an origin; None for what is not one."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _decimal(content_length: str | None) -> str:
    """Return a length that ``int`` takes; one of many digits is too large whatever it says."""
    return content_length[:18] if content_length is not None and content_length.isdecimal() else "0"


def _too_large(max_bytes: int) -> str:
    return f"The request has more than {max_bytes / 1e6:.0f} MB."
