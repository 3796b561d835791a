"""Live sources: the clock of a file, streams that come back, what is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rtsp_camera import RtspCamera

from human3r.errors import InputError
from human3r.video.live.reader import LiveReader, parse_source


@contextmanager
def served(content: bytes) -> Iterator[str]:
    """Serve one content at every address of a loopback port, as often as it is asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/stream.ts"
    finally:
        server.shutdown()
        server.server_close()


def test_frames_of_a_file_are_due_at_their_times(make_clip):
    with LiveReader(parse_source(str(make_clip(num_frames=6, fps=30)))) as reader:
        assert reader.first.shape == (48, 64, 3)
        frames = list(reader)
    assert [frame.frame_index for frame in frames] == list(range(6))
    since_first = [frame.due_s - frames[0].due_s for frame in frames]
    assert since_first == pytest.approx([index / 30 for index in range(6)], abs=1e-3)
    assert reader.offered == 6


def test_the_clock_of_a_file_continues_without_a_reader(make_clip):
    with LiveReader(parse_source(str(make_clip(num_frames=12, fps=30, size=(480, 640))))) as reader:
        iterator = iter(reader)
        next(iterator)
        time.sleep(0.5)
        # The pipe holds one such frame, so the decoder waited: later frames come with their due times all the same.
        rest = list(iterator)
    assert reader.offered == 12
    assert rest[-1].due_s - rest[0].due_s <= 11 / 30


def test_large_frames_are_scaled_down_in_the_decoder(make_clip):
    with LiveReader(parse_source(str(make_clip(num_frames=2, size=(720, 1280))))) as reader:
        assert reader.image_size == (360, 640)
        assert next(iter(reader)).image.shape == (360, 640, 3)


def test_a_stream_that_ends_is_opened_again(make_clip):
    notes: list[str] = []
    wide = {"aspect": "4/3"}  # of a pixel
    clip = make_clip("clip.ts", num_frames=30, fps=30, size=(240, 480), codec_options=wide)  # shorter is not probed
    with served(clip.read_bytes()) as address, LiveReader(parse_source(address), on_note=notes.append) as reader:
        frames = []
        for frame in reader:
            frames.append(frame)
            if reader.num_reconnects >= 1:
                break
    assert notes == ["The stream ended. Trying again.", "The source is back."]
    assert [frame.frame_index for frame in frames] == list(range(len(frames)))
    assert reader.offered == len(frames)
    assert reader.image_size == frames[0].image.shape[:2] == (240, 640)


def test_a_camera_of_the_network_that_goes_away_is_followed_when_it_is_back():
    notes = []
    with (
        RtspCamera(num_frames=75, absent=(1,)) as camera,
        LiveReader(parse_source(camera.address), on_note=notes.append) as reader,
    ):
        assert reader.first.shape == (48, 64, 3)
        frame = next(frame for frame in reader if reader.num_reconnects)
    assert camera.num_connections >= 3
    assert notes[-1] == "The source is back."
    assert frame.time_s > 1


def test_closing_from_another_thread_ends_the_iteration(make_clip):
    with LiveReader(parse_source(str(make_clip(num_frames=100, fps=1)))) as reader:
        iterator = iter(reader)
        next(iterator)
        threading.Timer(0.1, reader.close).start()
        assert list(iterator) == []


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("no_such.mp4", "There is no camera or file 'no_such.mp4'."),
        ("ftp://host/clip", "Addresses with ftp:// are not supported."),
        ("77", "There is no camera or file '/dev/video77'."),
    ],
)
def test_an_invalid_source_is_one_sentence(source, sentence):
    with pytest.raises(InputError) as caught:
        parse_source(source)
    assert caught.value.message == sentence


def test_an_unreachable_address_is_one_sentence():
    with pytest.raises(InputError, match="The source cannot be opened"):
        LiveReader(parse_source("http://127.0.0.1:9/none"))


def test_a_file_without_a_picture_is_refused(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(InputError, match="not a video or image"):
        LiveReader(parse_source(str(tmp_path / "notes.txt")))
