"""What is refused before Gradio handles a request."""

from __future__ import annotations

import asyncio
import errno
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from demo import guard
from demo.guard import Guard
from demo.settings import Settings, networks_of, parse_settings

LIMITS = {"max_upload_mb": 2, "max_total_upload_mb": 20}
MB = 1_000_000


async def _answer(request: Request) -> PlainTextResponse:
    await request.body()
    return PlainTextResponse("done")


async def _socket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("open")
    await socket.close()


async def _wait(socket: WebSocket) -> None:
    await socket.accept()
    await socket.receive()


def client_of(clock, address: str = "203.0.113.5", **settings: object) -> TestClient:
    routes = [Route("/{path:path}", _answer, methods=["GET", "POST"]), WebSocketRoute("/socket", _socket)]
    routes.append(WebSocketRoute("/wait", _wait))
    guard = Middleware(Guard, settings=Settings(**{**LIMITS, **settings}), clock=clock)
    app = Starlette(routes=routes, middleware=[guard])
    return TestClient(app, base_url="http://localhost:7860", client=(address, 5000))


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1:7860", "[::1]:7860", "192.168.1.20"])
def test_own_names_and_addresses_are_answered(clock, host: str) -> None:
    assert client_of(clock).get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("wanted", ["bytes=0-0,2-2", "bytes=--5", "bytes=0-,0-,0-", "bytes=5-9"])
def test_only_a_single_range_is_passed_on(clock, wanted: str) -> None:
    async def part(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.headers.get("range", "all"))

    app = Starlette(routes=[Route("/", part)], middleware=[Middleware(Guard, settings=Settings(), clock=clock)])
    answer = TestClient(app, base_url="http://localhost:7860").get("/", headers={"Range": wanted})
    assert answer.text == (wanted if wanted == "bytes=5-9" else "all")


@pytest.mark.parametrize("named", ["127.0.0.1", "::1", "somebody", ""])
def test_a_proxy_that_names_no_visitor_makes_none_this_machine(clock, named: str) -> None:
    # The web server has put the header's address in the place of the proxy's.
    async def address(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.client.host)

    app = Starlette(routes=[Route("/", address)], middleware=[Middleware(Guard, settings=Settings(), clock=clock)])
    client = TestClient(app, base_url="http://localhost:7860", client=(named, 0))
    assert client.get("/", headers={"X-Forwarded-For": named}).text == "192.0.0.8"
    assert client.get("/").text == named


@pytest.mark.parametrize(
    ("proxies", "peer", "header", "visitor"),
    [
        (["127.0.0.1"], "127.0.0.1", "203.0.113.9", "203.0.113.9"),
        (["127.0.0.1"], "127.0.0.1", "198.51.100.1, 127.0.0.1, 203.0.113.9", "203.0.113.9"),
        (["127.0.0.1"], "127.0.0.1", "198.51.100.1, 203.0.113.9:4711", "203.0.113.9"),
        (["127.0.0.1"], "127.0.0.1", "198.51.100.1, [2001:db8::9]:4711", "2001:db8::9"),
        (["127.0.0.1", "10.0.0.0/8"], "127.0.0.1", "198.51.100.1, 203.0.113.9, 10.2.3.4:80", "203.0.113.9"),
        (["127.0.0.1", "10.0.0.0/8"], "::ffff:127.0.0.1", "::1, 203.0.113.9, ::ffff:10.2.3.4", "203.0.113.9"),
        (["::1", "2001:db8:1::/48"], "::1", "2001:db8:2::5, 2001:db8:3::9, 2001:db8:1::7", "2001:db8:3::9"),
        (["127.0.0.1"], "127.0.0.1", "198.51.100.1, unknown", "192.0.0.8"),
        (["127.0.0.1"], "203.0.113.9", "198.51.100.1", "203.0.113.9"),
    ],
)
def test_of_what_proxies_append_the_last_address_that_is_no_proxy_counts(clock, proxies, peer, header, visitor) -> None:
    async def address(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.client.host)

    settings = parse_settings([word for proxy in proxies for word in ("--trusted-proxy", proxy)], {})
    app = Starlette(routes=[Route("/", address)], middleware=[Middleware(Guard, settings=settings, clock=clock)])
    server = ProxyHeadersMiddleware(app, list(map(str, networks_of(settings.trusted_proxies))))
    client = TestClient(server, base_url="http://localhost:7860", client=(peer, 5000))
    assert client.get("/", headers={"X-Forwarded-For": header}).text == visitor


@pytest.mark.parametrize("path", ["https://abc.hf.space/x", "%00", "http://127.0.0.1/"])
def test_nothing_is_fetched_from_other_servers(clock, path: str) -> None:
    assert client_of(clock).get(f"/gradio_api/proxy={path}").status_code == 404


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
    upload = {"content": bytes(2 * MB)}

    before = [client.post("/gradio_api/upload", **upload).status_code for _ in range(4)]
    clock.now_s = 3601

    assert before == [200, 200, 200, 429]
    assert client.post("/gradio_api/upload", **upload).status_code == 200


