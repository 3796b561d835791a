"""Rendered clips in BEDLAM's layout: the same bodies in front of the same cameras."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from human3r.bodies import SmplxBody
from human3r.errors import InputError
from human3r.geometry.rigid import rotation_from_axis_angle
from human3r.records import BodyParameters
from human3r.training.clip import ClipPeople, SyntheticClip, write_clip
from human3r.training.paper.data.dataset import slots_of
from human3r.training.paper.data.layout import list_sequences, read_frame
from human3r.training.paper.data.people_truth import pose_truth
from human3r.training.paper.data.rendered import convert_rendered, labeled_frames

FRAMES, PEOPLE, SIZE = 3, 2, (16, 24)


@pytest.fixture(scope="module")
def clip(body: SmplxBody) -> SyntheticClip:
    """Two people in a world that three turned cameras look at; the second one is hidden in the last frame."""
    rng = np.random.default_rng(0)
    shape = (FRAMES, PEOPLE)
    values = {
        "global_orient": rng.normal(size=(*shape, 3)),
        "transl": rng.normal([0.0, 0.0, 6.0], 1.0, (*shape, 3)),
        "body_pose": 0.3 * rng.normal(size=(*shape, 21, 3)),
        "left_hand_pose": np.zeros((*shape, 15, 3)),
        "right_hand_pose": np.zeros((*shape, 15, 3)),
        "jaw_pose": np.zeros((*shape, 3)),
    }
    betas = rng.normal(size=(PEOPLE, 10))
    tensors = {name: torch.from_numpy(array).float().flatten(0, 1) for name, array in values.items()}
    zeros = torch.zeros(FRAMES * PEOPLE, 3)
    parameters = BodyParameters(
        **tensors, leye_pose=zeros, reye_pose=zeros, betas=torch.from_numpy(betas).float().repeat(FRAMES, 1),
        expression=torch.zeros(FRAMES * PEOPLE, 10),
    )  # fmt: skip
    people = ClipPeople(
        **values,
        betas=betas,
        expression=np.zeros((*shape, 10)),
        joints_world=body.joints(parameters).numpy().astype(np.float64).reshape(*shape, 55, 3),
        joints_uv_px=np.zeros((*shape, 55, 2)),
        is_joint_visible=np.ones((*shape, 55), bool),
        visible_fraction=np.array([[1.0, 0.5], [1.0, 0.5], [1.0, 0.0]]),
    )
    T_world_camera = np.tile(np.eye(4), (FRAMES, 1, 1))
    T_world_camera[1:, :3, :3] = Rotation.from_rotvec([[0, 0.2, 0], [0.1, -0.3, 0.1]]).as_matrix()
    T_world_camera[1:, :3, 3] = [[0.5, 0, 0.1], [1, 0.3, 0.2]]
    return SyntheticClip(
        image=rng.integers(0, 255, (FRAMES, *SIZE, 3)).astype(np.uint8),
        depth=np.full((FRAMES, *SIZE), 3.0, np.float32),
        person_index=np.ones((FRAMES, *SIZE), np.uint8),
        K=np.tile(np.array([[20.0, 0, 12], [0, 20, 8], [0, 0, 1]]), (FRAMES, 1, 1)),
        T_world_camera=T_world_camera,
        T_gravity_world=np.eye(4),
        time_s=np.arange(FRAMES) * 0.2,
        people=people,
        seed=1,
        split="train",
        scene="room",
        is_static_camera=False,
    )


def test_bodies_stand_in_the_camera_frame_where_the_clip_has_them(clip: SyntheticClip, body: SmplxBody):
    for row, frame in enumerate(labeled_frames(clip)):
        slots = slots_of(frame.people, len(frame.people)).map(lambda values: values[None, None])
        joints = pose_truth(body, slots, slots.is_present).joints[:, :55].double().numpy()
        T_camera_world = np.linalg.inv(clip.T_world_camera[row])
        expected = clip.people.joints_world[row] @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
        order = np.argsort(frame.people.transl[:, 2])
        assert np.abs(joints - expected[: len(order)][order]).max() < 2e-5
    assert len(frame.people) == 1


def test_clips_become_sequences_once(clip: SyntheticClip, tmp_path: Path):
    write_clip(tmp_path / "clips" / "train" / "000001", clip)
    with pytest.raises(InputError, match="no rendered clips"):
        list(convert_rendered(tmp_path / "clips", tmp_path / "out"))
    write_clip(tmp_path / "clips" / "val" / "000002", replace(clip, split="val"))

    assert list(convert_rendered(tmp_path / "clips", tmp_path / "out")) == ["synthetic_000001", "synthetic_000002"]
    assert list(convert_rendered(tmp_path / "clips", tmp_path / "out")) == []
    assert list_sequences(tmp_path / "out", "Training") == {"synthetic_000001": ["0000", "0001", "0002"]}
    frame = read_frame(tmp_path / "out" / "Test" / "synthetic_000002", "0001")
    assert np.allclose(frame.T_world_camera, clip.T_world_camera[1])
    assert frame.person_mask.all()
    assert np.allclose(frame.depth, 3.0, rtol=1e-4)


def test_slots_hold_the_nearest_people_first_and_no_more_than_fit(clip: SyntheticClip):
    people = next(labeled_frames(clip)).people

    one = slots_of(people, 1)

    nearest = int(np.argmin(people.transl[:, 2]))
    assert torch.allclose(one.transl[0], torch.from_numpy(people.transl[nearest]).float())
    assert torch.allclose(
        one.joint_rotations[0, 0], rotation_from_axis_angle(torch.from_numpy(people.pose[nearest, 0]).float())
    )
    assert slots_of(people, 4).is_present.tolist() == [True, True, False, False]
