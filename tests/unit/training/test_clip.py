"""The clip record and its layout on disk."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from human3r.errors import FormatError
from human3r.training.clip import (
    DEPTH_FAR_M,
    DEPTH_NEAR_M,
    ClipPeople,
    SyntheticClip,
    clip_folders,
    decode_depth,
    encode_depth,
    read_clip,
    write_clip,
)

NUM_FRAMES, NUM_PEOPLE, HEIGHT, WIDTH = 3, 2, 16, 24


def rigid(rotvec: list[float], translation: list[float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(rotvec).as_matrix()
    matrix[:3, 3] = translation
    return matrix


@pytest.fixture
def clip() -> SyntheticClip:
    rng = np.random.default_rng(0)
    shape = (NUM_FRAMES, NUM_PEOPLE)
    people = ClipPeople(
        global_orient=rng.normal(size=(*shape, 3)),
        transl=rng.normal(size=(*shape, 3)),
        body_pose=rng.normal(size=(*shape, 21, 3)),
        left_hand_pose=np.zeros((*shape, 15, 3)),
        right_hand_pose=np.zeros((*shape, 15, 3)),
        jaw_pose=np.zeros((*shape, 3)),
        betas=rng.normal(size=(NUM_PEOPLE, 10)),
        expression=np.zeros((*shape, 10)),
        joints_world=rng.normal(size=(*shape, 55, 3)),
        joints_uv_px=rng.normal(size=(*shape, 55, 2)),
        is_joint_visible=rng.random((*shape, 55)) > 0.5,
        visible_fraction=rng.random(shape),
    )
    depth = rng.uniform(0.5, 40, (NUM_FRAMES, HEIGHT, WIDTH)).astype(np.float32)
    depth[:, :2] = 0
    return SyntheticClip(
        image=np.full((NUM_FRAMES, HEIGHT, WIDTH, 3), 128, np.uint8),
        depth=depth,
        person_index=rng.integers(0, 3, (NUM_FRAMES, HEIGHT, WIDTH)).astype(np.uint8),
        K=np.repeat(np.diag([20.0, 20.0, 1.0])[None], NUM_FRAMES, 0),
        T_world_camera=np.stack([np.eye(4), rigid([0, 0.2, 0], [1, 0, 0]), rigid([0.1, 0.4, 0], [1, 0.3, 0.2])]),
        T_gravity_world=rigid([np.pi, 0, 0], [0, 1.6, 0]),
        time_s=np.array([0.0, 0.2, 0.4]),
        people=people,
        seed=7,
        split="train",
        scene="room",
        is_static_camera=False,
    )


def test_depth_codes_keep_seven_hundredths_of_a_per_mille_over_the_whole_range():
    depth = np.geomspace(DEPTH_NEAR_M, DEPTH_FAR_M, 5000)
    assert np.abs(decode_depth(encode_depth(depth)) / depth - 1).max() < 7e-5


def test_depth_out_of_range_is_not_surface():
    assert (decode_depth(encode_depth(np.array([0.0, 0.01, 1000.0]))) == 0).all()


def test_a_written_clip_reads_back(tmp_path, clip):
    write_clip(tmp_path / "000007", clip)
    again = read_clip(tmp_path / "000007")
    assert np.array_equal(again.person_index, clip.person_index)
    assert np.array_equal(again.depth == 0, clip.depth == 0)
    np.testing.assert_allclose(again.depth, clip.depth, rtol=1e-4)
    np.testing.assert_allclose(again.T_world_camera, clip.T_world_camera)
    np.testing.assert_allclose(again.people.joints_world, clip.people.joints_world)
    assert np.abs(again.image.astype(int) - clip.image).max() <= 2
    assert (again.seed, again.split, again.scene, again.is_static_camera) == (7, "train", "room", False)


def test_frames_that_are_chosen_move_the_world_to_the_first_of_them(tmp_path, clip):
    write_clip(tmp_path / "c", clip)
    part = read_clip(tmp_path / "c", frames=(1, 2))
    T_new_old = np.linalg.inv(clip.T_world_camera[1])
    np.testing.assert_allclose(part.T_world_camera[0], np.eye(4), atol=1e-12)
    np.testing.assert_allclose(part.T_world_camera[1], T_new_old @ clip.T_world_camera[2], atol=1e-12)
    expected = clip.people.joints_world[1:] @ T_new_old[:3, :3].T + T_new_old[:3, 3]
    np.testing.assert_allclose(part.people.joints_world, expected, atol=1e-9)
    np.testing.assert_allclose(
        part.T_gravity_world @ part.T_world_camera[1], clip.T_gravity_world @ clip.T_world_camera[2]
    )
    assert part.time_s[0] == 0


def test_moved_people_keep_the_offset_of_their_pelvis(tmp_path, clip):
    write_clip(tmp_path / "c", clip)
    part = read_clip(tmp_path / "c", frames=(1, 2))
    before = clip.people.joints_world[1:, :, 0] - clip.people.transl[1:]
    np.testing.assert_allclose(part.people.joints_world[:, :, 0] - part.people.transl, before, atol=1e-9)


def test_only_finished_clips_are_listed(tmp_path, clip):
    write_clip(tmp_path / "b", clip)
    write_clip(tmp_path / "a", clip)
    (tmp_path / ".partial_x").mkdir()
    (tmp_path / ".partial_x" / "clip.npz").write_bytes(b"")
    assert [path.name for path in clip_folders(tmp_path)] == ["a", "b"]


def test_a_damaged_clip_is_refused_by_name(tmp_path, clip):
    write_clip(tmp_path / "c", clip)
    (tmp_path / "c" / "depth_01.png").unlink()
    with pytest.raises(FormatError, match="not a clip"):
        read_clip(tmp_path / "c")
