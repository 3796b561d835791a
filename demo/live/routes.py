"""The socket of a live run. ``Guard`` has checked host and origin before.

Messages of the browser are pictures (see ``read_picture``) and one of the words ``stop``, ``discard``. Messages of the
server are JSON objects with a ``type``.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets

from starlette.concurrency import run_in_threadpool
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from demo.jobs import Visitor
from demo.live.feed import read_picture
from demo.live.panel import NO_SUCH_RUN
from demo.live.runs import LiveRun, LiveRuns, Message
from human3r import InputError

_GONE, _NONSENSE, _LEFT = 4404, 4400, 4001
"""Codes of closed sockets: no such run; not a picture; the page was closed (sent by the browser)."""


def build_live_routes(runs: LiveRuns) -> list[BaseRoute]:
    """Return the routes under ``/live``."""

    async def socket(browser: WebSocket) -> None:
        token = browser.path_params.get("token")
        visitor = Visitor.of(browser.cookies, browser.client and browser.client.host, secrets.token_hex(16))
        run = await run_in_threadpool(runs.open, visitor) if token is None else runs.find(token)
        await browser.accept()
        if run is None:
            await browser.send_json({"type": "problem", "text": NO_SUCH_RUN})
            await browser.close(_GONE)
            return
        await _serve(browser, run)

    return [
        WebSocketRoute("/live", socket),
        WebSocketRoute("/live/{token}", socket),
    ]


async def _serve(browser: WebSocket, run: LiveRun) -> None:
    """Pass messages in both directions until one side is done; the run itself goes on without a socket."""
    loop, messages = asyncio.get_running_loop(), asyncio.Queue[Message]()

    def send(message: Message) -> None:
        with contextlib.suppress(RuntimeError):  # the server ends
            loop.call_soon_threadsafe(messages.put_nowait, message)

    run.attach(send)
    sender = asyncio.create_task(_send_all(browser, messages))
    receiver = asyncio.create_task(_receive_all(browser, run))
    try:
        await asyncio.wait([sender, receiver], return_when=asyncio.FIRST_COMPLETED)
    finally:
        run.detach(send)
        for task in (sender, receiver):
            task.cancel()
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await browser.close()


async def _send_all(browser: WebSocket, messages: asyncio.Queue[Message]) -> None:
    """Send messages up to the last one of a run; of frames that wait, only the newest."""
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the browser may disconnect at any time
        while True:
            message = await messages.get()
            while message["type"] == "frame" and not messages.empty():
                message = messages.get_nowait()
            await browser.send_json(message)
            if message["type"] in ("done", "deleted", "problem"):
                return


async def _receive_all(browser: WebSocket, run: LiveRun) -> None:
    while True:
        message = await browser.receive()
        if message["type"] == "websocket.disconnect":
            if message.get("code") == _LEFT:
                run.feed.end()
            return
        picture = message.get("bytes")
        if picture is not None:
            try:
                run.feed.put(read_picture(picture))
            except InputError:
                await browser.close(_NONSENSE)
                return
        elif message.get("text") in ("stop", "discard"):
            run.is_discarded |= message["text"] == "discard"
            run.feed.end()
