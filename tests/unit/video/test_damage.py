"""Damage, loss and protection are said, never passed over."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from human3r.errors import UnsupportedMediaError
from human3r.video.reader import FrameReader, probe


def write_noise(path, num_frames=20):
    """Write frames of noise, which fill many packets of a transport stream."""
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "10"})
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for _ in range(num_frames):
            image = random.integers(0, 255, (64, 96, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def read_all(path):
    with FrameReader(path) as reader:
        return list(reader), reader.warnings


def test_pictures_with_lost_packets_are_named(tmp_path):
    content = write_noise(tmp_path / "whole.ts").read_bytes()
    packets = [content[at : at + 188] for at in range(0, len(content), 188)]
    damaged = tmp_path / "lost.ts"
    damaged.write_bytes(b"".join(packet for number, packet in enumerate(packets) if number % 40 != 39))
    assert not read_all(tmp_path / "whole.ts")[1]
    assert any("frames are damaged" in text for text in read_all(damaged)[1])


def test_frames_that_vanish_in_a_damaged_place_are_counted(tmp_path):
    content = bytearray(write_noise(tmp_path / "whole.mp4").read_bytes())
    content[len(content) // 3 : len(content) // 3 + 6000] = bytes(6000)
    damaged = tmp_path / "zeros.mp4"
    damaged.write_bytes(content)
    frames, warnings = read_all(damaged)
    assert len(frames) < 20
    assert any(f"{20 - len(frames)} frames could not be decoded" in text for text in warnings)


@pytest.mark.parametrize("num_reordered", ["0", "2"])
def test_stamps_that_stand_still_give_an_even_rate_and_a_sentence(make_clip, num_reordered):
    path = make_clip("still.mp4", num_frames=9, codec_options={"bf": num_reordered})
    content = bytearray(path.read_bytes())
    table = content.index(b"stts")
    for entry in range(int.from_bytes(content[table + 8 : table + 12], "big")):
        content[table + 16 + 8 * entry : table + 20 + 8 * entry] = bytes(4)
    path.write_bytes(content)
    frames, warnings = read_all(path)
    assert [round(frame.image[-6, -6, 0] / 16) for frame in frames] == list(range(9))
    assert [frame.time_s for frame in frames] == pytest.approx([index / 10 for index in range(9)])
    assert any("no usable time stamps" in text for text in warnings)


def test_an_encrypted_video_is_refused(make_clip):
    protection = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "11" * 16, "encryption_kid": "22" * 16}
    with pytest.raises(UnsupportedMediaError, match="encrypted"):
        probe(make_clip("drm.mp4", container_options=protection))


@pytest.mark.parametrize("parts", [(8, 8), (5, 20)])
@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9"])
def test_joined_matroska_files_play_on(make_clip, tmp_path, parts, codec):
    files = [make_clip(f"{number}.mkv", num_frames=count, codec=codec) for number, count in enumerate(parts)]
    joined = tmp_path / "joined.mkv"
    joined.write_bytes(b"".join(file.read_bytes() for file in files))
    frames, warnings = read_all(joined)
    assert np.allclose([frame.time_s for frame in frames], np.arange(sum(parts)) / 10, atol=2e-3)
    assert not warnings


def test_zeros_before_a_raw_stream_are_passed_over(make_clip):
    path = make_clip("raw.h264", num_frames=6)
    path.write_bytes(bytes(5) + path.read_bytes())
    assert probe(path).num_frames == 6


def picture(name, **options):
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), (9, 99, 9)).save(stream, name, **options)
    return stream.getvalue()


@pytest.mark.parametrize(("tag", "kind", "value"), [(254, 4, 1), (50706, 1, b"\x01\x04\x00\x00")])
def test_the_preview_of_a_raw_photo_is_not_taken_for_the_photo(tmp_path, tag, kind, value):
    tags = ImageFileDirectory_v2()
    tags[tag] = value
    tags.tagtype[tag] = kind
    (tmp_path / "photo.dng").write_bytes(picture("TIFF", tiffinfo=tags))
    with pytest.raises(UnsupportedMediaError, match="raw photo"):
        probe(tmp_path / "photo.dng")


def test_the_video_in_a_motion_photo_is_named(make_clip, tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(picture("JPEG") + make_clip().read_bytes())
    assert any("holds a short video" in text for text in probe(photo).warnings)
    photo.write_bytes(picture("JPEG"))
    assert not probe(photo).warnings


def test_other_media_in_a_folder_of_images_are_named(make_clip, tmp_path):
    make_clip("clip.mp4")
    (tmp_path / "1.jpg").write_bytes(picture("JPEG"))
    assert any("which were not used" in text for text in probe(tmp_path).warnings)


def test_gray_levels_of_float_reach_white(tmp_path):
    Image.fromarray(np.linspace(0, 1, 48 * 64, dtype=np.float32).reshape(48, 64)).save(tmp_path / "gray.tiff")
    frames, _ = read_all(tmp_path / "gray.tiff")
    assert frames[0].image.max() == 255


def test_an_end_that_an_edit_list_leaves_out_is_not_missing(make_clip):
    path = make_clip("trimmed.mp4", num_frames=40, codec_options={"bf": "0"})
    content = bytearray(path.read_bytes())
    edit = content.index(b"elst") + 12
    content[edit : edit + 4] = (1000).to_bytes(4, "big")  # of 4000 ms
    path.write_bytes(content)
    frames, warnings = read_all(path)
    assert len(frames) == 10
    assert not warnings


@pytest.mark.parametrize(("size", "matrix"), [((720, 1280), "bt709"), ((480, 640), "bt601")])
def test_without_a_tag_the_size_decides_on_the_color_matrix(tmp_path, size, matrix):
    color = (40, 160, 90)
    frame = av.VideoFrame.from_ndarray(np.full((*size, 3), color, np.uint8), format="rgb24")
    frame = frame.reformat(format="yuv420p", dst_colorspace={"bt709": "ITU709", "bt601": "ITU601"}[matrix])
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        frame.colorspace = 2
        container.mux([*stream.encode(frame), *stream.encode(None)])
    frames, _ = read_all(tmp_path / "clip.mkv")
    assert np.abs(frames[0].image[50, 50].astype(int) - color).max() <= 4


def test_a_format_without_a_decoder_is_named_as_such(tmp_path):
    path = write_noise(tmp_path / "ordinary.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz1"))
    with pytest.raises(UnsupportedMediaError, match="No decoder here reads the video's format"):
        probe(path)
