"""Clips as people upload them: every one gives the frames that a player shows, at the times it shows them."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image
from synthetic_clips import corner_image, write_clip

from human3r.errors import InputError, MediaTooLargeError, UnsupportedMediaError
from human3r.records import Frame
from human3r.video.limits import DEFAULT_LIMITS, MediaLimits, raise_limits
from human3r.video.reader import FrameReader, probe
from human3r.video.sampling import Sampling
from human3r.video.sniff import sniff

PAGE = MediaLimits()


def read_all(path, **options) -> tuple[list[Frame], FrameReader]:
    with FrameReader(path, **options) as reader:
        return list(reader), reader


def levels(frames: list[Frame]) -> np.ndarray:
    return np.array([int(frame.image[-6, -6].mean()) for frame in frames])


def assert_shows(frames: list[Frame], indices: range, fps: float = 10) -> None:
    """The gray corner of the synthetic clips counts the frames of the source."""
    assert np.abs(levels(frames) - np.array(indices) * 16 % 256).max() < 10
    assert np.allclose([frame.time_s for frame in frames], np.arange(len(indices)) / fps, atol=2e-3)


@pytest.mark.parametrize("offsets_s", [(50, 0), (0, 3600), (0, 0)], ids=["back", "jump", "restart"])
def test_joined_transport_streams_play_on(make_clip, tmp_path, offsets_s):
    parts = [
        make_clip(f"{number}.ts", num_frames=8, container_options={"output_ts_offset": str(offset_s)})
        for number, offset_s in enumerate(offsets_s)
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, reader = read_all(joined, limits=PAGE)
    assert reader.info.num_frames == 16
    assert_shows(frames[:8], range(8))
    assert np.allclose([frame.time_s for frame in frames], np.arange(16) / 10, atol=2e-3)


def test_one_repeated_stamp_moves_and_the_others_stay(make_clip):
    times_s = [0, 0.1, 0.2, 0.2, 0.4, 0.5, 0.9, 1.3]
    source = make_clip("a.mkv", num_frames=8, times_s=[0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 1.3], codec_options={"bf": "0"})
    path = source.with_name("repeated.mkv")
    with av.open(str(source)) as original, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(original.streams.video[0])
        for packet, time_s in zip(original.demux(original.streams.video[0]), [*times_s, 0], strict=False):
            if packet.size:
                packet.pts = packet.dts = round(time_s / packet.time_base)
                packet.stream = stream
                target.mux_one(packet)
    frames, _ = read_all(path, limits=PAGE)
    assert np.allclose([frame.time_s for frame in frames], [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 1.3], atol=2e-3)


@pytest.mark.parametrize("first", [40, 45, 47, 50, 59])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_start_at_any_frame_of_an_open_gop_gives_that_frame(make_clip, first, codec):
    parameters = "open-gop=1:keyint=10:min-keyint=10:bframes=3:b-adapt=0:scenecut=0"
    options = {f"{codec[3:]}-params": parameters, "preset": "veryfast"}
    path = make_clip(num_frames=64, codec=codec, codec_options=options)
    frames, _ = read_all(path, sampling=Sampling(start_s=first / 10, max_frames=3))
    assert [frame.frame_index for frame in frames] == [first, first + 1, first + 2]
    assert np.abs(levels(frames) - np.arange(first, first + 3) * 16 % 256).max() < 10


def test_frames_before_the_start_of_an_edit_list_are_not_shown(make_clip):
    source = make_clip(num_frames=14, codec_options={"bf": "0", "g": "20"})
    path = source.with_name("edited.mp4")
    with av.open(str(source)) as original, av.open(str(path), "w", options={"use_editlist": "1"}) as target:
        video = original.streams.video[0]
        stream = target.add_stream_from_template(video)
        cut = round(0.5 / video.time_base)
        for packet in original.demux(video):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - cut, packet.dts - cut, stream
                target.mux_one(packet)
    frames, reader = read_all(path)
    assert reader.info.num_frames == 9
    assert_shows(frames, range(5, 14))


def test_a_stream_cut_before_its_first_key_frame_begins_with_it(make_clip):
    source = make_clip(
        "a.mkv", num_frames=20, codec_options={"g": "8", "keyint_min": "8", "bf": "0", "sc_threshold": "0"}
    )
    path = source.with_name("headless.mkv")
    with av.open(str(source)) as original, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(original.streams.video[0])
        for number, packet in enumerate(original.demux(original.streams.video[0])):
            if packet.size and number >= 5:
                packet.stream = stream
                target.mux_one(packet)
    frames, _ = read_all(path)
    assert frames[0].frame_index == 0
    assert_shows(frames, range(8, 20))


@pytest.mark.parametrize("name", ["clip.h264", "clip.hevc", "clip.m4v", "clip.m2ts", "clip.mts"])
def test_streams_of_cameras_are_read(make_clip, name):
    codec = {"clip.hevc": "libx265", "clip.m4v": "mpeg4"}.get(name, "libx264")
    options = {"mpegts_m2ts_mode": "1"} if "ts" in name else {}
    written = name.replace(".mts", ".ts")
    path = make_clip(written, num_frames=9, fps=30, codec=codec, container_options=options, size=(96, 128))
    frames, reader = read_all(path.rename(path.with_name(name)))
    assert reader.info.num_frames == 9
    assert_shows(frames, range(9), fps=30)


def test_a_file_that_begins_like_an_elementary_stream_is_recognized_by_its_first_unit():
    assert sniff(b"\x00\x00\x00\x01\x67\x64" + bytes(20)) == ("video", "h264")
    assert sniff(b"\x00\x00\x01\x09\x10" + bytes(20)) == ("video", "h264")
    assert sniff(b"\x00\x00\x00\x01\x40\x01" + bytes(20)) == ("video", "hevc")
    assert sniff(b"\x00\x00\x00\x01\xff\xff" + bytes(20)) is None


@pytest.mark.parametrize("name", ["clip.mov", "clip.mkv"])
def test_the_default_and_largest_stream_is_shown_not_the_first(tmp_path, name):
    with av.open(str(tmp_path / name), "w") as container:
        streams = []
        for size in ((36, 64), (72, 128)):
            stream = container.add_stream("libx264", rate=10)
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
            streams.append(stream)
        streams[0].disposition, streams[1].disposition = Disposition(0), Disposition.default
        for stream, num_frames in zip(streams, (1, 9), strict=True):
            for index in range(num_frames):
                image = corner_image(stream.height, stream.width, index * 16)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
    frames, reader = read_all(tmp_path / name)
    assert reader.info.image_size == (72, 128)
    assert_shows(frames, range(9))


@pytest.mark.parametrize("later", [(64, 48), (24, 32), (48, 200)])
def test_a_size_that_changes_in_mid_stream_is_fitted_with_borders(tmp_path, later):
    path = tmp_path / "turned.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        second = av.CodecContext.create("libvpx", "w")
        second.height, second.width, second.pix_fmt = *later, "yuv420p"
        second.time_base, second.framerate = Fraction(1, 10), Fraction(10)
        for index in range(8):
            encoder, size = (stream, (48, 64)) if index < 4 else (second, later)
            frame = av.VideoFrame.from_ndarray(corner_image(*size, level=index * 16), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            flush = [None] if index in (3, 7) else []
            for packet in [packet for source in (frame, *flush) for packet in encoder.encode(source)]:
                packet.stream = stream
                container.mux_one(packet)
    frames, reader = read_all(path)
    assert len(frames) == 8
    assert all(frame.image.shape == (48, 64, 3) for frame in frames)
    assert any("fitted with borders" in text for text in reader.warnings)
    image = frames[-1].image.astype(int)
    shown = np.argwhere(image.max(axis=2) > 60)
    (top, left), (bottom, right) = shown.min(axis=0), shown.max(axis=0) + 1
    scale = min(48 / later[0], 64 / later[1])
    assert (bottom - top, right - left) == pytest.approx([later[0] * scale, later[1] * scale], abs=3)
    assert image[top + 3, left + 3] == pytest.approx([220, 20, 20], abs=60)


@pytest.mark.parametrize("kind", ["webp", "png", "avif"])
def test_animated_images_are_clips(tmp_path, kind):
    pictures = [Image.fromarray(corner_image(48, 64, index * 16)) for index in range(9)]
    path = tmp_path / f"a.{kind}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, loop=0)
    frames, reader = read_all(path)
    assert reader.info.kind == "video"
    assert reader.info.duration_s == pytest.approx(0.9)
    assert_shows(frames, range(9))
    part, _ = read_all(path, sampling=Sampling(start_s=0.4, max_frames=2))
    assert [frame.frame_index for frame in part] == [4, 5]
    assert np.array_equal(part[0].image, frames[4].image)


def test_the_still_for_readers_without_animation_is_not_a_frame(tmp_path):
    pictures = [Image.fromarray(corner_image(48, 64, index * 16)) for index in range(4)]
    path = tmp_path / "a.png"
    pictures[0].save(path, save_all=True, append_images=pictures, default_image=True, duration=[100] * 4)
    frames, _ = read_all(path)
    assert_shows(frames, range(4))


def test_an_animation_of_uneven_durations_keeps_them(tmp_path):
    pictures = [Image.fromarray(corner_image(48, 64, index * 16)) for index in range(4)]
    durations_ms = [40, 500, 20, 70]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=durations_ms)
    frames, reader = read_all(tmp_path / "a.webp")
    assert np.allclose([frame.time_s for frame in frames], [0, 0.04, 0.54, 0.56])
    assert reader.info.duration_s == pytest.approx(0.63)


@pytest.mark.parametrize("codec", ["png", "ffv1"])
def test_transparent_pixels_of_a_video_are_gray(tmp_path, codec):
    layers = np.zeros((48, 64, 4), np.uint8)
    layers[..., 0], layers[:, :32, 3] = 200, 255
    path = tmp_path / ("a.mov" if codec == "png" else "a.mkv")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "rgba" if codec == "png" else "bgra"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(layers, format="rgba")))
        container.mux(stream.encode(None))
    frames, _ = read_all(path)
    assert frames[0].image[5, 5].tolist() == [200, 0, 0]
    assert frames[0].image[5, 60].tolist() == [128, 128, 128]


def test_the_limits_count_for_the_part_that_is_asked_for(make_clip):
    path = make_clip(num_frames=90, fps=30)
    limits = MediaLimits(duration_s=1, fps=15, num_frames=20)
    with pytest.raises(MediaTooLargeError, match="minutes; the limit"):
        probe(path, limits)
    frames, reader = read_all(path, sampling=Sampling(start_s=1, duration_s=0.9, fps=10), limits=limits)
    assert (len(frames), reader.info.num_frames) == (9, 90)


def test_each_limit_can_be_raised_by_its_name():
    limits = raise_limits(DEFAULT_LIMITS, ["duration_s=100000", "fps=2e3"])
    assert (limits.duration_s, limits.fps, limits.num_frames) == (100_000, 2000, DEFAULT_LIMITS.num_frames)
    for change in ("fps", "fps=", "speed=3", "fps=-1", "fps=nan", "num_frames=inf"):
        with pytest.raises(InputError, match="cannot be set"):
            raise_limits(DEFAULT_LIMITS, [change])


def test_tiles_are_refused_with_a_sentence(tmp_path, monkeypatch, make_clip):
    from human3r.video.sampling import Sampling as All
    from human3r.video.sources import container
    from human3r.video.sources.video import VideoSource

    # No encoder of tiled HEIC is at hand: every stream is declared a part of a picture.
    monkeypatch.setattr(container, "_DEPENDENT", int(Disposition.default))
    with make_clip().open("rb") as stream, pytest.raises(UnsupportedMediaError, match="tiles"):
        VideoSource(stream, "mov", All(), PAGE, lambda: None)


def _worker(tmp_path: Path, body: str) -> list[str]:
    script = tmp_path / "worker.py"
    script.write_text(
        "import sys, time\nfrom human3r.video.framing import write_message\n"
        f"out = sys.stdout.buffer\n{body}\n"
        "info = dict(type='info', kind='image', codec='x', image_size=[1, 1], fps=1, duration_s=1, num_frames=1,"
        " num_selected=1, warnings=[])\n"
        "write_message(out, info)\nwrite_message(out, {'type': 'end', 'num_frames': 0, 'warnings': []})\n"
    )
    return [sys.executable, str(script)]


@pytest.mark.parametrize(
    "body", ["[write_message(out, {'type': 'progress'}) for _ in range(3)]", "time.sleep(2.5)"], ids=["beats", "waits"]
)
def test_a_decoder_that_makes_progress_or_gets_no_processor_is_not_ended(tmp_path, monkeypatch, body):
    command = _worker(tmp_path, body)
    start = subprocess.Popen

    def popen(_: list[str], **options: object) -> subprocess.Popen[bytes]:
        return start(command, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    with FrameReader(tmp_path, limits=MediaLimits(silence_s=1)) as reader:
        assert list(reader) == []


def test_frames_that_an_edit_list_hides_are_not_missing(tmp_path):
    # Copied from 0.65 s on: all packets from the key frame on, and an edit list.
    source = write_clip(tmp_path / "whole.mp4", num_frames=20)
    path = tmp_path / "cut.mp4"
    with av.open(str(source)) as original, av.open(str(path), "w", options={"movflags": "+faststart"}) as target:
        stream = target.add_stream_from_template(original.streams.video[0])
        shift = round(Fraction(65, 100) / original.streams.video[0].time_base)
        for packet in original.demux(original.streams.video[0]):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                target.mux_one(packet)
    frames, reader = read_all(path)
    assert_shows(frames, range(7, 20))
    assert reader.warnings == []


def test_both_pictures_of_a_3d_film_are_said(tmp_path):
    packing = {"x264-params": "frame-packing=3"}
    _, reader = read_all(write_clip(tmp_path / "a.mp4", num_frames=2, codec_options=packing))
    assert any("3D film" in text for text in reader.warnings)


def test_a_video_of_all_directions_is_refused(tmp_path):
    path = write_clip(tmp_path / "a.mp4", num_frames=2)
    content = path.read_bytes()
    header, projection = _box("svhd", bytes(4) + b"x\0"), _box("prhd", bytes(16)) + _box("equi", bytes(20))
    spherical = _box("sv3d", header + _box("proj", projection))
    place = content.index(b"avcC") - 4
    for parent in ("moov", "trak", "mdia", "minf", "stbl", "stsd", "avc1"):
        at = content.index(parent.encode(), content.index(b"moov")) - 4
        size = int.from_bytes(content[at : at + 4], "big") + len(spherical)
        content = content[:at] + size.to_bytes(4, "big") + content[at + 4 :]
    path.write_bytes(content[:place] + spherical + content[place:])
    with pytest.raises(UnsupportedMediaError, match="360"):
        read_all(path)


def _box(kind: str, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind.encode() + content
