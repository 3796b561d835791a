"""Interlaced frames show two moments: the first one is used, and combs that no flag announces are said."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph

from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling

FPS, NUM_FRAMES, HEIGHT, WIDTH = 10, 24, 96, 128


def moment(time_s: float) -> np.ndarray:
    """A gray bump that moves by 40 pixels per second."""
    image = np.full((HEIGHT, WIDTH), 60.0)
    image[20:76] += 140 * np.clip(1 - np.abs(np.arange(WIDTH) - 25 - 30 * time_s) / 8, 0, 1)
    return image


def write(path: Path, codec: str, options: dict[str, str], first: str = "tff", *, is_woven: bool = True) -> Path:
    fields, later_rows = Graph(), int(first == "tff")
    source = fields.add_buffer(width=WIDTH, height=HEIGHT, format="yuv420p", time_base=Fraction(1, FPS))
    fields.link_nodes(
        source, fields.add("setfield", first if is_woven else "prog"), fields.add("buffersink")
    ).configure()
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for index in range(NUM_FRAMES):
            image = moment(index / FPS)
            if is_woven:
                image[later_rows::2] = moment((index + 0.5) / FPS)[later_rows::2]
            frame = av.VideoFrame.from_ndarray(np.repeat(image.astype(np.uint8)[..., None], 3, 2), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            fields.push(frame.reformat(format="yuv420p"))
            container.mux(stream.encode(fields.pull()))
        container.mux(stream.encode(None))
    return path


def read(path: Path, sampling: Sampling) -> tuple[list[int], float, list[str]]:
    """Return indices, the largest mean distance from the first moment, and warnings."""
    with FrameReader(path, sampling) as reader:
        frames = list(reader)
    assert [frame.time_s for frame in frames] == pytest.approx([frame.frame_index / FPS for frame in frames])
    errors = [np.abs(frame.image[..., 1] - moment(frame.frame_index / FPS)).mean() for frame in frames]
    return [frame.frame_index for frame in frames], max(errors), reader.warnings


@pytest.mark.parametrize("first", ["tff", "bff"])
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"x264-params": "interlaced=1:bframes=2:crf=8"}),
        ("a.mpg", "mpeg2video", {"flags": "+ildct+ilme", "b": "8000000"}),
    ],
)
def test_flagged_frames_are_deinterlaced(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], first: str
) -> None:
    path = write(tmp_path / name, codec, options, first)
    indices, error, warnings = read(path, Sampling())
    assert indices == list(range(NUM_FRAMES))
    assert error < 0.4  # woven .92, the second moment 1.83
    assert warnings == ["24 frames are interlaced; the first of their two moments is used."]
    assert read(path, Sampling(start_s=1, max_frames=3))[0] == [10, 11, 12]


def test_combs_without_a_flag_are_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", "libx264", {"crf": "8"})
    assert any("interlaced without saying so" in text for text in read(path, Sampling())[2])
    assert not read(write(tmp_path / "b.mkv", "libx264", {"crf": "8"}, is_woven=False), Sampling())[2]
