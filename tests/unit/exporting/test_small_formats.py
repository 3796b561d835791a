"""PLY, cameras, AMASS, BVH: read back with other tools' conventions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from human3r.bodies import SmplxBody
from human3r.exporting.amass import write_amass
from human3r.exporting.bvh import write_bvh
from human3r.exporting.cameras import write_cameras_json, write_colmap, write_tum
from human3r.exporting.gltf.static_glb import static_glb_bytes
from human3r.exporting.scene_points import write_ply
from human3r.records import BodyParameters
from human3r.results.reconstruction import Reconstruction
from human3r.skeleton import JOINT_NAMES


def test_ply_holds_points_and_colors(tmp_path: Path, walk: Reconstruction) -> None:
    write_ply(walk, tmp_path / "points.ply")
    cloud = trimesh.load(tmp_path / "points.ply")
    np.testing.assert_allclose(cloud.vertices, walk.points_world, atol=1e-6)
    np.testing.assert_array_equal(cloud.colors[:, :3], walk.points_color)


def test_ply_without_points_is_a_valid_empty_file(tmp_path: Path, nobody: Reconstruction) -> None:
    write_ply(nobody, tmp_path / "points.ply")
    assert b"element vertex 0\n" in (tmp_path / "points.ply").read_bytes()


def test_cameras_json_gives_k_and_pose_of_every_frame(tmp_path: Path, walk: Reconstruction) -> None:
    write_cameras_json(walk, tmp_path / "cameras.json")
    document = json.loads((tmp_path / "cameras.json").read_text())
    frames = document["frames"]
    np.testing.assert_allclose([frame["K"] for frame in frames], walk.K)
    np.testing.assert_allclose([frame["T_world_camera"] for frame in frames], walk.T_world_camera)
    assert document["image_size"] == {"height": 240, "width": 320}


def test_tum_lines_are_time_position_and_quaternion(tmp_path: Path, walk: Reconstruction) -> None:
    write_tum(walk, tmp_path / "path.txt")
    rows = np.loadtxt(tmp_path / "path.txt")
    np.testing.assert_allclose(rows[:, 0], walk.time_s, atol=1e-6)
    np.testing.assert_allclose(rows[:, 1:4], walk.T_world_camera[:, :3, 3], atol=1e-6)
    np.testing.assert_allclose(Rotation.from_quat(rows[:, 4:]).as_matrix(), walk.T_world_camera[:, :3, :3], atol=1e-6)


def test_colmap_projects_points_to_the_same_pixels(tmp_path: Path, walk: Reconstruction) -> None:
    write_colmap(walk, tmp_path / "colmap")
    lens = (tmp_path / "colmap" / "cameras.txt").read_text().splitlines()[5].split()
    image = (tmp_path / "colmap" / "images.txt").read_text().splitlines()[1 + 2 * 4].split()
    assert (lens[1], image[0]) == ("PINHOLE", "5")
    fx, fy, cx, cy = (float(value) for value in lens[4:])
    w, x, y, z, *translation = (float(value) for value in image[1:8])
    joint = walk.joints_world[np.flatnonzero(walk.person_frame == 4)[0], 3]
    camera = Rotation.from_quat((x, y, z, w)).as_matrix() @ joint + translation
    uv = np.array([fx * camera[0] / camera[2] + cx, fy * camera[1] / camera[2] + cy]) - 0.5
    expected = walk.joints_image_px[np.flatnonzero(walk.person_frame == 4)[0], 3]
    np.testing.assert_allclose(uv, expected, atol=0.01)
    assert len((tmp_path / "colmap" / "points3D.txt").read_text().splitlines()) == 1 + len(walk.points_world)


@pytest.fixture
def amass(tmp_path: Path, walk: Reconstruction, small_body: SmplxBody) -> dict[str, np.ndarray]:
    paths = write_amass(walk, tmp_path, small_body)
    assert [path.name for path in paths] == ["smplx_person_1.npz", "smplx_person_2.npz"]
    with np.load(paths[1], allow_pickle=False) as archive:
        return dict(archive)


def test_amass_file_poses_the_same_joints_in_a_z_up_world(
    amass: dict[str, np.ndarray], walk: Reconstruction, small_body: SmplxBody
) -> None:
    poses = torch.from_numpy(amass["poses"])
    count = len(poses)
    parameters = BodyParameters(
        global_orient=poses[:, :3],
        transl=torch.from_numpy(amass["trans"]),
        body_pose=poses[:, 3:66].reshape(count, 21, 3),
        jaw_pose=poses[:, 66:69],
        leye_pose=poses[:, 69:72],
        reye_pose=poses[:, 72:75],
        left_hand_pose=poses[:, 75:120].reshape(count, 15, 3),
        right_hand_pose=poses[:, 120:].reshape(count, 15, 3),
        betas=torch.from_numpy(amass["betas"])[None].expand(count, -1),
        expression=torch.from_numpy(amass["expression"]),
    )
    joints = small_body.joints(parameters).numpy()[amass["observed"]]
    T = walk.T_gravity_world
    y_up = walk.joints_world[walk.person_track == 2] @ T[:3, :3].T + T[:3, 3]
    z_up = np.stack([y_up[..., 0], -y_up[..., 2], y_up[..., 1]], axis=-1)
    np.testing.assert_allclose(joints, z_up, atol=1e-4)


def test_amass_marks_the_frames_without_an_observation(amass: dict[str, np.ndarray]) -> None:
    assert amass["observed"].tolist() == [True] * 3 + [False] * 3 + [True] * 6
    np.testing.assert_array_equal(amass["poses"][3], amass["poses"][2])


def test_bvh_joints_stand_where_the_body_put_them(tmp_path: Path, walk: Reconstruction, small_body: SmplxBody) -> None:
    path = write_bvh(walk, tmp_path, small_body)[0]
    names, positions = play_bvh(path.read_text(), frame=7)
    row = np.flatnonzero((walk.person_frame == 7) & (walk.person_track == 1))[0]
    T = walk.T_gravity_world
    expected = (walk.joints_world[row] @ T[:3, :3].T + T[:3, 3]) * 100
    for name in ("left_wrist", "right_foot", "left_pinky3", "right_thumb2"):
        np.testing.assert_allclose(positions[names.index(name)], expected[JOINT_NAMES.index(name)], atol=0.05)
    assert len(names) == 22 + 30


def test_foot_contacts_of_every_bvh_row_are_beside_it(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody
) -> None:
    contact = np.linspace(0, 1, 2 * len(walk.person_frame), dtype=np.float32).reshape(-1, 2)
    path = write_bvh(replace(walk, foot_contact=contact), tmp_path, small_body)[0]
    document = json.loads(path.with_suffix(".contacts.json").read_text())
    (frames,) = (line for line in path.read_text().splitlines() if line.startswith("Frames:"))
    assert document["columns"] == ["left_foot", "right_foot"]
    assert len(document["foot_contact"]) == int(frames.split()[1])
    row = np.flatnonzero((walk.person_frame == 7) & (walk.person_track == 1))[0]
    np.testing.assert_allclose(document["foot_contact"][7], contact[row], atol=1e-3)


def play_bvh(text: str, frame: int) -> tuple[list[str], np.ndarray]:
    """Forward kinematics by the book: offsets and Z X Y angles down the tree."""
    hierarchy, motion = text.split("MOTION")
    values = [float(value) for value in motion.strip().splitlines()[2 + frame].split()]
    names, positions, stack = [], [], []
    in_end = False
    for words in (line.split() for line in hierarchy.splitlines()):
        if words[:1] in (["ROOT"], ["JOINT"]):
            names.append(words[1])
        elif words[:1] == ["End"]:
            in_end = True
        elif words[:1] == ["}"]:
            if not in_end:
                stack.pop()
            in_end = False
        elif words[:1] == ["OFFSET"] and not in_end:
            offset = np.array([float(word) for word in words[1:]])
        elif words[:1] == ["CHANNELS"]:
            position = [values.pop(0) for _ in range(3)] if words[1] == "6" else None
            angles = [values.pop(0) for _ in range(3)]
            R_parent, p_parent = stack[-1] if stack else (np.eye(3), np.zeros(3))
            place = np.array(position) if position else p_parent + R_parent @ offset
            R = R_parent @ Rotation.from_euler("ZXY", angles, degrees=True).as_matrix()
            stack.append((R, place))
            positions.append(place)
    return names, np.array(positions)


def test_static_glb_has_people_points_and_path(walk: Reconstruction, small_body: SmplxBody, tmp_path: Path) -> None:
    path = tmp_path / "scene_static.glb"
    path.write_bytes(static_glb_bytes(walk, small_body))
    scene = trimesh.load(path)
    kinds = {type(geometry).__name__ for geometry in scene.geometry.values()}
    assert kinds == {"Trimesh", "PointCloud", "Path3D"}
    heights = scene.bounds[:, 1]
    assert -0.5 < heights[0] < 0.3


def test_static_glb_of_an_empty_clip_still_loads(nobody: Reconstruction, small_body: SmplxBody, tmp_path: Path) -> None:
    path = tmp_path / "scene_static.glb"
    path.write_bytes(static_glb_bytes(nobody, small_body))
    assert trimesh.load(path).geometry
