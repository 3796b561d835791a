"""Live runs: pictures in, numbers and a result out; what ends them, and what is deleted."""

from __future__ import annotations

import io
import struct
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from fake_engine import FakeLiveScene
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from demo.downloads import RECORDING
from demo.jobs import VISITOR_COOKIE, JobQueue, Visitor
from demo.live.feed import MAX_PICTURE_BYTES, Feed, Picture, read_picture
from demo.live.routes import build_live_routes
from demo.live.runs import LiveRuns
from demo.settings import Settings
from demo.storage import ResultStore
from human3r import FrameReader, InputError, Reconstruction


class TinyEngine:
    """The tiny model behind what live runs call; only the viewer is a fake."""

    def __init__(self, model) -> None:
        self.model, self.live = model, []

    def load(self, name: str) -> None:
        pass

    def model_names(self) -> tuple[str, ...]:
        return ("tiny",)

    def open_live(self) -> TinyLiveScene:
        self.live.append(TinyLiveScene())
        return self.live[-1]

    def export(self, result, clip, folder, name: str, progress: object = None) -> bool:
        assert clip.is_file()
        (folder.path / name).write_bytes(b"file")
        return True


class TinyLiveScene(FakeLiveScene):
    led_to: str | None = None

    def lead_to(self, url: str) -> None:
        self.led_to = url

    def add(self, prediction, *, with_scene: bool = True, with_surface: bool = True) -> None:
        super().add(prediction)

    def add_source(self, image) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def store():
    with ResultStore(3600, 8) as opened:
        yield opened


@pytest.fixture
def make_runs(store, tiny):
    made = []

    def make(**limits: float) -> LiveRuns:
        runs = LiveRuns(replace(Settings(), **limits), TinyEngine(tiny), JobQueue(4, 3), store)  # type: ignore[arg-type]
        made.append(runs)
        return runs

    yield make
    for runs in made:
        runs.close()


@pytest.fixture
def client_of():
    return lambda runs: TestClient(Starlette(routes=build_live_routes(runs)))


def picture(frame: np.ndarray, time_s: float) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=90)
    return struct.pack("<d", time_s) + stream.getvalue()


def wait_for(socket, kind: str) -> dict:
    while (message := socket.receive_json())["type"] != kind:
        assert message["type"] in ("hello", "waiting", "loading", "ready", "frame", "writing"), message
    return message


def test_a_stopped_live_run_is_an_ordinary_result_with_its_recording(make_runs, client_of, store, frames):
    with client_of(make_runs()).websocket_connect("/live") as socket:
        assert wait_for(socket, "ready")["side"] == 256
        for index, frame in enumerate(frames[:3]):
            socket.send_bytes(picture(frame, 5 + index))
            said = wait_for(socket, "frame")
            assert said["taken_s"] == pytest.approx(5 + index)
        assert all(len(line) == 4 for person in said["people"] for line in person["lines"])
        socket.send_text("stop")
        token = wait_for(socket, "done")["token"]
    folder = store.get(token)
    result = Reconstruction.load(folder.file("reconstruction.npz"))
    assert result.time_s.tolist() == pytest.approx([0, 1, 2])
    with FrameReader(folder.file(RECORDING)) as reader:
        assert [frame.time_s for frame in reader] == pytest.approx([0, 1, 2])
    assert folder.file("scene.glb") is not None


def test_another_camera_has_a_viewer_of_its_own(make_runs, client_of):
    runs = make_runs()
    here, there = (
        np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        for seed in (0, 1)
    )
    with client_of(runs).websocket_connect("/live") as socket:
        wait_for(socket, "ready")
        socket.send_bytes(picture(here, 0))
        wait_for(socket, "frame")
        time_s, deadline = 1.0, time.monotonic() + 60
        while len(runs._engine.live) == 1:
            assert time.monotonic() < deadline
            socket.send_bytes(picture(there, time_s))
            time_s += 0.5
            time.sleep(0.02)
        socket.send_text("discard")
    first, second = runs._engine.live
    assert (first.led_to, second.led_to) == ("", None)


def test_a_lost_socket_is_resumed(make_runs, client_of, frames):
    client = client_of(make_runs())
    with client.websocket_connect("/live") as socket:
        token = wait_for(socket, "hello")["token"]
        wait_for(socket, "ready")
        socket.send_bytes(picture(frames[0], 0))
        wait_for(socket, "frame")
    with client.websocket_connect(f"/live/{token}") as socket:
        wait_for(socket, "ready")
        socket.send_bytes(picture(frames[1], 1))
        assert wait_for(socket, "frame")["taken_s"] == 1
        socket.send_text("stop")
        assert wait_for(socket, "done")["token"] == token


