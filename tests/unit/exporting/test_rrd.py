"""``scene.rrd`` read back with rerun's own library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_scene import keyframe_of, slanted_plane

from human3r.bodies import SmplxBody
from human3r.exporting.rrd import write_rrd
from human3r.exporting.source import ExportSource
from human3r.results.reconstruction import Reconstruction
from human3r.surface.meshing.sheets import LazySurface
from human3r.video.writer import VideoWriter

rerun = pytest.importorskip("rerun", reason="rerun-sdk is not installed")


def test_people_camera_surface_and_pictures_are_there(
    walk: Reconstruction, small_body: SmplxBody, tmp_path: Path
) -> None:
    with VideoWriter(tmp_path / "clip.mp4", walk.fps) as video:
        for index in range(walk.num_frames):
            video.append(np.full((*walk.image_size, 3), 10 * index, np.uint8))
    surface = LazySurface(walk, [keyframe_of(walk, 0, slanted_plane(48, 64))])
    path = tmp_path / "scene.rrd"
    write_rrd(ExportSource(walk, small_body, tmp_path / "clip.mp4", surface=surface), path)
    content = path.read_bytes()
    assert content.startswith(b"RRF2")
    for name in ("/world/person_1", "/world/person_2", "/world/camera", "/scene/scene_0_0"):
        assert name.encode() in content
    assert not list(tmp_path.glob(".scene*"))
