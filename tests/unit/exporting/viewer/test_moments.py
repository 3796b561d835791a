"""The points of single frames: what is kept, and that it can be put back where it was."""

from __future__ import annotations

import gzip
import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree
from synthetic_scene import prediction_of

from human3r.exporting.viewer import moments as module
from human3r.exporting.viewer.moments import Moments, coarsened
from human3r.results.reconstruction import Reconstruction


def _write(
    walk: Reconstruction, path: Path, size: tuple[int, int], max_raw_bytes: int = 10**9, memory_bytes: int = 10**9
) -> tuple[dict, np.ndarray, np.ndarray]:
    kept = Moments(memory_bytes)
    for frame in range(walk.num_frames):
        kept.add(prediction_of(walk, frame, size))
    assert kept.write(path, walk, max_raw_bytes)
    return _read(path.read_bytes())


def _read(content: bytes) -> tuple[dict, np.ndarray, np.ndarray]:
    raw = gzip.decompress(content)
    assert raw[:4] == b"H3RM"
    (length,) = struct.unpack("<I", raw[4:8])
    head = json.loads(raw[8 : 8 + length])
    shape = (len(head["frames"]), head["height"], head["width"])
    count = int(np.prod(shape))
    assert (8 + length) % 4 == 0
    assert 8 + length + 5 * count == len(raw)
    depth = np.frombuffer(raw, "<u2", count, 8 + length).reshape(shape)
    return head, depth, np.frombuffer(raw, np.uint8, 3 * count, 8 + length + 2 * count).reshape(*shape, 3)


def _check_against_pointmap(walk: Reconstruction, head: dict, depth: np.ndarray) -> None:
    """Unproject a frame as the player does, and compare with the surface that it was taken from."""
    frame = 5
    prediction = prediction_of(walk, frame, (96, 128))
    x0, y0, x1, y1 = head["rect"]
    fx, fy, cx, cy = head["frames"][frame]["K"]
    T = np.array(head["frames"][frame]["T"]).reshape(3, 4)
    z = depth[frame] * head["depth_unit_m"]
    u = x0 + (np.arange(head["width"]) + 0.5) * (x1 - x0) / head["width"] - 0.5
    v = y0 + (np.arange(head["height"]) + 0.5) * (y1 - y0) / head["height"] - 0.5
    camera = np.stack([(u - cx) / fx * z, (v[:, None] - cy) / fy * z, z], axis=-1)
    world = (camera @ T[:, :3].T + T[:, 3])[z > 0]

    T_gravity_camera = walk.T_gravity_world @ walk.T_world_camera[frame]
    surface = prediction.pointmap_camera.numpy().reshape(-1, 3) @ T_gravity_camera[:3, :3].T + T_gravity_camera[:3, 3]
    distance, _ = cKDTree(surface).query(world)
    assert (z > 0).mean() > 0.3
    assert distance.max() < 0.005


def test_a_frame_unprojects_to_its_own_pointmap_in_the_upright_world(tmp_path: Path, walk: Reconstruction) -> None:
    head, depth, _ = _write(walk, tmp_path / "moments.bin", (96, 128))

    _check_against_pointmap(walk, head, depth)


def test_long_runs_need_bounded_memory_and_keep_every_frame_where_it_was(tmp_path: Path, walk: Reconstruction) -> None:
    fine, _, _ = _write(walk, tmp_path / "fine.bin", (96, 128))
    head, depth, _ = _write(walk, tmp_path / "moments.bin", (96, 128), memory_bytes=100_000)

    assert depth.size * 5 <= 100_000
    assert len(depth) == walk.num_frames
    assert head["height"] < fine["height"] / 2
    _check_against_pointmap(walk, head, depth)


def test_a_file_that_is_too_large_for_a_page_goes_in_coarser(tmp_path: Path, walk: Reconstruction) -> None:
    path = tmp_path / "moments.bin"
    _write(walk, path, (96, 128))
    limit = path.stat().st_size // 5

    fitting = coarsened(path.read_bytes(), limit)
    assert fitting is not None
    assert len(fitting) <= limit
    head, depth, _ = _read(fitting)
    _check_against_pointmap(walk, head, depth)
    assert coarsened(path.read_bytes(), 10**9) == path.read_bytes()
    assert coarsened(path.read_bytes(), 10) is None


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
    assert 0.8 * walk.image_size[1] < head["rect"][2] - head["rect"][0] < walk.image_size[1]


def test_a_stream_of_hours_has_no_moments(tmp_path: Path, walk: Reconstruction) -> None:
    kept = Moments(max_raw_bytes=walk.num_frames * 8 * 10 * 5 - 1)
    for frame in range(walk.num_frames):
        kept.add(prediction_of(walk, frame, (16, 20)))

    assert len(kept) == 0
    assert not kept.write(tmp_path / "moments.bin", walk)
    assert list(tmp_path.iterdir()) == []


def test_frames_of_shots_with_other_borders_are_on_the_grid_of_the_first(tmp_path: Path, walk: Reconstruction) -> None:
    kept, (_, width) = Moments(), walk.image_size
    for frame in range(walk.num_frames):
        whole = prediction_of(walk, frame, (96, 128))
        left = replace(
            whole,
            pointmap_camera=whole.pointmap_camera[:, :64],
            confidence=whole.confidence[:, :64],
            person_mask=whole.person_mask[:, :64],
            image=whole.image[:, :64],
            source_rect_px=(0.0, 0.0, width / 2, whole.source_rect_px[3]),
        )
        kept.add(left if frame == 5 else whole)
    assert kept.write(tmp_path / "moments.bin", walk)

    head, depth, _ = _read((tmp_path / "moments.bin").read_bytes())
    assert (depth[4, :, 66:] > 0).any()
    assert not (depth[5, :, 64:] > 0).any()
    _check_against_pointmap(walk, head, depth)


def test_missing_frames_give_no_file(tmp_path: Path, walk: Reconstruction) -> None:
    assert not Moments().write(tmp_path / "moments.bin", walk)
    assert not (tmp_path / "moments.bin").exists()
