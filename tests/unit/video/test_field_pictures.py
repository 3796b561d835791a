"""Camcorders code each field of an interlaced frame as a picture of its own."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from field_pictures import field_pictures

from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling

LEVELS = [16 + 10 * index for index in range(20)]


def write_stream(path: Path, *, is_stamped: bool) -> Path:
    """Write 25 frames per second, with a packet for each field or, as in AVCHD, with stamps of the first ones only."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 32, "yuv420p"
        for index, (top, bottom) in enumerate(field_pictures(LEVELS)):
            for number, content in enumerate((top, bottom) if is_stamped else (top + bottom,)):
                packet = av.Packet(content)
                packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 50), number == 0
                packet.pts = packet.dts = 2 * index + number
                container.mux_one(packet)
    return path


@pytest.mark.parametrize("name", ["fields.ts", "fields.m2ts", "raw.h264"])
@pytest.mark.parametrize("is_stamped", [True, False])
def test_two_fields_are_one_frame(tmp_path: Path, name: str, is_stamped: bool) -> None:
    path = write_stream(tmp_path / name, is_stamped=is_stamped)
    with FrameReader(path, Sampling(fps=12.5)) as reader:
        frames = list(reader)
    assert (reader.info.num_frames, reader.info.fps) == (20, pytest.approx(25))
    assert [frame.frame_index for frame in frames] == list(range(0, 20, 2))
    shown = np.array([frame.image[0, 0, 0] for frame in frames], float) * 219 / 255 + 16
    assert shown == pytest.approx(LEVELS[::2], abs=2)
    assert reader.warnings == ["20 frames are interlaced; the first of their two moments is used."]
