"""The scene's surface in files of other tools."""

from __future__ import annotations

from pathlib import Path

import pytest
from gltf_player import GltfPlayer
from synthetic_scene import keyframe_of, slanted_plane, walking_reconstruction

from human3r.bodies import SmplxBody
from human3r.exporting import export
from human3r.exporting.gltf.glb import glb_bytes
from human3r.results.reconstruction import Reconstruction
from human3r.surface.keyframes_file import save_keyframes
from human3r.surface.meshing.sheets import build_surface


@pytest.fixture
def walk(small_body: SmplxBody) -> Reconstruction:
    return walking_reconstruction(small_body, num_frames=6)


def test_the_glb_has_the_surface_instead_of_points(walk: Reconstruction, small_body: SmplxBody) -> None:
    surface = build_surface(walk, [keyframe_of(walk, 0, slanted_plane(48, 64))])
    with_surface = GltfPlayer(glb_bytes(walk, small_body, surface))
    names = {node.get("name") for node in with_surface.document["nodes"]}
    assert "scene_0_0" in names
    assert "scene_points" not in names
    material = next(each for each in with_surface.document["materials"] if each["name"] == "scene_0_0")
    assert "KHR_materials_unlit" in material["extensions"]
    both = GltfPlayer(glb_bytes(walk, small_body, surface, with_points=True))
    assert "scene_points" in {node.get("name") for node in both.document["nodes"]}


def test_obj_names_its_materials_and_textures(walk: Reconstruction, small_body: SmplxBody, tmp_path: Path) -> None:
    save_keyframes(tmp_path / "surface.npz", [keyframe_of(walk, 0, slanted_plane(48, 64))], walk)
    export(walk, tmp_path / "out" / "room.obj", body=small_body, keyframes=tmp_path / "surface.npz")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"room.obj", "scene.mtl", "scene_0_0.jpg"}
    assert "map_Kd scene_0_0.jpg" in (tmp_path / "out" / "scene.mtl").read_text()
    assert "o scene_0_0\n" in (tmp_path / "out" / "room.obj").read_text()
