"""The MP4 writer: round trip, odd sizes, whole or absent."""

from __future__ import annotations

import numpy as np
import pytest

from human3r.video.reader import FrameReader
from human3r.video.writer import VideoWriter


def test_written_frames_and_times_come_back(tmp_path):
    path = tmp_path / "out.mp4"
    with VideoWriter(path, fps=12.5) as writer:
        for level in (10, 120, 240):
            writer.append(np.full((33, 47, 3), level, np.uint8))
    with FrameReader(path) as reader:
        frames = list(reader)
    assert reader.info.image_size == (32, 46)
    assert np.abs([int(frame.image.mean()) for frame in frames] - np.array([10, 120, 240])).max() <= 4
    assert np.allclose([frame.time_s for frame in frames], [0, 0.08, 0.16], atol=1e-4)


def test_uneven_times_are_kept(tmp_path):
    path = tmp_path / "out.mp4"
    with VideoWriter(path, fps=10) as writer:
        for time_s in (0.0, 0.5, 0.6):
            writer.append(np.zeros((16, 16, 3), np.uint8), time_s)
    with FrameReader(path) as reader:
        assert np.allclose([frame.time_s for frame in reader], [0.0, 0.5, 0.6], atol=1e-3)


def test_an_error_half_way_leaves_no_file(tmp_path):
    def fail_half_way():
        with VideoWriter(tmp_path / "out.mp4", fps=10) as writer:
            writer.append(np.zeros((16, 16, 3), np.uint8))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []


def test_no_frames_means_no_file(tmp_path):
    with VideoWriter(tmp_path / "out.mp4", fps=10):
        pass
    assert list(tmp_path.iterdir()) == []
