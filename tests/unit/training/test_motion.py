from __future__ import annotations

import json

import numpy as np
import pytest

from human3r.errors import AssetMissingError, FormatError
from human3r.skeleton import JOINT_NAMES
from human3r.training.motion import STANDARD_REST_JOINTS, load_motions
from human3r.training.motion.bvh import read_bvh
from human3r.training.motion.retarget import minimal_rotation
from tests.reference_kinematics import joint_by_joint

LEFT_ELBOW, LEFT_WRIST, LEFT_SHOULDER = (JOINT_NAMES.index(f"left_{part}") for part in ("elbow", "wrist", "shoulder"))
LEFT_HIP, LEFT_KNEE, LEFT_ANKLE = (JOINT_NAMES.index(f"left_{part}") for part in ("hip", "knee", "ankle"))

_LIMB = """JOINT {side}UpLeg {{ OFFSET {x} -1 0 CHANNELS 3 Zrotation Yrotation Xrotation
 JOINT {side}Leg {{ OFFSET {x} -7 0 CHANNELS 3 Zrotation Yrotation Xrotation
  JOINT {side}Foot {{ OFFSET 0 -7 0 CHANNELS 3 Zrotation Yrotation Xrotation End Site {{ OFFSET 0 0 2 }} }} }} }}
"""
_ARM = """JOINT {side}Arm {{ OFFSET {x} 3 0 CHANNELS 3 Zrotation Yrotation Xrotation
 JOINT {side}ForeArm {{ OFFSET {reach} 0 0 CHANNELS 3 Zrotation Yrotation Xrotation
  End Site {{ OFFSET {reach} 0 0 }} }} }}
"""


def _bvh_text(frames: list[list[float]]) -> str:
    limbs = _LIMB.format(side="Left", x=1) + _LIMB.format(side="Right", x=-1)
    arms = _ARM.format(side="Left", x=2, reach=5) + _ARM.format(side="Right", x=-2, reach=-5)
    head = "JOINT Head { OFFSET 0 6 0 CHANNELS 3 Zrotation Yrotation Xrotation End Site { OFFSET 0 2 0 } }\n"
    chest = "JOINT Spine1 { OFFSET 0 2 0 CHANNELS 3 Zrotation Yrotation Xrotation\n" + head + arms + "}\n"
    root = "ROOT Hips { OFFSET 0 0 0 CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation\n"
    table = "\n".join(" ".join(map(str, frame)) for frame in frames)
    return f"HIERARCHY\n{root}{limbs}{chest}}}\nMOTION\nFrames: {len(frames)}\nFrame Time: 0.04\n{table}\n"


def _bvh_frame(**degrees: tuple[float, float, float]) -> list[float]:
    order = ["Hips", "LeftUpLeg", "LeftLeg", "LeftFoot", "RightUpLeg", "RightLeg", "RightFoot", "Spine1", "Head"]
    order += ["LeftArm", "LeftForeArm", "RightArm", "RightForeArm"]
    values = [0.0, 15.0, 0.0]
    for name in order:
        values += degrees.get(name, (0.0, 0.0, 0.0))
    return values


def test_a_bvh_knee_bent_by_ninety_degrees_folds_the_shin_backwards(tmp_path):
    (tmp_path / "squat.bvh").write_text(_bvh_text([_bvh_frame(LeftLeg=(0.0, 0.0, 90.0))]))

    motion = load_motions(tmp_path)[0]

    _, joints = joint_by_joint(motion.joint_rotations.astype(np.float64), STANDARD_REST_JOINTS)
    shin = joints[0, LEFT_ANKLE] - joints[0, LEFT_KNEE]
    np.testing.assert_allclose(shin / np.linalg.norm(shin), [0.0, 0.0, -1.0], atol=1e-6)
    assert motion.fps == pytest.approx(25.0)


def test_limbs_point_where_the_source_limbs_point_whatever_the_rest_pose(tmp_path):
    (tmp_path / "arm.bvh").write_text(_bvh_text([_bvh_frame(LeftArm=(-60.0, 0.0, 0.0))]))

    motion = load_motions(tmp_path)[0]

    _, joints = joint_by_joint(motion.joint_rotations.astype(np.float64), STANDARD_REST_JOINTS)
    arm = joints[0, LEFT_ELBOW] - joints[0, LEFT_SHOULDER]
    expected = [np.cos(np.deg2rad(60)), -np.sin(np.deg2rad(60)), 0.0]
    np.testing.assert_allclose(arm / np.linalg.norm(arm), expected, atol=1e-6)
    thigh = joints[0, LEFT_KNEE] - joints[0, LEFT_HIP]
    np.testing.assert_allclose(thigh / np.linalg.norm(thigh), np.array([1, -7, 0]) / np.sqrt(50), atol=1e-6)


def test_the_lowest_foot_of_a_clip_touches_the_floor(tmp_path):
    (tmp_path / "stand.bvh").write_text(_bvh_text([_bvh_frame(), _bvh_frame(Hips=(0.0, 90.0, 0.0))]))

    motion = load_motions(tmp_path)[0]

    _, joints = joint_by_joint(motion.joint_rotations.astype(np.float64), STANDARD_REST_JOINTS)
    heights = (joints + motion.root_position[:, None])[:, (10, 11), 1]
    assert heights.min() == pytest.approx(0.03, abs=1e-5)
    assert motion.root_position[0, 1] > 0.85


def test_a_deepmimic_elbow_bends_forwards_and_its_right_side_stays_right(tmp_path):
    frame = [0.0333] + [0.0, 0.9, 0.0] + [1.0, 0.0, 0.0, 0.0] * 4 + [0.0] + [1.0, 0.0, 0.0, 0.0] * 2 + [np.pi / 2]
    frame += [1.0, 0.0, 0.0, 0.0] + [0.0] + [1.0, 0.0, 0.0, 0.0] * 2 + [0.0]
    (tmp_path / "humanoid3d_bend.txt").write_text(json.dumps({"Frames": [frame]}))

    motion = load_motions(tmp_path)[0]

    _, joints = joint_by_joint(motion.joint_rotations.astype(np.float64), STANDARD_REST_JOINTS)
    right_forearm = joints[0, JOINT_NAMES.index("right_wrist")] - joints[0, JOINT_NAMES.index("right_elbow")]
    left_forearm = joints[0, LEFT_WRIST] - joints[0, LEFT_ELBOW]
    np.testing.assert_allclose(right_forearm / np.linalg.norm(right_forearm), [0, 0, 1], atol=1e-5)
    np.testing.assert_allclose(left_forearm / np.linalg.norm(left_forearm), [0, -1, 0], atol=1e-5)


def test_reserved_takes_are_never_loaded(tmp_path):
    (tmp_path / "cmu_12_01.bvh").write_text(_bvh_text([_bvh_frame()]))

    with pytest.raises(AssetMissingError):
        load_motions(tmp_path)


def test_a_bvh_with_a_short_frame_is_a_format_error(tmp_path):
    path = tmp_path / "broken.bvh"
    path.write_text(_bvh_text([_bvh_frame()[:-2]]))

    with pytest.raises(FormatError, match="broken"):
        read_bvh(path)


@pytest.mark.parametrize("end", [[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.3, 0.2, -0.5]])
def test_the_minimal_rotation_takes_one_direction_to_the_other(end):
    start = np.array([1.0, 0.0, 0.0])

    rotation = minimal_rotation(start, np.array(end))

    np.testing.assert_allclose(rotation @ start, np.array(end) / np.linalg.norm(end), atol=1e-12)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
