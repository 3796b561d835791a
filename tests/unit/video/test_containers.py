"""Containers and streams beyond the usual ones, by their first bytes: the frames in them, or a warning."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from synthetic_clips import corner_image, patch_display_matrix

from human3r.video.reader import FrameReader
from human3r.video.sniff import sniff


def read_all(path) -> tuple[list[np.ndarray], FrameReader]:
    with FrameReader(path) as reader:
        return [frame.image for frame in reader], reader


def levels(images: list[np.ndarray]) -> np.ndarray:
    return np.array([int(image[-6, -6].mean()) for image in images])


def assert_counts(images: list[np.ndarray], num_frames: int) -> None:
    """The gray corner of the synthetic clips counts the frames of the source."""
    assert len(images) == num_frames
    assert np.abs(levels(images) - np.arange(num_frames) * 16).max() < 12


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("clip.nut", "ffv1", "bgr0"),
        ("clip.ivf", "libvpx", "yuv420p"),
        ("clip.mxf", "mpeg2video", "yuv420p"),
        ("clip.y4m", "rawvideo", "yuv420p"),
        ("clip.mjpeg", "mjpeg", "yuvj420p"),
    ],
)
def test_containers_of_recorders_and_tools_are_read(make_clip, name, codec, pix_fmt):
    quality = {"qmin": "1", "qmax": "2"} if "mpeg" in codec else {}
    images, _ = read_all(make_clip(name, num_frames=9, fps=25, codec=codec, pix_fmt=pix_fmt, codec_options=quality))
    assert_counts(images, 9)


@pytest.mark.parametrize("lost", [1, 100, 187])
def test_a_broadcast_that_was_recorded_from_inside_a_packet_is_read(make_clip, lost):
    path = make_clip("clip.ts", num_frames=9, codec_options={"bf": "0"})
    path.write_bytes(bytes(188)[:lost] + path.read_bytes())
    assert_counts(read_all(path)[0], 9)


def test_an_avi_is_read_in_spite_of_an_index_that_names_wrong_places(make_clip):
    path = make_clip("clip.avi", num_frames=9, codec="mjpeg", pix_fmt="yuvj420p")
    content = bytearray(path.read_bytes())
    entries = range(content.rindex(b"idx1") + 8, len(content) - 15, 16)
    for entry in entries[1:]:
        content[entry : entry + 16] = content[entries[0] : entries[0] + 16]
    path.write_bytes(content)
    assert_counts(read_all(path)[0], 9)


def test_text_with_the_letter_of_a_broadcast_is_not_one():
    assert sniff(b"G" + b"o" * 187 + b"G" + b"o" * 835) is None


def test_a_stream_that_begins_with_additional_information_is_recognized():
    assert sniff(b"\x00\x00\x00\x01\x06\x05\x01\x00\x80" + bytes(20)) == ("video", "h264")
    assert sniff(b"\x00\x00\x00\x01\x4e\x01\x05" + bytes(20)) == ("video", "hevc")
    assert sniff(b"\x00\x00\x00\x01\x66\x05" + bytes(20)) is None


def test_pictures_that_cameras_append_to_a_jpeg_are_no_clip(tmp_path):
    picture = Image.fromarray(corner_image(48, 64))
    picture.save(tmp_path / "preview.jpg")
    picture.resize((32, 24)).save(tmp_path / "small.jpg")
    path = tmp_path / "preview.jpg"
    path.write_bytes(path.read_bytes() + (tmp_path / "small.jpg").read_bytes())
    picture.save(tmp_path / "stereo.mpo", save_all=True, append_images=[picture])

    assert [read_all(tmp_path / name)[1].info.kind for name in ("preview.jpg", "stereo.mpo")] == ["image", "image"]


def test_further_pages_are_named(tmp_path):
    pages = [Image.fromarray(corner_image(48, 64)) for _ in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    images, reader = read_all(tmp_path / "a.tif")
    assert len(images) == 1
    assert reader.warnings == ["The file has 3 pages; only the first is used."]


def test_a_turn_is_kept_in_matroska(make_clip):
    source = patch_display_matrix(make_clip(num_frames=3), (0, 1, -1, 0))
    path = source.with_name("turned.mkv")
    with av.open(str(source)) as original, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(original.streams.video[0])
        for packet in original.demux(original.streams.video[0]):
            if packet.size:
                packet.stream = stream
                target.mux_one(packet)
    (first, *_), reader = read_all(path)
    assert reader.info.rotation_deg == 90
    assert np.array_equal(first, read_all(source)[0][0])


@pytest.mark.parametrize("aspects", [(1, 2), (2, 1)])
def test_a_change_of_the_pixels_shape_is_fitted_with_borders(tmp_path, aspects):
    parts = []
    for number, aspect in enumerate(aspects):
        parts.append(tmp_path / f"{number}.ts")
        with av.open(str(parts[-1]), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(aspect)
            for index in range(4):
                container.mux(
                    stream.encode(av.VideoFrame.from_ndarray(corner_image(48, 64, index * 16), format="rgb24"))
                )
            container.mux(stream.encode(None))
    (tmp_path / "both.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    with FrameReader(tmp_path / "both.ts") as reader:
        frames = list(reader)
    first, later = frames[3].image, frames[4].image.astype(int)

    assert any("shape changes" in text for text in reader.warnings)
    assert read_all(parts[1])[1].warnings == []
    assert first.shape == later.shape == (48, 64 * aspects[0], 3)
    assert [frame.begins_shot for frame in frames] == [False] * 4 + [True] + [False] * 3
    height, width = (24, 64) if aspects == (1, 2) else (48, 64)
    top, left = (48 - height) // 2, (64 * aspects[0] - width) // 2
    picture = later[top : top + height, left : left + width]
    assert [int(picture[row, column].argmax()) for row, column in ((2, 2), (2, -3), (-3, 2))] == [0, 1, 2]
    assert picture.max(axis=2)[2, 2:-2].min() > 60
    picture[:] = 0
    assert later.max() == 0


def test_transparency_that_is_not_read_is_said(make_clip):
    options = {"auto-alt-ref": "0"}
    clip = make_clip("a.webm", num_frames=2, codec="libvpx", pix_fmt="yuva420p", codec_options=options)
    assert any("transparency" in text for text in read_all(clip)[1].warnings)


def test_stamps_that_contradict_the_order_of_decoding_are_said(make_clip):
    source = make_clip("a.mkv", num_frames=6, codec="mpeg4", codec_options={"bf": "0"})
    path = source.with_name("swapped.mkv")
    with av.open(str(source)) as original, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(original.streams.video[0])
        for packet, number in zip(original.demux(original.streams.video[0]), (0, 2, 1, 3, 4, 5, 0), strict=True):
            if packet.size:
                step = round(Fraction(1, 10) / packet.time_base)
                packet.pts, packet.dts = number * step, packet.dts - step
                packet.stream = stream
                target.mux_one(packet)
    images, reader = read_all(path)
    assert len(images) == 5
    assert any("1 frames have time stamps" in text for text in reader.warnings)
