"""The demo's own addresses: health, the viewer, the files of a result, and the pipe to a live viewer.

They come before Gradio's routes on the same port. A wrong, unknown or expired token is a 404 with one sentence, and
answers never tell which of the three it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

import websockets
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from demo.page import messages
from demo.storage import Shelf, Store
from demo.viewer import LiveScenes, client_page

_LOG = logging.getLogger(__name__)
_MEDIA_TYPES = {
    ".glb": "model/gltf-binary",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".jpg": "image/jpeg",
}
_HEADERS = {"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store"}
_INLINE = (".mp4", ".viser", ".jpg", ".png")
_RECORDING = ("playbackPath", "../scene.viser")
_HARMLESS = re.compile(
    r"(moments|darkMode|fixedDpr|hideViserLogo|initialCamera(Position|LookAt|Up|Fov|Near|Far))=[\d.,+-]*"
)
"""Wishes that the viewer may find in its address."""


@dataclass(frozen=True)
class Site:
    """What the routes serve."""

    store: Store
    live: LiveScenes
    health: Callable[[], dict[str, object]]
    """Facts for ``/healthz``: no token, no user data."""
    make: Callable[[Shelf, str], None]
    """Write a download that is made on demand into its shelf; does nothing for unknown names."""


def build_routes(site: Site) -> list[BaseRoute]:
    """Return the routes for ``launch(app_kwargs={"routes": ...})``."""
    making = asyncio.Lock()  # whoever waits for a file waits here, not in one of the server's few threads

    async def health(_: Request) -> Response:
        return JSONResponse(site.health(), headers={"Cache-Control": "no-store"})

    async def play(request: Request) -> Response:
        if site.store.get(request.path_params["token"]) is None:
            return _gone()
        return _page(request) if _is_safe(request, _RECORDING) else RedirectResponse(f"?{'='.join(_RECORDING)}")

    async def live(request: Request) -> Response:
        if site.live.port(request.path_params["token"]) is None:
            return _gone()
        return _page(request) if _is_safe(request, None) else RedirectResponse("./")

    async def file(request: Request) -> Response:
        shelf, name = site.store.get(request.path_params["token"]), request.path_params["name"]
        if shelf is None:
            return _gone()
        if shelf.file(name) is None:
            async with making:
                await run_in_threadpool(site.make, shelf, name)
        path = shelf.file(name)
        if path is None:
            return _gone()
        kind = "inline" if path.suffix in _INLINE and "download" not in request.query_params else "attachment"
        media_type = _MEDIA_TYPES.get(path.suffix, "application/octet-stream")
        return FileResponse(path, media_type=media_type, filename=name, content_disposition_type=kind, headers=_HEADERS)

    async def socket(browser: WebSocket) -> None:
        port = site.live.port(browser.path_params["token"])
        if port is None:
            await browser.close(code=4404)
            return
        await _pipe(browser, port)

    return [
        Route("/healthz", health),
        Route("/viewer/{token}/play/", play),
        Route("/viewer/{token}/live/", live),
        WebSocketRoute("/viewer/{token}/live", socket),
        Route("/viewer/{token}/{name}", file),
        Route("/viewer/{rest:path}", lambda _: _gone()),
    ]


def _is_safe(request: Request, recording: tuple[str, str] | None) -> bool:
    """Say whether the address makes the client load nothing but what this server has made.

    A recording is code, and so is what a viewer's socket says. viser's client would take either from any address in
    its query, and run it as a part of this page.
    """
    wishes = parse_qsl(request.url.query, keep_blank_values=True)
    sources = [wish for wish in wishes if not _HARMLESS.fullmatch("=".join(wish))]
    return sources == ([] if recording is None else [recording])


def _page(request: Request) -> Response:
    plain, gzipped = client_page()
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers = {**_HEADERS, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(gzipped, media_type="text/html; charset=utf-8", headers=headers)
    return Response(plain, media_type="text/html; charset=utf-8", headers=_HEADERS)


def _gone() -> Response:
    return HTMLResponse(messages.EXPIRED_PAGE, status_code=404, headers=_HEADERS)


async def _pipe(browser: WebSocket, port: int) -> None:
    """Join the browser's socket and the loopback viewer's until one of them ends."""
    protocols = [websockets.Subprotocol(name) for name in browser.scope.get("subprotocols", [])]
    try:
        # Frames hold whole meshes, so no size limit; the peer is our own process, so neither compression nor pings.
        upstream = await websockets.connect(
            f"ws://127.0.0.1:{port}",
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
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the browser may leave at any moment
            await _join(browser, upstream)


async def _join(browser: WebSocket, upstream: websockets.ClientConnection) -> None:
    await browser.accept(subprotocol=upstream.subprotocol)
    ways = [asyncio.create_task(_to_browser(browser, upstream)), asyncio.create_task(_to_viewer(browser, upstream))]
    _, running = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in running:
        way.cancel()
    await asyncio.gather(*ways, return_exceptions=True)
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
            await upstream.send(payload if payload is not None else message.get("text") or "")
