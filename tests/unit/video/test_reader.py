"""The isolated reader: order, rotation, sampling, odd inputs, damage."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from synthetic_clips import patch_display_matrix

from human3r.errors import InputError, MediaDecodeError, MediaTooLargeError, UnsupportedMediaError
from human3r.video.limits import MediaLimits
from human3r.video.reader import FrameReader, probe
from human3r.video.sampling import Sampling

COLOR_TOLERANCE = 30
"""Chroma subsampling and lossy coding move flat colors by less than this."""


def read_all(path, **options):
    with FrameReader(path, **options) as reader:
        return list(reader), reader


def corners(image):
    """Names of the flat colors in the four corners, row by row."""
    height, width = image.shape[:2]
    places = [(4, 4), (4, width - 5), (height - 5, 4), (height - 5, width - 5)]
    names = {(220, 20, 20): "red", (20, 220, 20): "green", (20, 20, 220): "blue"}
    found = []
    for row, column in places:
        pixel = image[row, column].astype(int)
        near = [name for color, name in names.items() if np.abs(pixel - color).max() < COLOR_TOLERANCE]
        found.append(near[0] if near else "gray")
    return found


def test_every_frame_of_a_clip_with_b_frames_comes_in_presentation_order(make_clip):
    frames, reader = read_all(make_clip(num_frames=14, codec_options={"bf": "3", "g": "7"}))
    levels = [int(frame.image[-6, -6].mean()) for frame in frames]
    assert [frame.frame_index for frame in frames] == list(range(14))
    assert np.abs(np.array(levels) - np.arange(14) * 16).max() < 8
    assert np.allclose([frame.time_s for frame in frames], np.arange(14) / 10)
    assert reader.warnings == []


def test_containers_without_presentation_times_lose_no_frame(make_clip):
    frames, _ = read_all(make_clip("old.avi", num_frames=14, fps=25, codec_options={"bf": "3"}))
    levels = [int(frame.image[-6, -6].mean()) for frame in frames]
    assert np.abs(np.array(levels) - np.arange(14) * 16).max() < 8
    assert np.allclose([frame.time_s for frame in frames], np.arange(14) / 25)


def test_the_probe_measures_size_rate_and_length(make_clip):
    info = probe(make_clip(num_frames=20, size=(50, 66), fps=25))
    assert (info.image_size, info.num_frames) == ((50, 66), 20)
    assert info.fps == pytest.approx(25)
    assert info.duration_s == pytest.approx(0.8, abs=0.01)
    assert (info.is_vfr, info.is_hdr, info.has_audio, info.rotation_deg) == (False, False, False, 0)


@pytest.mark.parametrize(
    ("matrix", "expected", "rotation_deg", "is_mirrored"),
    [
        ((1, 0, 0, 1), ["red", "green", "blue", "gray"], 0, False),
        ((0, 1, -1, 0), ["blue", "red", "gray", "green"], 90, False),
        ((-1, 0, 0, -1), ["gray", "blue", "green", "red"], 180, False),
        ((0, -1, 1, 0), ["green", "gray", "red", "blue"], 270, False),
        ((-1, 0, 0, 1), ["green", "red", "gray", "blue"], 0, True),
    ],
)
def test_rotated_and_mirrored_phone_videos_come_upright(make_clip, matrix, expected, rotation_deg, is_mirrored):
    path = patch_display_matrix(make_clip(num_frames=3), matrix)
    frames, reader = read_all(path)
    assert corners(frames[0].image) == expected
    assert (reader.info.rotation_deg, reader.info.is_mirrored) == (rotation_deg, is_mirrored)
    assert frames[0].image.shape[:2] == reader.info.image_size


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program as the reference")
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_clip_is_turned_clockwise_on_request(make_clip, degrees):
    path = make_clip("clip.mp4")
    (first, *_), _ = read_all(path)
    (turned, *_), reader = read_all(path, rotate=degrees)
    assert np.array_equal(turned.image, np.rot90(first.image, -degrees // 90))
    assert reader.info.image_size == turned.image.shape[:2]


def test_a_clip_is_turned_by_quarters_only(make_clip):
    with pytest.raises(InputError, match="45"):
        FrameReader(make_clip("clip.mp4"), rotate=45)


def test_a_rotated_clip_equals_what_ffmpeg_shows(make_clip, tmp_path):
    path = patch_display_matrix(make_clip(num_frames=2), (0, 1, -1, 0))
    frames, _ = read_all(path)
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-frames:v", "1", str(tmp_path / "frame.png")]
    subprocess.run(command, check=True)
    reference = np.asarray(Image.open(tmp_path / "frame.png").convert("RGB")).astype(int)
    assert reference.shape == frames[0].image.shape
    assert np.abs(reference - frames[0].image).max() <= 2


def test_variable_frame_rate_is_sampled_by_time_stamps(make_clip):
    times_s = [0.0, 0.1, 0.2, 0.9, 1.0, 1.05, 1.1, 1.15, 1.9, 2.0]
    path = make_clip("vfr.mkv", num_frames=10, times_s=times_s)
    frames, reader = read_all(path, sampling=Sampling(fps=2))
    assert reader.info.is_vfr
    assert [frame.frame_index for frame in frames] == [0, 3, 4, 8, 9]
    assert np.allclose([frame.time_s for frame in frames], [0.0, 0.9, 1.0, 1.9, 2.0], atol=2e-3)


def test_start_and_duration_cut_by_time_and_keep_source_indices(make_clip):
    path = make_clip(num_frames=80, codec_options={"g": "10", "bf": "2"})
    frames, reader = read_all(path, sampling=Sampling(start_s=5.0, duration_s=1.0))
    assert [frame.frame_index for frame in frames] == list(range(50, 60))
    assert reader.info.num_selected == 10
    levels = np.array([int(frame.image[-6, -6].mean()) for frame in frames])
    assert np.abs(levels - (np.arange(50, 60) * 16) % 256).max() < 10


def test_max_frames_stops_early(make_clip):
    frames, _ = read_all(make_clip(num_frames=12), sampling=Sampling(max_frames=5))
    assert len(frames) == 5


def test_a_start_behind_the_end_gives_no_frames(make_clip):
    frames, reader = read_all(make_clip(num_frames=5), sampling=Sampling(start_s=60))
    assert frames == []
    assert reader.info.num_selected == 0


@pytest.mark.parametrize("option", [{"fps": 0}, {"fps": -1}, {"start_s": -1}, {"duration_s": 0}, {"max_frames": 0}])
def test_invalid_sampling_options_are_refused(option):
    with pytest.raises(InputError, match="must be"):
        Sampling(**option)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("odd.mkv", {"codec": "ffv1", "pix_fmt": "bgr0", "size": (47, 63)}),
        ("ten_bit.mkv", {"codec": "ffv1", "pix_fmt": "yuv420p10le"}),
        ("full_chroma.mp4", {"pix_fmt": "yuv444p"}),
        ("motion_jpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
        ("mpeg2.ts", {"codec": "mpeg2video", "fps": 25}),
    ],
)
def test_unusual_formats_decode_to_upright_rgb(make_clip, name, options):
    frames, reader = read_all(make_clip(name, num_frames=6, **options))
    assert len(frames) == reader.info.num_frames == 6
    assert corners(frames[0].image) == ["red", "green", "blue", "gray"]
    assert reader.info.bit_depth == (10 if name.startswith("ten") else 8)


def test_non_square_pixels_become_square(make_clip):
    path = make_clip("anamorphic.mkv", num_frames=2, codec="ffv1", pix_fmt="yuv420p")
    anamorphic = path.with_name("wide.mkv")
    import av

    with av.open(str(path)) as source, av.open(str(anamorphic), "w") as target:
        video = source.streams.video[0]
        stream = target.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.sample_aspect_ratio = 2
        for frame in source.decode(video):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    frames, reader = read_all(anamorphic)
    assert reader.info.image_size == (48, 128)
    assert frames[0].image.shape == (48, 128, 3)


def test_a_gif_is_a_clip(tmp_path):
    pictures = [Image.new("RGB", (20, 10), (level, 0, 0)) for level in (0, 100, 200)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=200, loop=0)
    frames, reader = read_all(tmp_path / "a.gif")
    assert len(frames) == 3
    assert reader.info.fps == pytest.approx(5, abs=0.1)
    assert [int(frame.image[5, 5, 0]) for frame in frames] == [0, 100, 200]


def test_a_file_with_sound_only_is_reported(tmp_path):
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(UnsupportedMediaError, match="no video"):
        probe(path)


def test_a_file_cut_in_the_middle_gives_its_frames_and_a_warning(make_clip):
    path = make_clip(num_frames=60, size=(96, 128), container_options={"movflags": "+faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.7)])
    frames, reader = read_all(path)
    assert 5 < len(frames) < 60
    assert any("cut short" in text or "damaged" in text for text in reader.warnings)


def test_a_file_without_its_index_is_a_named_error(make_clip):
    path = make_clip(num_frames=30)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moov") - 4])
    with pytest.raises(MediaDecodeError, match="cannot be opened"):
        probe(path)


@pytest.mark.parametrize(
    ("limits", "pattern"),
    [
        (MediaLimits(file_bytes=100), "MB; the limit"),
        (MediaLimits(frame_pixels=1000), "megapixels; the limit"),
        (MediaLimits(fps=5), "frames per second; the limit is 5"),
        (MediaLimits(duration_s=0.5), "minutes; the limit"),
        (MediaLimits(num_frames=10), "frames; the limit is 10"),
    ],
)
def test_each_limit_is_checked_by_the_probe_with_value_and_limit(make_clip, limits, pattern):
    with pytest.raises(MediaTooLargeError, match=pattern):
        probe(make_clip(num_frames=12), limits)


def test_leaving_early_ends_the_decoder_process(make_clip):
    with FrameReader(make_clip(num_frames=60)) as reader:
        next(iter(reader))
        process = reader._process
        assert process.poll() is None or process.returncode == 0
    assert process.poll() is not None


def test_a_missing_file_is_an_input_error_with_its_name(tmp_path):
    with pytest.raises(InputError, match=r"no file 'gone\.mp4'"):
        probe(tmp_path / "gone.mp4")


def test_a_silent_decoder_is_ended_after_the_limit(make_clip):
    with pytest.raises(MediaDecodeError, match="delivered nothing"):
        probe(make_clip(), MediaLimits(silence_s=0.001))
