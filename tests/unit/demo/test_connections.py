"""Connections that never become requests, or whose answer nobody reads, end by themselves."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from demo import connections, guard
from demo.guard import Guard
from demo.settings import Settings

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


async def _answer(_: Request) -> PlainTextResponse:
    return PlainTextResponse("done")


async def _endless(_: Request) -> StreamingResponse:
    async def pieces():
        while True:
            yield bytes(100_000)

    return StreamingResponse(pieces())


async def _socket(browser: WebSocket) -> None:
    await browser.accept()
    while (await browser.receive())["type"] != "websocket.disconnect":
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[uvicorn.Server]:
    monkeypatch.setattr(connections, "PATIENCE_S", 0.2)
    monkeypatch.setattr(guard, "PATIENCE_S", 0.2)
    routes = [Route("/", _answer), Route("/endless", _endless), WebSocketRoute("/socket", _socket)]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, settings=Settings())])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    connections.bound_connections(server.config, Settings(trusted_proxies=()))
    yield server
    server.should_exit = True
    thread.join(30)


def connect(server: uvicorn.Server) -> socket.socket:
    return socket.create_connection(server.servers[0].sockets[0].getsockname(), timeout=60)


def rest_of(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def is_refused(connection: socket.socket) -> bool:
    """Send a request; return whether it gets no answer."""
    try:
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")
        return rest_of(connection) == b""
    except OSError:
        return True


@pytest.mark.parametrize("sent", [b"", HEAD], ids=["silent", "half a header"])
def test_a_connection_without_a_request_is_closed(server, sent: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(sent)
        assert rest_of(connection) == b""


def test_a_second_request_that_never_becomes_whole_is_given_up(server) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD + b"\r\n" + HEAD)
        assert rest_of(connection).endswith(b"done")


def test_an_answer_that_nobody_reads_is_given_up(server) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD.replace(b"/ ", b"/endless ") + b"\r\n")
        assert connection.recv(10)
        deadline_s = time.monotonic() + 60
        while server.server_state.connections:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)


def test_one_address_cannot_hold_every_descriptor(server, monkeypatch) -> None:
    monkeypatch.setattr(connections, "_MAX_CONNECTIONS", 2)
    monkeypatch.setattr(connections.Visitor, "key", property(lambda visitor: visitor.address))
    first, second, third = (connect(server) for _ in range(3))
    with first, second, third:
        assert is_refused(third)
    with connect(server) as again:
        assert not is_refused(again)


def test_a_message_that_no_page_sends_closes_its_socket(server) -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect as connect_socket

    port = server.servers[0].sockets[0].getsockname()[1]
    with connect_socket(f"ws://localhost:{port}/socket", proxy=None) as browser:
        browser.send(bytes(connections.MAX_MESSAGE_BYTES))
        browser.send(bytes(connections.MAX_MESSAGE_BYTES + 1))
        with pytest.raises(ConnectionClosed, match="1009"):
            browser.recv()
