"""The demo's own routes: health, the viewer, the files of a result, and the socket of a live viewer.

They precede Gradio's routes on the same port. A malformed, unknown or expired token is a 404 with one sentence; the
response does not reveal which of the three it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl
from weakref import WeakValueDictionary

import websockets
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

import human3r
from demo import messages
from demo.storage import ResultStore, RunFolder

_MEDIA_TYPES = {
    ".glb": "model/gltf-binary",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".usdz": "model/vnd.usdz+zip",
}
_HEADERS = {"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store"}
_INLINE = (".mp4", ".viser", ".jpg", ".png", ".glb", ".usdz")
_RECORDING = ("playbackPath", f"../{human3r.PLAYER_SCENE_NAME}")
_VIEW_PARAMETER = re.compile(
    r"(moments|darkMode|fixedDpr|hideViserLogo|initialCamera(Position|LookAt|Up|Fov|Near|Far))=[\d.,+-]*"
)
"""Query parameters of the viewer that load nothing."""
_MAX_MESSAGE_BYTES = 100_000
"""Of a browser to its live viewer: it sends where its camera is."""
_WATCH_S = 0.3
"""Between looks at whether a visitor still waits."""
_MAX_EXPORTS = 2
"""Files written on demand at a time: an export needs the memory of a whole result."""


@dataclass(frozen=True)
class Site:
    """What the routes serve."""

    store: ResultStore
    live_url: Callable[[str], str | None]
    """Return the address of the socket of the live viewer with a token."""
    health: Callable[[], dict[str, object]]
    """Facts for ``/healthz``: no token, no user data."""
    make: Callable[[RunFolder, str, Callable[[int, int], object]], None]
    """Write a file that is created on demand into its folder; does nothing for unknown names. The last argument follows
    the work, and ends it by raising ``Cancelled``."""


def build_routes(site: Site) -> list[BaseRoute]:
    """Return the routes for ``launch(app_kwargs={"routes": ...})``."""
    exports = _Exports(site)

    async def health(_: Request) -> Response:
        return JSONResponse(site.health(), headers={"Cache-Control": "no-store"})

    async def play(request: Request) -> Response:
        if site.store.get(request.path_params["token"]) is None:
            return _gone()
        return _page(request) if _is_safe(request, _RECORDING) else RedirectResponse(f"?{'='.join(_RECORDING)}")

    async def live(request: Request) -> Response:
        if site.live_url(request.path_params["token"]) is None:
            return _gone()
        return _page(request) if _is_safe(request, None) else RedirectResponse("./")

    async def ahead(request: Request) -> Response:
        return _page(request) if _is_safe(request, None) else RedirectResponse("./")

    async def file(request: Request) -> Response:
        folder, name = site.store.get(request.path_params["token"]), request.path_params["name"]
        if folder is None:
            return _gone()
        if "progress" in request.query_params:
            work = exports.works.get((folder.token, name))
            return JSONResponse({"done": work.done, "total": work.total} if work is not None else {}, headers=_HEADERS)
        if folder.file(name) is None:
            await exports.write(request, folder, name)
        path = folder.file(name)
        if path is None:
            return _gone()
        kind = "inline" if path.suffix in _INLINE and "download" not in request.query_params else "attachment"
        media_type = _MEDIA_TYPES.get(path.suffix, "application/octet-stream")
        return FileResponse(path, media_type=media_type, filename=name, content_disposition_type=kind, headers=_HEADERS)

    async def socket(browser: WebSocket) -> None:
        url = site.live_url(browser.path_params["token"])
        if url is None:
            await browser.close(code=4404)
            return
        await _proxy(browser, url)

    return [
        Route("/healthz", health),
        Route("/viewer/ahead/", ahead),
        Route("/viewer/{token}/play/", play),
        Route("/viewer/{token}/live/", live),
        WebSocketRoute("/viewer/{token}/live", socket),
        Route("/viewer/{token}/{name}", file),
        Route("/viewer/{rest:path}", lambda _: _gone()),
    ]


@dataclass
class _Work:
    """A file that is being written for a visitor who waits."""

    done: int = 0
    total: int = 0
    is_stopped: bool = False

    def follow(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if self.is_stopped:
            raise human3r.Cancelled(done)


class _Exports:
    """Files written on demand: of each visitor's results one at a time, in the order of their requests.

    Requests wait here instead of occupying the server's few threads.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self.works: dict[tuple[str, str], _Work] = {}
        """What is being written, by token and name."""
        self._turns = asyncio.Semaphore(_MAX_EXPORTS)
        self._own_turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def write(self, request: Request, folder: RunFolder, name: str) -> None:
        """Write a file unless the visitor goes away."""
        work = _Work()
        writing = asyncio.ensure_future(self._write_in_turn(folder, name, work))
        while not (await asyncio.wait([writing], timeout=_WATCH_S))[0]:
            work.is_stopped = await request.is_disconnected()
        with contextlib.suppress(human3r.Cancelled):
            await writing

    async def _write_in_turn(self, folder: RunFolder, name: str, work: _Work) -> None:
        own_turn = self._own_turns.setdefault(folder.visitor or folder.token, asyncio.Lock())
        async with own_turn, self._turns:
            if work.is_stopped:
                return
            self.works[folder.token, name] = work
            try:
                await run_in_threadpool(self._site.make, folder, name, work.follow)
            finally:
                del self.works[folder.token, name]


