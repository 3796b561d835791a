"""A saved result as a page on this machine, for the command ``view``: the player of the web page."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from human3r.errors import InputError

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction


class PlayerPage:
    """Serves one page on loopback; use it as a context manager.

    Args:
        reconstruction: What to show.
        body: The body model that the parameters are for.
        port: Loopback port; 0 is any free one.
        moments: ``moments.bin`` of the same result, or None.

    Raises:
        InputError: The port is taken.
    """

    def __init__(
        self, reconstruction: Reconstruction, body: SmplxBody, port: int = 0, moments: Path | None = None
    ) -> None:
        from human3r.exporting.viewer.recording import html_page, player_scene

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), BaseHTTPRequestHandler, bind_and_activate=True)
        except OSError as error:
            raise InputError(f"Port {port} cannot be used ({error.strerror}).", "Choose another one.") from error
        points = moments.read_bytes() if moments is not None else None
        self._server.RequestHandlerClass = _handler(
            html_page(player_scene(reconstruction, body), moments=points).encode()
        )
        self._thread = threading.Thread(target=self._server.serve_forever, name="human3r-view", daemon=True)

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> PlayerPage:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(page: bytes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_page = self.path.split("?")[0] == "/"
            self.send_response(200 if is_page else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page) if is_page else 0))
            self.end_headers()
            if is_page:
                self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: the terminal belongs to the command."""

    return Handler