def test_the_sum_of_all_uploads_is_bounded(clock) -> None:
    client = client_of(clock, address="127.0.0.1")
    upload = {"content": bytes(2 * MB)}

    codes = [client.post("/gradio_api/upload", **upload).status_code for _ in range(11)]

    assert codes == [200] * 10 + [429]


def test_an_upload_that_breaks_off_counts_by_what_came(clock) -> None:
    client = client_of(clock)
    for _ in range(5):
        client.post("/gradio_api/upload", content=b"x", headers={"Content-Length": str(2 * MB)})

    assert client.post("/gradio_api/upload", content=bytes(2 * MB)).status_code == 200


@pytest.mark.parametrize("body", [bytes(MB + 1), iter([bytes(MB), b"x"])], ids=["announced", "in pieces"])
def test_a_message_of_many_megabytes_is_refused(clock, body) -> None:
    assert client_of(clock).post("/gradio_api/queue/join", content=body).status_code == 413


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/queue/join"])
def test_a_body_that_hardly_comes_is_given_up(clock, monkeypatch, path: str) -> None:
    monkeypatch.setattr(guard, "PATIENCE_S", 0.1)
    sent: list[dict] = []

    async def never() -> dict:
        await asyncio.sleep(60)
        raise AssertionError

    async def send(message: dict) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-length", b"100")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
    call = client_of(clock).app({**scope, "client": ("203.0.113.5", 1)}, never, send)
    # In a thread: the browser tests, which may come first, keep an event loop running in this one.
    ThreadPoolExecutor(1).submit(asyncio.run, call).result()

    assert sent[0]["status"] == 408


def test_a_name_of_a_proxy_that_another_site_invents_is_refused_before_it_is_sent(clock) -> None:
    question = {"Host": "192.168.1.20", "Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}

    assert client_of(clock).options("/gradio_api/queue/join", headers=question).status_code == 403


def test_one_address_cannot_hold_every_connection(clock, monkeypatch) -> None:
    monkeypatch.setattr(guard, "_MAX_OPEN", 1)
    client = client_of(clock)
    with client.websocket_connect("ws://localhost:7860/wait"):
        assert client.get("/").status_code == 429
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("host", ["[", "]", "[::1", "[v1.x]", "a@[::1"])
def test_a_host_that_cannot_be_parsed_is_refused(clock, host: str) -> None:
    assert client_of(clock).get("/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "[", "", "a" * 5000, "http://localhost:7860@evil"])
def test_an_origin_that_cannot_be_parsed_is_another_one(clock, origin: str) -> None:
    assert client_of(clock).post("/x", headers={"Origin": origin}).status_code == 403


def test_an_error_of_a_request_is_one_line_of_the_log(clock, caplog) -> None:
    client = client_of(clock)
    client.app.routes.insert(0, Route("/fails", _fails))
    answer = client.get("/fails")

    assert answer.status_code == 500
    assert answer.json() == {"detail": "The request cannot be answered."}
    (record,) = caplog.records
    assert record.exc_info is None
    assert "KeyError" in record.message
    assert "\n" not in record.message


@pytest.mark.parametrize(
    ("method", "path", "error", "status"),
    [
        ("POST", "/upload", TypeError("File is not an instance of GradioUploadFile"), 400),
        ("POST", "/upload", ValueError("Boundary length 3000 exceeds maximum of 256"), 400),
        ("POST", "/upload", OSError(errno.ENOSPC, "No space left on device"), 500),
        ("GET", "/file", OSError(errno.ENAMETOOLONG, "File name too long"), 404),
    ],
)
def test_what_a_route_cannot_read_is_the_fault_of_the_request(clock, method, path, error, status) -> None:
    async def fails(request: Request) -> PlainTextResponse:
        raise error

    client = client_of(clock)
    client.app.routes.insert(0, Route(path, fails, methods=[method]))
    answer = client.request(method, path, content=b"x")

    assert answer.status_code == status
    assert answer.json()["detail"].endswith(".")


async def _fails(request: Request) -> PlainTextResponse:
    raise KeyError("\n" * 500)


def test_a_flood_of_messages_waits(clock, monkeypatch) -> None:
    monkeypatch.setattr(guard, "_MAX_MESSAGES_PER_S", 3)
    slept_s: list[float] = []

    async def sleep(seconds: float) -> None:
        slept_s.append(seconds)

    monkeypatch.setattr(guard.asyncio, "sleep", sleep)

    async def receive() -> dict:
        return {"type": "websocket.receive", "text": "x"}

    async def read_all() -> None:
        paced = guard._Paced(receive)
        for _ in range(5):
            await paced.receive()

    ThreadPoolExecutor(1).submit(asyncio.run, read_all()).result()
    assert len(slept_s) == 2
    assert all(0 < seconds <= 1 for seconds in slept_s)