@pytest.mark.parametrize("limits", [{"live_patience_s": 0.0}, {"max_live_s": 0.0}, {"max_upload_mb": 0}])
def test_a_limit_ends_a_live_run_with_its_result(make_runs, client_of, store, frames, limits):
    runs = make_runs(**limits)
    with client_of(runs).websocket_connect("/live") as socket:
        token = wait_for(socket, "hello")["token"]
        wait_for(socket, "ready")
        socket.send_bytes(picture(frames[0], 0))
        if "live_patience_s" not in limits:
            message = socket.receive_json()
            while message["type"] not in ("done", "problem"):
                message = socket.receive_json()
    deadline = time.monotonic() + 60
    while runs.find(token) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_discarded_recording_is_gone_at_once(make_runs, client_of, store, frames):
    with client_of(make_runs()).websocket_connect("/live") as socket:
        token = wait_for(socket, "hello")["token"]
        wait_for(socket, "ready")
        socket.send_bytes(picture(frames[0], 0))
        wait_for(socket, "frame")
        socket.send_text("discard")
        while socket.receive_json()["type"] != "deleted":
            pass
    while store.get(token) is not None:
        time.sleep(0.02)


def test_the_result_belongs_to_the_visitor_of_the_page(make_runs, client_of, store, frames):
    client = client_of(make_runs())
    client.cookies.set(VISITOR_COOKIE, 32 * "a")
    with client.websocket_connect("/live") as socket:
        wait_for(socket, "ready")
        socket.send_bytes(picture(frames[0], 0))
        wait_for(socket, "frame")
        socket.send_text("stop")
        token = wait_for(socket, "done")["token"]
    assert store.get(token).owner == 32 * "a"


def test_without_pictures_there_is_a_sentence_and_no_folder(make_runs, client_of, store):
    with client_of(make_runs()).websocket_connect("/live") as socket:
        wait_for(socket, "ready")
        socket.send_text("stop")
        assert "No picture arrived" in wait_for(socket, "problem")["text"]
    while len(store):
        time.sleep(0.02)


def test_who_sends_no_picture_gives_up_the_turn(make_runs, client_of, store):
    runs = make_runs(live_patience_s=0.1)
    with client_of(runs).websocket_connect("/live") as socket:
        wait_for(socket, "ready")
        assert "No picture arrived" in wait_for(socket, "problem")["text"]
    while runs._jobs.counts() != (0, 0):
        time.sleep(0.02)


def test_damaged_pictures_and_those_of_another_size_are_dropped(make_runs, client_of, frames):
    with client_of(make_runs()).websocket_connect("/live") as socket:
        wait_for(socket, "ready")
        socket.send_bytes(struct.pack("<d", 0.0) + b"no picture")
        socket.send_bytes(picture(frames[0], 1))
        wait_for(socket, "frame")
        socket.send_bytes(picture(frames[0][:40], 2))
        time.sleep(0.1)
        socket.send_bytes(picture(frames[1], 3))
        assert wait_for(socket, "frame")["taken_s"] == 3
        socket.send_text("discard")


def test_a_live_run_waits_its_turn(make_runs, client_of):
    runs = make_runs()
    with runs._jobs.slot(Visitor("somebody")) as job:
        runs._jobs.wait_turn(job, 0)
        with client_of(runs).websocket_connect("/live") as socket:
            message = wait_for(socket, "waiting")
            while message["before"] != 1:
                message = wait_for(socket, "waiting")
            assert message["text"] == "Waiting: 1 run before yours"
            socket.send_text("discard")
            while socket.receive_json()["type"] != "deleted":
                pass


def test_an_unknown_run_is_one_sentence(make_runs, client_of):
    with client_of(make_runs()).websocket_connect("/live/" + 22 * "a") as socket:
        assert wait_for(socket, "problem")["text"] == "This recording does not exist any more."


@pytest.mark.parametrize(
    "message", [b"", b"12345678", struct.pack("<d", float("nan")) + b"x", bytes(MAX_PICTURE_BYTES + 1)]
)
def test_a_message_that_is_not_an_image_is_refused(message):
    with pytest.raises(InputError):
        read_picture(message)


def test_of_pictures_that_came_meanwhile_only_the_newest_waits():
    feed = Feed(60, 1000, 60)
    for number in range(3):
        feed.put(Picture(b"x", float(number), time.monotonic()))
    threading.Timer(0.1, feed.end).start()
    assert [each.time_s for each in feed.pictures()] == [2.0]
    assert feed.num_offered == 3
