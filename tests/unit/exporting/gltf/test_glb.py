"""The animated GLB against the meshes of the reconstruction, through an independent glTF player."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gltf_player import GltfPlayer
from synthetic_scene import stand_in_body, walking_reconstruction

from human3r.bodies import SmplxBody, load_body
from human3r.cli import main
from human3r.exporting.gltf.glb import glb_bytes
from human3r.results.posing import posed_vertices, rows_of_frame
from human3r.results.reconstruction import Reconstruction

TOLERANCE_M = 1e-3
"""What the format promises; bones are exact, morph targets stop at 0.2 mm."""


def worst_vertex_error(player: GltfPlayer, reconstruction: Reconstruction, body: SmplxBody, frame: int) -> float:
    rows = rows_of_frame(reconstruction, frame)
    T = reconstruction.T_gravity_world.astype(float)
    expected = posed_vertices(reconstruction, body, rows) @ T[:3, :3].T + T[:3, 3]
    time_s = reconstruction.time_s[frame] - reconstruction.time_s[0]
    errors = [
        np.linalg.norm(player.skinned_vertices(f"person_{track}_mesh", time_s) - vertices, axis=1).max()
        for track, vertices in zip(reconstruction.person_track[rows], expected, strict=True)
    ]
    return max(errors)


@pytest.mark.parametrize("frame", [0, 7, 11])
def test_skinned_vertices_equal_the_posed_mesh(walk: Reconstruction, small_body: SmplxBody, frame: int) -> None:
    player = GltfPlayer(glb_bytes(walk, small_body))
    assert worst_vertex_error(player, walk, small_body, frame) < TOLERANCE_M


@pytest.mark.parametrize("frame", [0, 7, 11])
def test_pose_correctives_become_morph_targets(frame: int) -> None:
    body = stand_in_body(with_pose_directions=True)
    reconstruction = walking_reconstruction(body)
    player = GltfPlayer(glb_bytes(reconstruction, body))
    assert worst_vertex_error(player, reconstruction, body, frame) < TOLERANCE_M


def test_morph_weights_stay_between_zero_and_one(walk: Reconstruction, small_body: SmplxBody) -> None:
    player = GltfPlayer(glb_bytes(walk, small_body))
    animation = player.document["animations"][0]
    outputs = [
        player.array(animation["samplers"][channel["sampler"]]["output"])
        for channel in animation["channels"]
        if channel["target"]["path"] == "weights"
    ]
    assert outputs
    assert all(values.min() >= 0 and values.max() <= 1 for values in outputs)


@pytest.mark.parametrize("frame", [0, 9])
def test_the_embedded_body_keeps_within_a_millimeter(frame: int) -> None:
    body = load_body()
    reconstruction = walking_reconstruction(body, num_frames=10)
    player = GltfPlayer(glb_bytes(reconstruction, body))
    assert worst_vertex_error(player, reconstruction, body, frame) < TOLERANCE_M


def test_a_shape_that_changes_from_frame_to_frame_is_followed() -> None:
    body = load_body()
    reconstruction = walking_reconstruction(body, num_frames=10)
    drift = 0.3 * np.sin(np.arange(len(reconstruction.betas)))[:, None] * np.eye(10)[[0, 3]].sum(axis=0)
    changing = replace(reconstruction, betas=reconstruction.betas + drift)
    player = GltfPlayer(glb_bytes(changing, body))
    assert max(worst_vertex_error(player, changing, body, frame) for frame in (0, 4, 9)) < TOLERANCE_M


def test_an_absent_person_has_no_size(walk: Reconstruction, small_body: SmplxBody) -> None:
    player = GltfPlayer(glb_bytes(walk, small_body))
    extent = np.ptp(player.skinned_vertices("person_2_mesh", walk.time_s[4]), axis=0).max()
    assert extent == pytest.approx(0, abs=1e-6)
    assert np.ptp(player.skinned_vertices("person_2_mesh", walk.time_s[6]), axis=0).max() > 1


def test_people_stand_upright_on_the_floor(walk: Reconstruction, small_body: SmplxBody) -> None:
    player = GltfPlayer(glb_bytes(walk, small_body))
    heights = player.skinned_vertices("person_1_mesh", 0.0)[:, 1]
    assert -0.2 < heights.min() < 0.2
    assert 1.4 < heights.max() < 1.9


def test_the_camera_follows_its_path_looking_along_minus_z(walk: Reconstruction, small_body: SmplxBody) -> None:
    player = GltfPlayer(glb_bytes(walk, small_body))
    frame = 7
    matrix = player.world_matrices(player.state(walk.time_s[frame]))[player.node("camera")]
    expected = walk.T_gravity_world @ walk.T_world_camera[frame] @ np.diag([1, -1, -1, 1])
    np.testing.assert_allclose(matrix, expected, atol=1e-5)


def test_points_keep_position_and_color(walk: Reconstruction, small_body: SmplxBody) -> None:
    player = GltfPlayer(glb_bytes(walk, small_body))
    index = player.node("scene_points")
    primitive = player.document["meshes"][player.document["nodes"][index]["mesh"]]["primitives"][0]
    matrix = player.world_matrices(player.state(0.0))[index]
    points = player.array(primitive["attributes"]["POSITION"]) @ matrix[:3, :3].T + matrix[:3, 3]
    T = walk.T_gravity_world
    np.testing.assert_allclose(points, walk.points_world @ T[:3, :3].T + T[:3, 3], atol=1e-5)
    linear = player.array(primitive["attributes"]["COLOR_0"])[:, :3] / 65535
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_array_equal(np.round(srgb * 255), walk.points_color)


def test_at_most_four_influences_that_sum_to_one(walk: Reconstruction, small_body: SmplxBody) -> None:
    player = GltfPlayer(glb_bytes(walk, small_body))
    attributes = player.document["meshes"][0]["primitives"][0]["attributes"]
    assert "JOINTS_1" not in attributes
    weights = player.array(attributes["WEIGHTS_0"]).astype(int)  # sixteen bits, normalized
    np.testing.assert_array_equal(weights.sum(axis=1), 65535)


def test_rotations_do_not_jump_in_sign(walk: Reconstruction, small_body: SmplxBody) -> None:
    player = GltfPlayer(glb_bytes(walk, small_body))
    animation = player.document["animations"][0]
    for channel in animation["channels"]:
        if channel["target"]["path"] == "rotation":
            quats = player.array(animation["samplers"][channel["sampler"]]["output"])
            assert (quats[1:] * quats[:-1]).sum(axis=1).min() > 0


def test_a_clip_without_people_is_still_a_scene(nobody: Reconstruction, small_body: SmplxBody) -> None:
    player = GltfPlayer(glb_bytes(nobody, small_body))
    assert "skins" not in player.document
    assert player.node("camera_path")


def test_a_single_frame_is_a_valid_scene(small_body: SmplxBody) -> None:
    reconstruction = walking_reconstruction(small_body, num_frames=1)
    player = GltfPlayer(glb_bytes(reconstruction, small_body))
    assert worst_vertex_error(player, reconstruction, small_body, 0) < TOLERANCE_M


def test_one_person_alone(walk: Reconstruction, tmp_path: Path) -> None:
    replace(walk, meta={}).save(tmp_path / "clip.npz")
    output = tmp_path / "second.glb"
    assert main(["export", str(tmp_path), "-o", str(output), "--person", "2"]) == 2, "no such file"
    assert main(["export", str(tmp_path / "clip.npz"), "-o", str(output), "--person", "7"]) == 2, "no such person"
    assert not output.exists()
    assert main(["export", str(tmp_path / "clip.npz"), "-o", str(output), "--person", "2"]) == 0
    names = {node.get("name") for node in GltfPlayer(output.read_bytes()).document["nodes"]}
    assert {"person_2", "camera"} < names
    assert not {"person_1", "scene_points"} & names
    alone = walk.only(2)
    assert len(alone.person_frame) == (walk.person_track == 2).sum() > 0