def _is_safe(request: Request, recording: tuple[str, str] | None) -> bool:
    """Return whether the query makes the client load only what this server provides.

    Recordings and the messages of a viewer's socket are code. viser's client would take either from any address in its
    query and run it as part of this page.
    """
    parameters = parse_qsl(request.url.query, keep_blank_values=True)
    sources = [item for item in parameters if not _VIEW_PARAMETER.fullmatch("=".join(item))]
    return sources == ([] if recording is None else [recording])


@lru_cache(maxsize=1)
def _player() -> tuple[bytes, bytes]:
    """Return the player page as HTML: (uncompressed, gzipped)."""
    page = human3r.player_page().encode()
    return page, gzip.compress(page, 6)


def _page(request: Request) -> Response:
    page, gzipped = _player()
    if "gzip" in request.headers.get("accept-encoding", ""):
        return HTMLResponse(gzipped, headers={**_HEADERS, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
    return HTMLResponse(page, headers=_HEADERS)


def _gone() -> Response:
    return HTMLResponse(messages.EXPIRED_PAGE, status_code=404, headers=_HEADERS)


async def _proxy(browser: WebSocket, url: str) -> None:
    """Connect the browser's socket with the loopback viewer's until one of them closes."""
    protocols = [websockets.Subprotocol(name) for name in browser.scope.get("subprotocols", [])]
    try:
        # Frames hold whole meshes, so no size limit; the peer is this process, so no compression or pings.
        upstream = await websockets.connect(
            url,
            subprotocols=protocols or None,
            compression=None,
            max_size=None,
            ping_interval=None,
            proxy=None,
        )
    except (OSError, websockets.WebSocketException):
        await browser.close(code=4404)
        return
    async with upstream:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the browser may disconnect at any time
            await _relay(browser, upstream)


async def _relay(browser: WebSocket, upstream: websockets.ClientConnection) -> None:
    await browser.accept(subprotocol=upstream.subprotocol)
    tasks = [asyncio.create_task(_to_browser(browser, upstream)), asyncio.create_task(_to_viewer(browser, upstream))]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await browser.close()


async def _to_browser(browser: WebSocket, upstream: websockets.ClientConnection) -> None:
    async for message in upstream:
        if isinstance(message, bytes):
            await browser.send_bytes(message)
        else:
            await browser.send_text(message)


async def _to_viewer(browser: WebSocket, upstream: websockets.ClientConnection) -> None:
    with contextlib.suppress(WebSocketDisconnect, websockets.ConnectionClosed):
        while True:
            message = await browser.receive()
            if message["type"] == "websocket.disconnect":
                return
            payload = message.get("bytes")
            payload = payload if payload is not None else message.get("text") or ""
            if len(payload) > _MAX_MESSAGE_BYTES:
                return
            await upstream.send(payload)
