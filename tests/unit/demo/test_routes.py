"""The demo's own addresses, over HTTP and over the socket."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import websockets
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from demo.routes import Site, build_routes
from demo.storage import ResultStore, RunFolder

RECORDING = "playbackPath=../player.viser"


def _make(folder: RunFolder, name: str, progress: Callable[[int, int], object]) -> None:
    if name == "scene_flythrough.mp4":
        # Goes on until somebody stops it.
        for _ in range(600):
            progress(1, 4)
            time.sleep(0.05)
    if name == "scene.glb":
        (folder.path / name).write_bytes(b"glTF")


@pytest.fixture
def live() -> dict[str, str]:
    """Addresses of the live viewers by token."""
    return {}


@pytest.fixture
def client(store: ResultStore, live: dict[str, str]) -> TestClient:
    site = Site(store, live.get, lambda: {"status": "ok", "active_jobs": 0}, _make)
    return TestClient(Starlette(routes=build_routes(site)))


@pytest.fixture
def echo_url() -> Iterator[str]:
    """A loopback socket server that answers with what it got, on its own loop."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    found: list[int] = []

    async def answer(connection: websockets.ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def serve() -> None:
        protocols = [websockets.Subprotocol("viser-v1")]
        options = {"subprotocols": protocols, "close_timeout": 1}
        async with websockets.serve(answer, "127.0.0.1", 0, **options) as server:
            found.append(server.sockets[0].getsockname()[1])
            ready.set()
            await stop.wait()

    stop = asyncio.Event()

    def run() -> None:
        # The loop's own thread closes it: a busy machine may need longer than any wait of the fixture.
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(60)
    yield f"ws://127.0.0.1:{found[0]}/secret"
    loop.call_soon_threadsafe(stop.set)
    thread.join(60)
    assert not thread.is_alive()


def test_health_reports_the_given_facts(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok", "active_jobs": 0}


def test_a_file_comes_with_its_type_and_without_traces(client: TestClient, store: ResultStore) -> None:
    folder = store.open("someone")
    (folder.path / "points.ply").write_bytes(b"ply")

    answer = client.get(f"/viewer/{folder.token}/points.ply")

    assert (answer.status_code, answer.content) == (200, b"ply")
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["content-disposition"].startswith("attachment")


def test_a_file_is_created_on_request(client: TestClient, store: ResultStore) -> None:
    folder = store.open("someone")

    answer = client.get(f"/viewer/{folder.token}/scene.glb?download=1")

    assert answer.content == b"glTF"
    assert answer.headers["content-type"] == "model/gltf-binary"


def test_a_slow_file_says_how_far_it_is_and_ends_when_its_visitor_goes(
    store: ResultStore, live: dict[str, str]
) -> None:
    folder = store.open("someone")
    site = Site(store, live.get, dict, _make)
    route = next(each for each in build_routes(site) if each.path == "/viewer/{token}/{name}")

    async def follow() -> tuple[bytes, int]:
        is_gone = asyncio.Event()

        async def receive() -> dict[str, object]:
            await is_gone.wait()
            return {"type": "http.disconnect"}

        def request(query: bytes) -> Request:
            path = {"token": folder.token, "name": "scene_flythrough.mp4"}
            scope = {"type": "http", "method": "GET", "query_string": query, "path_params": path, "headers": []}
            return Request(scope, receive)

        waiting = asyncio.ensure_future(route.endpoint(request(b"download=1")))
        answers = []
        while not answers or b'"total":4' not in answers[-1]:
            await asyncio.sleep(0.02)
            answers.append((await route.endpoint(request(b"progress=1"))).body)
        is_gone.set()
        return answers[-1], (await waiting).status_code

    # In a thread of its own: a browser of other tests may have a loop in this one.
    with ThreadPoolExecutor(1) as thread:
        progress, status = thread.submit(asyncio.run, follow()).result()
    assert json.loads(progress) == {"done": 1, "total": 4}
    assert status == 404


def test_a_slow_file_holds_up_its_own_visitor_only_and_whoever_leaves_the_queue_costs_nothing(
    store: ResultStore, live: dict[str, str]
) -> None:
    begun, done = [], threading.Event()

    def make(folder: RunFolder, name: str, progress: Callable[[int, int], object]) -> None:
        begun.append((folder.owner, name))
        assert name != "slow.glb" or done.wait(60)

    route = build_routes(Site(store, live.get, dict, make))[-2]
    folders = {owner: store.open(owner) for owner in ("anna", "ben", "carl")}

    def get(owner: str, name: str, is_gone: bool = False) -> asyncio.Future:
        async def receive() -> dict[str, object]:
            if not is_gone:
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        path = {"token": folders[owner].token, "name": name}
        scope = {"type": "http", "method": "GET", "query_string": b"", "path_params": path, "headers": []}
        return asyncio.ensure_future(route.endpoint(Request(scope, receive)))

    async def visit() -> None:
        waiting = [get("anna", "slow.glb"), get("anna", "late.glb"), get("anna", "left.glb", is_gone=True)]
        await get("ben", "quick.glb")
        waiting.append(get("ben", "slow.glb"))
        while len(begun) < 3:
            await asyncio.sleep(0.05)
        waiting.append(get("carl", "third.glb"))
        await asyncio.sleep(0.5)  # for those who have to wait, and the one who leaves
        assert sorted(begun) == [("anna", "slow.glb"), ("ben", "quick.glb"), ("ben", "slow.glb")]
        done.set()
        await asyncio.gather(*waiting)

    # In a thread of its own: a browser of other tests may have a loop in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, visit()).result()
    assert sorted(begun[3:]) == [("anna", "late.glb"), ("carl", "third.glb")]


def test_the_overlay_video_can_be_read_in_parts(client: TestClient, store: ResultStore) -> None:
    folder = store.open("someone")
    (folder.path / "overlay.mp4").write_bytes(b"0123456789")

    answer = client.get(f"/viewer/{folder.token}/overlay.mp4", headers={"Range": "bytes=2-4"})

    assert (answer.status_code, answer.content) == (206, b"234")


@pytest.mark.parametrize(
    "ranges",
    [
        ",".join(f"{index}-{index}" for index in range(3000)),
        ",".join(["0-"] * 3000),
        "5-2", "--5", "-0", "a-b", "", "9" * 4000 + "-", "0-" + "9" * 4000,
    ],
    ids=lambda ranges: ranges[:8],
)  # fmt: skip
def test_nonsense_in_a_range_costs_no_more_than_the_file(client: TestClient, store: ResultStore, ranges: str) -> None:
    folder = store.open("someone")
    (folder.path / "overlay.mp4").write_bytes(b"0123456789")
    guarded = TestClient(client.app, raise_server_exceptions=False)

    answer = guarded.get(f"/viewer/{folder.token}/overlay.mp4", headers={"Range": f"bytes={ranges}"})

    assert answer.status_code in (200, 206, 400, 416)
    assert len(answer.content) < 100


@pytest.mark.parametrize(
    "path",
    [
        "/viewer/AAAAAAAAAAAAAAAAAAAAAA/play/",
        "/viewer/AAAAAAAAAAAAAAAAAAAAAA/live/",
        "/viewer/AAAAAAAAAAAAAAAAAAAAAA/scene.glb",
        "/viewer/../../etc/passwd",
        "/viewer/%2e%2e/%2e%2e/etc/passwd",
        "/viewer/{token}/..%2f..%2fetc%2fpasswd",
        "/viewer/{token}/../secret",
        "/viewer/{token}/nothing.ply",
        "/viewer/{token}/%2e%2e%2fsecret",
        "/viewer/{token}/%252e%252e%252fsecret",
        "/viewer/{token}/..%5csecret",
        "/viewer/{token}/..%00/secret",
        "/viewer/{token}%2f..%2fsecret",
        "/viewer//secret",
        "/viewer/",
    ],
)
def test_wrong_tokens_and_names_are_404(client: TestClient, store: ResultStore, path: str) -> None:
    folder = store.open("someone")
    (folder.path.parent / "secret").write_text("secret")

    answer = client.get(path.replace("{token}", folder.token))

    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_an_expired_result_is_404(client: TestClient, store: ResultStore, clock) -> None:
    folder = store.open("someone")
    assert client.get(f"/viewer/{folder.token}/play/?{RECORDING}").status_code == 200

    clock.now_s = 3601

    assert client.get(f"/viewer/{folder.token}/play/").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "",
        "playbackPath=https://elsewhere.example/x.viser",
        "playbackPath=//elsewhere.example/x.viser",
        "playback%50ath=https://elsewhere.example/x.viser",
        f"playbackPath=https://elsewhere.example/x.viser&{RECORDING}",
        f"{RECORDING}&playbackPath=https://elsewhere.example/x.viser",
        f"{RECORDING}&websocket=wss://elsewhere.example",
        f"{RECORDING}&%77ebsocket=wss://elsewhere.example",
        f"{RECORDING}&moments=https://elsewhere.example/x.bin",
        f"{RECORDING}&dummyWindowTitle=hello",
    ],
)
def test_a_player_whose_address_names_another_source_is_sent_to_its_own(
    client: TestClient, store: ResultStore, query: str
) -> None:
    folder = store.open("someone")

    answer = client.get(f"/viewer/{folder.token}/play/?{query}", follow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (307, f"?{RECORDING}")


def test_a_player_may_have_view_parameters(client: TestClient, store: ResultStore) -> None:
    query = f"{RECORDING}&moments=1&darkMode=1&fixedDpr=0.75&initialCameraPosition=1,-2.5,3e"

    answers = [
        client.get(f"/viewer/{store.open('someone').token}/play/?{parameters}", follow_redirects=False).status_code
        for parameters in (query, query.removesuffix("e"))
    ]

    assert answers == [307, 200]


def test_a_live_viewer_takes_its_scene_from_its_own_socket_only(client: TestClient, live: dict[str, str]) -> None:
    live["token"] = "ws://127.0.0.1:1/secret"

    asked = [
        f"/viewer/token/live/{query}"
        for query in ("", "?darkMode=1&fixedDpr=0.5", "?websocket=wss://x", "?" + RECORDING)
    ]
    answers = [client.get(address, follow_redirects=False).status_code for address in asked]

    assert answers == [200, 200, 307, 307]


def test_the_socket_of_a_live_viewer_reaches_it_with_its_protocol(
    client: TestClient, live: dict[str, str], echo_url: str
) -> None:
    live["token"] = echo_url

    with client.websocket_connect("/viewer/token/live", subprotocols=["viser-v1"]) as socket:
        socket.send_bytes(b"\x00\x01")
        socket.send_text("hello")
        answers = socket.receive_bytes(), socket.receive_text()

    assert socket.accepted_subprotocol == "viser-v1"
    assert answers == (b"\x00\x01", "hello")


@pytest.mark.parametrize("token", ["unknown", "dead"])
def test_the_socket_of_a_closed_viewer_is_refused(client: TestClient, live: dict[str, str], token: str) -> None:
    live["dead"] = "ws://127.0.0.1:1/secret"

    with pytest.raises(WebSocketDisconnect), client.websocket_connect(f"/viewer/{token}/live"):
        pass


def test_the_player_page_is_visers_client_with_our_player(client: TestClient, store: ResultStore) -> None:
    address = f"/viewer/{store.open('someone').token}/play/?{RECORDING}"

    gzipped, raw = (client.get(address, headers={"Accept-Encoding": kind}) for kind in ("gzip", "identity"))

    assert gzipped.headers["content-encoding"] == "gzip"
    assert gzipped.text == raw.text
    assert "<title>Human3R</title>" in raw.text
    assert "h3r.Player" in raw.text
