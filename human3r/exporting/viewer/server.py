"""A viser server protected by a token, since loopback is open to every program and page on the machine."""

from __future__ import annotations

import contextlib
import hmac
import io
import logging
import secrets
import threading
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import viser
    from websockets import Request, Response, ServerConnection

_opening = threading.Lock()


def open_server(port: int = 0, token: str | None = None) -> viser.ViserServer:
    """Start a viser server on a loopback port (0 is any free one); end it with ``close_server``.

    Args:
        token: Path of the socket that clients must request; None admits no client.
    """
    import viser
    import websockets.asyncio.server as sockets

    serve, gate = sockets.serve, _Gate(token or secrets.token_urlsafe(16))

    def serve_behind_gate(*arguments: Any, **options: Any) -> Any:
        gate.is_used = True
        return serve(*arguments, **(options | {"process_request": gate, "logger": _quiet_logger()}))

    # viser takes no such check, and announces itself on standard output, where a command's JSON belongs.
    with _opening, contextlib.redirect_stdout(io.StringIO()):
        sockets.serve = serve_behind_gate
        try:
            server = viser.ViserServer(host="127.0.0.1", port=port, verbose=False)
        finally:
            sockets.serve = serve
    if not gate.is_used:
        close_server(server)
        raise RuntimeError(f"viser {viser.__version__} opens its socket in another way; 1.1.1 is the tested version.")
    return server


def close_server(server: viser.ViserServer) -> None:
    """Stop a server and free its port and thread."""
    with contextlib.redirect_stdout(io.StringIO()):
        server.stop()


def _quiet_logger() -> logging.Logger:
    """Return a logger that leaves out the traces of errors, which every client can cause."""

    def drop_trace(record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return True

    logger = logging.getLogger(f"{__name__}.socket")
    if not logger.filters:
        logger.addFilter(drop_trace)
    return logger


class _Gate:
    """Answers 404 to everything but a socket at the token's path opened by a page of this machine."""

    def __init__(self, token: str) -> None:
        self._path = f"/{token}".encode()
        self.is_used = False

    def __call__(self, connection: ServerConnection, request: Request) -> Response | None:
        is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
        is_known = hmac.compare_digest(request.path.partition("?")[0].encode(), self._path)
        if is_socket and is_known and all(map(_is_local, request.headers.get_all("Origin"))):
            return None
        return connection.respond(404, "")


def _is_local(origin: str) -> bool:
    """Return whether the request comes from a page of this machine."""
    try:
        name = urlsplit(origin).hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
