"""The player as a page on this machine: a saved result for the command ``view``, a stream for ``live``."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from human3r.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from human3r.bodies import SmplxBody
    from human3r.exporting.viewer.live import LiveScene
    from human3r.records import FramePrediction
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import LazySurface


MAX_LIVE_FRAMES = 3000
"""Frames of one live scene, which server and browser keep: 5 minutes at 10 per second."""
_LEAVING_FRAMES = 100
"""Frames of a live scene by which open pages have left the one before."""


class LivePage:
    """Serves the player of a growing scene on loopback; use it as a context manager.

    A stream may last for hours: when a scene has all the frames that it can hold, or the stream shows another place,
    the next one begins, and open pages go on there.

    Args:
        port: Loopback port; 0 is any free one.
        max_frames: Frames of one scene.

    Raises:
        InputError: The port is taken.
    """

    def __init__(self, body: SmplxBody, port: int = 0, max_frames: int = MAX_LIVE_FRAMES) -> None:
        from human3r.exporting.viewer.live import LiveScene
        from human3r.exporting.viewer.player import player_page

        self._body, self._max_frames = body, max_frames
        self._page = _Served(player_page().encode(), port)
        self._scene = LiveScene(body)
        self._former: LiveScene | None = None
        self._shot = 0

    def add(self, prediction: FramePrediction, *, with_scene: bool = True, with_surface: bool = True) -> None:
        """Show one more frame; see ``LiveScene.add``."""
        from human3r.exporting.viewer.live import LiveScene

        is_elsewhere, self._shot = prediction.shot != self._shot, prediction.shot
        if self._scene.num_frames and (is_elsewhere or self._scene.num_frames >= self._max_frames):
            self._close_former()
            self._former, self._scene = self._scene, LiveScene(self._body)
            self._former.lead_to(self.url)
        if self._scene.num_frames == _LEAVING_FRAMES:
            self._close_former()
        self._scene.add(prediction, with_scene=with_scene, with_surface=with_surface)

    def _close_former(self) -> None:
        if self._former is not None:
            self._former.close()
            self._former = None

    def add_source(self, image: np.ndarray) -> None:
        """Take the source frame of the frame that was added last; see ``LiveScene.add_source``."""
        self._scene.add_source(image)

    @property
    def url(self) -> str:
        """Address of the page; viser's client connects to the socket that its query names."""
        return f"http://127.0.0.1:{self._page.port}/?websocket={self._scene.url}"

    def __enter__(self) -> LivePage:
        self._page.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._page.stop()
        self._scene.close()
        self._close_former()


class PlayerPage:
    """Serves one page on loopback; use it as a context manager.

    Args:
        body: The body model that the parameters are for.
        port: Loopback port; 0 is any free one.
        moments: ``moments.bin`` of the same result, or None.
        surface: The scene's surface, with the clip's colors of people; without it the scene is its points.

    Raises:
        InputError: The port is taken.
    """

    def __init__(
        self,
        reconstruction: Reconstruction,
        body: SmplxBody,
        port: int = 0,
        moments: Path | None = None,
        surface: LazySurface | None = None,
    ) -> None:
        from human3r.exporting.viewer.finished import build_finished
        from human3r.exporting.viewer.recording import html_page, player_scene

        points = moments.read_bytes() if moments is not None else None
        finished = build_finished(reconstruction, body, surface.sheets if surface is not None else ())
        scene = player_scene(finished, surface.people_colors if surface is not None else None)
        self._page = _Served(html_page(scene, moments=points).encode(), port)

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self._page.port}"

    def __enter__(self) -> PlayerPage:
        self._page.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._page.stop()


class _Served:
    """One page on a loopback port."""

    def __init__(self, page: bytes, port: int) -> None:
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(page), bind_and_activate=True)
        except OSError as error:
            raise InputError(f"Port {port} cannot be used ({error.strerror}).", "Choose another one.") from error
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="human3r-view", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
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
            """Do not log to the terminal of the command."""

    return Handler
