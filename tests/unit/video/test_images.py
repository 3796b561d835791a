"""Image folders, zips and single images as clips."""

from __future__ import annotations

import io
import zipfile
import zlib
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from human3r.errors import MediaDecodeError, MediaTooLargeError, UnsupportedMediaError
from human3r.video.limits import DEFAULT_LIMITS, MediaLimits
from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling
from human3r.video.sources.image import decode_image, open_image
from human3r.video.sources.sequences import natural_key


def png(level, size=(6, 4)):
    stream = io.BytesIO()
    Image.new("RGB", size, (level, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def read_all(path, **options):
    with FrameReader(path, **options) as reader:
        return list(reader), reader


@pytest.fixture
def folder(tmp_path):
    for number in (1, 2, 10, 9):
        (tmp_path / f"im{number}.png").write_bytes(png(number))
    (tmp_path / ".hidden.png").write_bytes(png(200))
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_a_folder_is_read_in_natural_order(folder):
    frames, reader = read_all(folder)
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [1, 2, 9, 10]
    assert reader.info.kind == "images"
    assert np.allclose([frame.time_s for frame in frames], np.arange(4) / 30)


def test_of_images_that_differ_in_their_ending_one_is_taken(folder):
    for number in (2, 9):
        Image.new("RGB", (6, 4), (number, 0, 0)).save(folder / f"im{number}.bmp")
    frames, reader = read_all(folder)
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [1, 2, 9, 10]
    assert any(text.startswith("2 images were skipped") for text in reader.warnings)


def test_the_fps_option_sets_the_times_of_images_and_drops_none(folder):
    frames, _ = read_all(folder, sampling=Sampling(fps=5))
    assert np.allclose([frame.time_s for frame in frames], np.arange(4) / 5)


def test_one_image_is_a_clip_of_one_frame(tmp_path):
    (tmp_path / "one.png").write_bytes(png(7))
    frames, reader = read_all(tmp_path / "one.png")
    assert len(frames) == 1
    assert reader.info.kind == "image"


@pytest.mark.parametrize("tag", range(1, 9))
def test_every_exif_orientation_equals_pillows_own(tag):
    from PIL import ImageOps

    rng = np.random.default_rng(tag)
    picture = Image.fromarray(rng.integers(0, 255, (5, 7, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = tag
    stream = io.BytesIO()
    picture.save(stream, "PNG", exif=exif)
    upright, _ = decode_image(stream.getvalue(), DEFAULT_LIMITS)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(stream)))
    assert np.array_equal(upright, expected)


def test_sixteen_bit_gray_is_scaled_not_clipped():
    stream = io.BytesIO()
    Image.fromarray(np.full((3, 3), 257 * 100, np.uint16)).save(stream, "PNG")
    image, _ = decode_image(stream.getvalue(), DEFAULT_LIMITS)
    assert int(image[0, 0, 0]) == 100


def test_a_zip_is_read_in_natural_order_with_its_folders(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in (10, 2, 1):
            archive.writestr(f"shots/f{number}.png", png(number))
        archive.writestr("__MACOSX/shots/._f1.png", b"junk")
    frames, _ = read_all(tmp_path / "a.zip")
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [1, 2, 10]


def test_names_that_leave_a_zip_write_nothing(tmp_path):
    target = tmp_path / "inner"
    target.mkdir()
    with zipfile.ZipFile(target / "a.zip", "w") as archive:
        archive.writestr("../../escaped.png", png(3))
        archive.writestr("/absolute.png", png(4))
    frames, _ = read_all(target / "a.zip")
    assert len(frames) == 2
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.zip", "inner"]


def test_a_zip_without_images_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(UnsupportedMediaError, match="zip holds no"):
        read_all(tmp_path / "a.zip")


def test_a_zip_that_unpacks_to_too_much_is_refused_before_unpacking(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", bytes(3_000_000))
    with pytest.raises(MediaTooLargeError, match="unpacks to"):
        read_all(tmp_path / "bomb.zip", limits=MediaLimits(zip_total_bytes=5_000_000))


def test_images_of_another_shape_are_skipped_and_counted(tmp_path):
    (tmp_path / "1.png").write_bytes(png(1))
    (tmp_path / "2.png").write_bytes(png(2, size=(4, 6)))
    (tmp_path / "3.png").write_bytes(png(3, size=(12, 8)))
    frames, reader = read_all(tmp_path)
    assert [frame.frame_index for frame in frames] == [0, 2]
    assert len(reader.warnings) == 2


def test_a_damaged_image_in_a_folder_is_skipped_and_counted(folder):
    (folder / "im2.png").write_bytes(png(2)[:20])
    frames, reader = read_all(folder)
    assert len(frames) == 3
    assert reader.warnings == ["1 images could not be decoded and were skipped."]


def test_a_folder_of_only_damaged_images_is_an_error(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff garbage")
    with pytest.raises(MediaDecodeError, match="The image cannot be decoded"):
        read_all(tmp_path)


def test_natural_order_counts_numbers():
    assert sorted(["f10", "f9", "F1"], key=natural_key) == ["F1", "f9", "f10"]
    assert sorted(["\u00e9 2", "e\u0301 3", "e\u0301 1"], key=natural_key) == ["e\u0301 1", "\u00e9 2", "e\u0301 3"]


def test_the_size_that_most_images_have_is_the_clips_and_names_are_kept(tmp_path):
    for number, size in ((7, (4, 6)), (8, (6, 4)), (20, (6, 4)), (21, (6, 4))):
        (tmp_path / f"frame_{number}.png").write_bytes(png(number, size=size))
    frames, reader = read_all(tmp_path)
    assert reader.info.image_size == (4, 6)
    assert [frame.name for frame in frames] == ["frame_8.png", "frame_20.png", "frame_21.png"]
    assert [frame.frame_index for frame in frames] == [1, 2, 3]


@pytest.mark.parametrize("tag", [1, 3, 6, 8])
def test_tiff_and_jfif_are_images_and_come_upright(tmp_path, tag):
    from PIL import ImageOps

    picture = Image.fromarray(np.random.default_rng(tag).integers(0, 255, (16, 24, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = tag
    picture.save(tmp_path / "1.tif", exif=exif)
    frames, _ = read_all(tmp_path / "1.tif")
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "1.tif")))
    assert np.array_equal(frames[0].image, expected)
    (tmp_path / "1.tif").rename(tmp_path / "2.tiff")
    picture.save(tmp_path / "1.jfif", "JPEG", exif=exif)
    frames, _ = read_all(tmp_path)
    assert [frame.name for frame in frames] == ["1.jfif", "2.tiff"]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_of_an_image_are_gray(mode):
    layers = np.zeros((4, 6, 4), np.uint8)
    layers[..., 3] = 255
    layers[:, 3:] = (255, 255, 255, 0)
    stream = io.BytesIO()
    picture = Image.fromarray(layers)
    picture = picture.quantize(4) if mode == "P" else picture.convert(mode)
    picture.save(stream, "PNG")
    image, _ = decode_image(stream.getvalue(), DEFAULT_LIMITS)
    assert image[0, 0].tolist() == [0, 0, 0]
    assert image[0, 5].tolist() == [128, 128, 128]


def deep_gray(level: int, **options) -> bytes:
    """A 16-bit image, dark but for its right half."""
    levels = np.full((16, 24), level // 4, np.uint16)
    levels[:, 12:] = level
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, **{"format": "PNG", **options})
    return stream.getvalue()


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_gray_of_fewer_than_sixteen_bits_is_not_dark_and_does_not_flicker(tmp_path, bits):
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(deep_gray((2**bits - 1) // (number + 1)))
    frames, reader = read_all(tmp_path)
    assert [frame.image[0, -1, 0] for frame in frames] == pytest.approx([255, 127, 85, 64], abs=1)
    assert any(f"end below {2**bits}" in text for text in reader.warnings) == (bits < 16)


def first_picture(encoded: bytes):
    """Decode in this process, which is faster."""
    source = open_image(io.BytesIO(encoded), Sampling(), DEFAULT_LIMITS, lambda: None)
    return next(source.frames()).image, source.warnings


def deep_color(pixel_format: str, level: int, suffix: str) -> bytes:
    """A 16-bit image, dark but for the green of its right half."""
    levels = np.full((16, 24, 4), level // 4, np.uint16)
    levels[:, 12:, 1] = levels[..., 3] = level
    codec = av.CodecContext.create(suffix, "w")
    codec.width, codec.height, codec.pix_fmt = 24, 16, pixel_format
    codec.time_base = Fraction(1, 30)
    num_channels = 3 if pixel_format.startswith("rgb48") else 4
    if pixel_format.startswith("ya"):
        levels, num_channels = levels[..., [1, 3]], 2
    frame = av.VideoFrame(24, 16, pixel_format)
    rows = np.zeros((16, frame.planes[0].line_size // 2), ">u2" if pixel_format.endswith("be") else "<u2")
    rows[:, : 24 * num_channels] = levels[..., :num_channels].reshape(16, -1)
    frame.planes[0].update(rows.tobytes())
    return b"".join(bytes(packet) for packet in (*codec.encode(frame), *codec.encode(None)))


@pytest.mark.parametrize(
    ("pixel_format", "suffix"),
    [("rgb48be", "png"), ("rgba64be", "png"), ("ya16be", "png"), ("rgb48le", "tiff"), ("rgba64le", "tiff")],
)
@pytest.mark.parametrize("bits", [12, 16])
def test_color_of_fewer_than_sixteen_bits_is_not_dark(pixel_format, suffix, bits):
    picture, warnings = first_picture(deep_color(pixel_format, 2**bits - 1, suffix))
    assert picture[0, -1, 1] == 255
    assert picture[0, 0].tolist() == pytest.approx([64] * 3, abs=1)
    assert any("end below 4096" in text for text in warnings) == (bits == 12)


def test_levels_that_were_scaled_to_sixteen_bits_stay_dark():
    by_shifts, by_factor = deep_gray(200 << 4), deep_gray(4 * 257)
    stated = by_shifts[:33] + b"\0\0\0\1sBIT\x0c" + zlib.crc32(b"sBIT\x0c").to_bytes(4, "big") + by_shifts[33:]
    assert [first_picture(one)[0][0, -1, 0] for one in (stated, by_factor)] == [round(3200 / 257), 4]


def test_the_depth_that_an_image_states_is_believed(tmp_path):
    dark = deep_gray(1000)
    png = dark[:33] + b"\0\0\0\1sBIT\x0c" + zlib.crc32(b"sBIT\x0c").to_bytes(4, "big") + dark[33:]
    for name, encoded in (("a.png", png), ("a.tif", deep_gray(1000, format="TIFF", tiffinfo={281: 4095}))):
        (tmp_path / name).write_bytes(encoded)
        frames, reader = read_all(tmp_path / name)
        assert frames[0].image[0, -1, 0] == round(1000 / 4095 * 255)
        assert not reader.warnings
