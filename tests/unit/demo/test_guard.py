"""What is refused before Gradio handles a request."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from demo.guard import Guard
from demo.settings import Settings

LIMITS = {"max_upload_mb": 2, "max_total_upload_mb": 20}
MB = 1_000_000


async def _answer(_: object) -> PlainTextResponse:
    return PlainTextResponse("done")


async def _socket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("open")
    await socket.close()


def client_of(clock, address: str = "203.0.113.5", **settings: object) -> TestClient:
    routes = [Route("/{path:path}", _answer, methods=["GET", "POST"]), WebSocketRoute("/socket", _socket)]
    guard = Middleware(Guard, settings=Settings(**{**LIMITS, **settings}), clock=clock)
    app = Starlette(routes=routes, middleware=[guard])
    return TestClient(app, base_url="http://localhost:7860", client=(address, 5000))


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1:7860", "[::1]:7860", "192.168.1.20"])
def test_own_names_and_addresses_are_answered(clock, host: str) -> None:
    assert client_of(clock).get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", ""])
def test_another_host_name_is_refused_with_a_sentence(clock, host: str) -> None:
    answer = client_of(clock).get("/", headers={"Host": host})

    assert answer.status_code == 421
    assert "--allow-host" in answer.json()["detail"]


def test_an_allowed_host_name_is_answered(clock) -> None:
    client = client_of(clock, allow_hosts=("demo.example",))

    assert client.get("/", headers={"Host": "demo.example"}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"), [("http://localhost:7860", 200), ("https://evil.example", 403), ("null", 403), (None, 200)]
)
def test_a_page_of_another_site_changes_nothing(clock, origin: str | None, status: int) -> None:
    headers = {} if origin is None else {"Origin": origin}

    assert client_of(clock).post("/gradio_api/queue/join", headers=headers).status_code == status


def test_an_allowed_origin_may_send_requests_and_embed_the_page(clock) -> None:
    client = client_of(clock, allow_origins=("https://friend.example",))

    answer = client.post("/x", headers={"Origin": "https://friend.example"})

    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == "frame-ancestors 'self' https://friend.example"


def test_a_socket_from_another_site_is_refused(clock) -> None:
    client = client_of(clock)
    with client.websocket_connect("ws://localhost:7860/socket", headers={"Origin": "http://localhost:7860"}) as socket:
        assert socket.receive_text() == "open"

    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("ws://localhost:7860/socket", headers={"Origin": "https://evil.example"}),
    ):
        pass


def test_an_upload_beyond_the_limit_is_refused_before_it_is_read(clock) -> None:
    answer = client_of(clock).post("/gradio_api/upload", content=b"x", headers={"Content-Length": str(3 * MB)})

    assert answer.status_code == 413
    assert "3 MB" in answer.json()["detail"]


def test_an_upload_of_unknown_size_is_refused(clock) -> None:
    assert client_of(clock).post("/gradio_api/upload", content=iter([b"x"])).status_code == 411


def test_the_sum_of_a_visitors_uploads_is_bounded_until_they_expire(clock) -> None:
    client = client_of(clock)
    upload = {"content": b"x", "headers": {"Content-Length": str(2 * MB)}}

    before = [client.post("/gradio_api/upload", **upload).status_code for _ in range(4)]
    clock.now_s = 3601

    assert before == [200, 200, 200, 429]
    assert client.post("/gradio_api/upload", **upload).status_code == 200


def test_the_sum_of_all_uploads_is_bounded(clock) -> None:
    client = client_of(clock, address="127.0.0.1")
    upload = {"content": b"x", "headers": {"Content-Length": str(2 * MB)}}

    codes = [client.post("/gradio_api/upload", **upload).status_code for _ in range(11)]

    assert codes == [200] * 10 + [429]
