"""The points of single frames: what is kept, and that it can be put back where it was."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from synthetic_scene import prediction_of

from human3r.export import moments as module
from human3r.export.moments import Moments
from human3r.reconstruction import Reconstruction


def _write(
    walk: Reconstruction, path: Path, size: tuple[int, int], max_raw_bytes: int = 10**9
) -> tuple[dict, np.ndarray, np.ndarray]:
    kept = Moments()
    for frame in range(walk.num_frames):
        kept.add(prediction_of(walk, frame, size))
    assert kept.write(path, walk, max_raw_bytes)
    raw = gzip.decompress(path.read_bytes())
    assert raw[:4] == b"H3RM"
    (length,) = struct.unpack("<I", raw[4:8])
    head = json.loads(raw[8 : 8 + length])
    shape = (len(head["frames"]), head["height"], head["width"])
    count = int(np.prod(shape))
    assert (8 + length) % 4 == 0
    assert 8 + length + 5 * count == len(raw)
    depth = np.frombuffer(raw, "<u2", count, 8 + length).reshape(shape)
    return head, depth, np.frombuffer(raw, np.uint8, 3 * count, 8 + length + 2 * count).reshape(*shape, 3)


def test_a_frame_unprojects_to_its_own_pointmap_in_the_upright_world(tmp_path: Path, walk: Reconstruction) -> None:
    head, depth, _ = _write(walk, tmp_path / "moments.bin", (24, 32))
    frame, prediction = 5, prediction_of(walk, 5, (24, 32))
    x0, y0, x1, y1 = head["rect"]
    fx, fy, cx, cy = head["frames"][frame]["K"]
    T = np.array(head["frames"][frame]["T"]).reshape(3, 4)
    z = depth[frame] * head["depth_unit_m"]
    u = x0 + (np.arange(head["width"]) + 0.5) * (x1 - x0) / head["width"] - 0.5
    v = y0 + (np.arange(head["height"]) + 0.5) * (y1 - y0) / head["height"] - 0.5
    camera = np.stack([(u - cx) / fx * z, (v[:, None] - cy) / fy * z, z], axis=-1)

    expected = prediction.pointmap_camera.numpy() @ (walk.T_gravity_world @ walk.T_world_camera[frame])[:3, :3].T
    expected = expected + (walk.T_gravity_world @ walk.T_world_camera[frame])[:3, 3]
    is_kept = z > 0
    assert is_kept.mean() > 0.3
    np.testing.assert_allclose((camera @ T[:, :3].T + T[:, 3])[is_kept], expected[is_kept], atol=5e-3)


def test_a_frame_has_at_most_so_many_points(
    tmp_path: Path, walk: Reconstruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_POINTS_PER_FRAME", 100)
    head, _, color = _write(walk, tmp_path / "moments.bin", (24, 32))

    assert head["height"] * head["width"] <= 100
    assert color.shape == (walk.num_frames, head["height"], head["width"], 3)


def test_a_long_clip_gets_a_coarser_grid(tmp_path: Path, walk: Reconstruction) -> None:
    head, depth, _ = _write(walk, tmp_path / "moments.bin", (25, 34), max_raw_bytes=10_000)

    assert depth.size * 5 <= 10_000
    assert 0.8 * walk.image_size[1] < head["rect"][2] < walk.image_size[1]


def test_frames_that_were_never_added_are_no_file(tmp_path: Path, walk: Reconstruction) -> None:
    assert not Moments().write(tmp_path / "moments.bin", walk)
    assert not (tmp_path / "moments.bin").exists()
