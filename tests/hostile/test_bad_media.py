"""Damaged, disguised and oversized media: a typed error or a valid result, never a hang, never a dead process.

Everything is generated here, from seeds. One decoder process per file.
"""

from __future__ import annotations

import io
import os
import resource
import struct
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from human3r.errors import InputError, MediaTooLargeError, UnsupportedMediaError
from human3r.video.limits import MediaLimits
from human3r.video.reader import FrameReader, probe
from human3r.video.writer import VideoWriter

pytestmark = pytest.mark.timeout(600)

PATIENT = MediaLimits(silence_s=300)
"""A busy machine may need long to start a process: silence alone proves nothing here."""


def outcome_of(path, limits=PATIENT, **options):
    """Read a clip to the end: ('error', class name) or ('frames', count).

    What inputs cost is measured by ``mutations.py``.
    """
    options["limits"], sentence = limits, "no error"
    try:
        with FrameReader(path, **options) as reader:
            frames = list(reader)
        result = ("frames", len(frames))
        times = [frame.time_s for frame in frames]
        assert times == sorted(times)
        assert all(frame.image.shape[:2] == reader.info.image_size for frame in frames)
    except InputError as error:
        result, sentence = ("error", type(error).__name__), error.message
    assert sentence
    return result


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    path = tmp_path_factory.mktemp("healthy") / "clip.mp4"
    rng = np.random.default_rng(0)
    with VideoWriter(path, fps=20, quality=28) as writer:
        for _ in range(20):
            writer.append(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    return path.read_bytes()


@pytest.mark.parametrize("share", [0.001, 0.02, 0.1, 0.3, 0.6, 0.9, 0.99])
def test_truncated_files_give_frames_or_a_typed_error(healthy, tmp_path, share):
    path = tmp_path / "cut.mp4"
    path.write_bytes(healthy[: max(1, int(len(healthy) * share))])
    outcome_of(path)


@pytest.mark.parametrize("seed", range(12))
def test_files_with_flipped_bytes_give_frames_or_a_typed_error(healthy, tmp_path, seed):
    rng = np.random.default_rng(seed)
    content = bytearray(healthy)
    # Half of the seeds hit the index, which is in front, the others the pictures.
    end = 2000 if seed % 2 else len(content)
    for place in rng.integers(8, end, 20):
        content[place] ^= int(rng.integers(1, 256))
    path = tmp_path / "flipped.mp4"
    path.write_bytes(content)
    kind, value = outcome_of(path)
    assert kind == "error" or 0 <= value <= 60


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        b"hello, this is text",
        b"\x00" * 4096,
        b"%PDF-1.7",
        b"MZ" + bytes(100),
    ],
)
def test_files_that_are_only_named_like_a_video_are_refused_unopened(tmp_path, content):
    path = tmp_path / "holiday.mp4"
    path.write_bytes(content)
    assert outcome_of(path) == ("error", "UnsupportedMediaError")


def test_an_empty_file_is_named_as_such(tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    with pytest.raises(UnsupportedMediaError, match="0 bytes"):
        probe(path)


def test_a_named_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert outcome_of(tmp_path / "pipe.mp4") == ("error", "UnsupportedMediaError")


@pytest.mark.parametrize("name", ["-rf.mp4", "a b;rm -rf $HOME.mp4", "$(touch x).mp4", "ü\n.mp4", "concat:a|b.mp4"])
def test_odd_names_are_only_names(healthy, tmp_path, name):
    (tmp_path / name).write_bytes(healthy)
    assert outcome_of(tmp_path / name) == ("frames", 20)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_clip_of_one_pixel_is_valid(tmp_path):
    Image.new("RGB", (1, 1), (9, 9, 9)).save(tmp_path / "dot.gif")
    assert outcome_of(tmp_path / "dot.gif") == ("frames", 1)


def png_that_claims(width, height):
    """A PNG whose header announces a size, with hardly any data behind it."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [3000, 60_000, 2**31 - 1])
def test_images_that_claim_a_huge_size_are_refused_from_their_header(tmp_path, side):
    (tmp_path / "huge.png").write_bytes(png_that_claims(side, side))
    kind, name = outcome_of(tmp_path / "huge.png")
    assert (kind, name) in {("error", "MediaTooLargeError"), ("error", "MediaDecodeError")}


def test_a_small_video_of_huge_frames_is_refused_and_costs_the_caller_no_memory(tmp_path):
    path = tmp_path / "bomb.mp4"
    with VideoWriter(path, fps=10, quality=40) as writer:
        writer.append(np.zeros((4096, 4096, 3), np.uint8))
    assert path.stat().st_size < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MediaTooLargeError, match=r"4096 x 4096 = 16.8 megapixels; the limit is 8.3"):
        probe(path, MediaLimits())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_decoder_that_needs_too_much_memory_costs_one_job(tmp_path):
    path = tmp_path / "wide.mp4"
    with VideoWriter(path, fps=10, quality=40) as writer:
        for _ in range(4):
            writer.append(np.zeros((2000, 4000, 3), np.uint8))
    kind, _ = outcome_of(path, limits=replace(PATIENT, child_memory_bytes=250_000_000))
    assert kind == "error"
    # The next job is not affected.
    assert outcome_of(path) == ("frames", 4)


def test_a_zip_whose_entry_lies_about_its_size_is_bounded_while_reading(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(30_000_000))
    content = bytearray(buffer.getvalue())
    size = struct.pack("<I", 30_000_000)
    small = struct.pack("<I", 1000)
    while size in content:
        place = content.index(size)
        content[place : place + 4] = small
    (tmp_path / "liar.zip").write_bytes(content)
    kind, _ = outcome_of(tmp_path / "liar.zip", limits=replace(PATIENT, file_bytes=1_000_000))
    assert kind == "error"


def test_a_nested_zip_bomb_is_not_an_image(tmp_path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.txt", bytes(1_000_000))
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())
        archive.writestr("image.png", inner.getvalue())
    assert outcome_of(tmp_path / "outer.zip") == ("error", "MediaDecodeError")


@pytest.mark.parametrize("share", [0.2, 0.7, 0.97])
def test_truncated_zips_are_typed_errors(tmp_path, share):
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        for number in range(5):
            stream = io.BytesIO()
            Image.new("RGB", (20, 20), (number, 0, 0)).save(stream, "PNG")
            archive.writestr(f"{number}.png", stream.getvalue())
    content = (tmp_path / "whole.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[: int(len(content) * share)])
    assert outcome_of(tmp_path / "cut.zip")[0] == "error"


def test_a_header_with_absurd_counts_does_not_hang(healthy, tmp_path):
    content = bytearray(healthy)
    for box in (b"stsz", b"stts", b"stco"):
        place = content.find(box)
        if place > 0:
            count_at = place + (12 if box == b"stsz" else 8)
            content[count_at : count_at + 4] = struct.pack(">I", 10**9)
    (tmp_path / "absurd.mp4").write_bytes(content)
    outcome_of(tmp_path / "absurd.mp4")


def test_no_decoder_process_is_left_behind(healthy, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(healthy)
    processes = []
    for number in range(3):
        with FrameReader(path) as reader:
            processes.append(reader._process)
            for _ in zip(range(number), reader, strict=False):
                pass
    assert all(process.poll() is not None for process in processes)
    assert all(process.stdout.closed for process in processes)
