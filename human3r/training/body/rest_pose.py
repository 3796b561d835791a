"""Re-pose Anny's people into SMPL-X's rest pose, each with the weights of the original rig.

SMPL-X's rest pose is not an ideal T: arms hang slightly and point backwards, thighs point outwards, shins inwards.
A body with another rest pose would have its limbs off by the difference in every SMPL-X pose.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.geometry.rigid import axis_angle_between
from human3r.training.body.skeleton import FINGER_NUMBERS, SIDES, bone_positions, hip_center, shoulder_center

UPPER_ARM = (0.950, -0.269, -0.158)
"""Left upper arm: 16 degrees below the horizontal, 9 back."""
FOREARM = (0.996, 0.092, -0.010)
"""Left forearm: 5 degrees up."""
THIGH = (0.143, -0.989, -0.025)
"""Left thigh: 8 degrees outwards."""
SHIN = (-0.106, -0.991, -0.079)
"""Left shin: 6 degrees inwards, 4.5 back. Source of all four: measured rest directions of SMPL-X's mean body."""

_TRUNK_LEAN_DEG = {"spine03": -1.0, "spine02": -2.0, "spine01": -3.0, "breast": -2.0}
_NECK_LEAN_DEG = {"neck01": -7.0, "neck02": -9.0, "neck03": -6.0}
"""SMPL-X stands straighter than MakeHuman: its neck leans forward by 7 degrees, not 16. The head stays level."""
_COLLAR_RAISE_DEG = 6.0
_FOOT_TURN_DEG = 11.0
_FINGER_FAN_DEG = {"index": 4.0, "middle": 0.0, "ring": -4.0, "pinky": -9.0}
_FINGER_DROOP = -0.06


class _Pose:
    """Global rotations of every bone of S people, filled limb by limb."""

    def __init__(self, bone_names: np.ndarray, heads: np.ndarray) -> None:
        self.names = [str(name) for name in bone_names]
        self.heads = heads
        self.rotations = np.tile(np.eye(3), (*heads.shape[:2], 1, 1))

    def head(self, name: str) -> np.ndarray:
        return bone_positions(np.array(self.names), self.heads, name)[..., 0, :]

    def turn(self, rotation: np.ndarray, *names: str) -> None:
        for name in names:
            self.rotations[:, self.names.index(name)] = rotation

    def turn_stem(self, rotation: np.ndarray, stem: str, suffix: str) -> None:
        self.turn(rotation, *(name for name in self.names if name.startswith(stem) and name.endswith(suffix)))


def rest_pose_rotations(bone_names: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Global rotation of each bone, ``S B 3 3``, that takes Anny's rest pose to SMPL-X's.

    Args:
        bone_names: ``B``.
        heads: ``S B 3`` bone heads in Anny's rest pose, y-up.
    """
    pose = _Pose(bone_names, heads)
    for stem, degrees in {**_TRUNK_LEAN_DEG, **_NECK_LEAN_DEG}.items():
        pose.turn_stem(_about("x", degrees), stem, "")
    for side, (suffix, sign) in SIDES.items():
        _pose_leg(pose, suffix, sign)
        _pose_arm(pose, suffix, sign)
        _pose_hand(pose, side, suffix, sign)
    return pose.rotations


def skin(
    vertices: np.ndarray, weights: np.ndarray, heads: np.ndarray, parents: np.ndarray, rotations: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Linear blend skinning with global bone rotations.

    Args:
        vertices: ``S N 3``.
        weights: ``N B``.
        heads: ``S B 3``.
        parents: ``B``, -1 for the root; parents come before children.
        rotations: ``S B 3 3``.

    Returns:
        Posed vertices ``S N 3`` and bone heads ``S B 3``.
    """
    moved = heads.copy()
    for bone, parent in enumerate(parents):
        if parent >= 0:
            offset = (heads[:, bone] - heads[:, parent])[..., None]
            moved[:, bone] = moved[:, parent] + (rotations[:, parent] @ offset)[..., 0]
    shift = moved - (rotations @ heads[..., None])[..., 0]
    posed = np.empty_like(vertices)
    for row in range(len(vertices)):
        transforms = np.concatenate([rotations[row], shift[row][..., None]], axis=-1).reshape(len(parents), 12)
        blended = (weights @ transforms).reshape(-1, 3, 4)
        posed[row] = np.einsum("nij,nj->ni", blended[..., :3], vertices[row]) + blended[..., 3]
    return posed, moved


def _pose_leg(pose: _Pose, suffix: str, sign: float) -> None:
    hip, knee, ankle = (pose.head(f"{bone}.{suffix}") for bone in ("upperleg01", "lowerleg01", "foot"))
    thigh = _aim(hip, knee, hip_center(pose.head, suffix), _mirror(THIGH, sign))
    shin = _hinge(thigh, ankle - knee, _mirror(SHIN, sign))
    pose.turn(thigh, f"upperleg01.{suffix}", f"upperleg02.{suffix}")
    pose.turn(shin, f"lowerleg01.{suffix}", f"lowerleg02.{suffix}")
    foot = _about("y", sign * _FOOT_TURN_DEG)
    pose.turn(foot, f"foot.{suffix}")
    pose.turn_stem(foot, "toe", suffix)


def _pose_arm(pose: _Pose, suffix: str, sign: float) -> None:
    shoulder, elbow, wrist = (pose.head(f"{bone}.{suffix}") for bone in ("upperarm01", "lowerarm01", "wrist"))
    upper = _aim(shoulder, elbow, shoulder_center(pose.head, suffix), _mirror(UPPER_ARM, sign))
    fore = _hinge(upper, wrist - elbow, _mirror(FOREARM, sign))
    pose.turn(_about("z", sign * _COLLAR_RAISE_DEG), f"clavicle.{suffix}", f"shoulder01.{suffix}")
    pose.turn(upper, f"upperarm01.{suffix}", f"upperarm02.{suffix}")
    pose.turn(fore, f"lowerarm01.{suffix}", f"lowerarm02.{suffix}")


def _pose_hand(pose: _Pose, side: str, suffix: str, sign: float) -> None:
    """Palm down, thumb forward, fingers straight with a slight fan; half of the wrist's twist goes to the forearm."""
    wrist, middle, index, pinky = (
        pose.head(f"{bone}.{suffix}") for bone in ("wrist", "finger3-1", "finger2-1", "finger5-1")
    )
    found = _frame(middle - wrist, pinky - index)
    wanted = _frame(np.array([[sign, 0.0, 0.0]]), np.array([[0.0, 0.0, -1.0]]))
    hand = wanted @ np.swapaxes(found, -1, -2)
    fore = pose.rotations[:, pose.names.index(f"lowerarm01.{suffix}")]
    twisted = _hinge(hand, np.swapaxes(hand, -1, -2) @ _mirror(FOREARM, sign), _mirror(FOREARM, sign))
    relative = Rotation.from_matrix(twisted @ np.swapaxes(fore, -1, -2)).as_rotvec()
    axis = _mirror(FOREARM, sign)
    twist = (relative @ axis)[:, None] * axis
    pose.turn(Rotation.from_rotvec(0.5 * twist).as_matrix() @ fore, f"lowerarm02.{suffix}")
    pose.turn(hand, f"wrist.{suffix}")
    pose.turn_stem(hand, "metacarpal", suffix)
    pose.turn_stem(hand, "finger", suffix)
    for finger, degrees in _FINGER_FAN_DEG.items():
        number = FINGER_NUMBERS[finger]
        angle = np.radians(degrees)
        direction = np.array([sign * np.cos(angle), _FINGER_DROOP, np.sin(angle)])
        knuckles = [pose.head(f"finger{number}-{knuckle}.{suffix}") for knuckle in (1, 2, 3)]
        first = _hinge(hand, knuckles[1] - knuckles[0], direction)
        second = _hinge(first, knuckles[2] - knuckles[1], direction)
        pose.turn(first, f"finger{number}-1.{suffix}")
        pose.turn(second, f"finger{number}-2.{suffix}", f"finger{number}-3.{suffix}")


def _mirror(direction: tuple[float, float, float], sign: float) -> np.ndarray:
    vector = np.array(direction) * (sign, 1.0, 1.0)
    return vector / np.linalg.norm(vector)


def _about(axis: str, degrees: float) -> np.ndarray:
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


def _aim(pivot: np.ndarray, end: np.ndarray, center: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Turn a limb about MakeHuman's pivot so that its end lies on the ray from our joint center: ``S 3 3``.

    Our centers lie a little inside MakeHuman's, and the rest directions hold between our joints.
    """
    length = np.linalg.norm(end - pivot, axis=-1)
    along = ((center - pivot) * direction).sum(axis=-1)
    distance = -along + np.sqrt(along**2 - ((center - pivot) ** 2).sum(axis=-1) + length**2)
    turn = axis_angle_between(end - pivot, center + distance[:, None] * direction - pivot)
    return Rotation.from_rotvec(turn).as_matrix()


def _hinge(parent: np.ndarray, offset: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Follow the parent bone, then rotate minimally so that ``offset`` points along ``direction``."""
    carried = (parent @ offset[..., None])[..., 0]
    turn = axis_angle_between(carried, np.broadcast_to(direction, carried.shape))
    return Rotation.from_rotvec(turn).as_matrix() @ parent


def _frame(along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Orthonormal frames whose first column is ``along`` and whose second is near ``across``: ``S 3 3``."""
    first = along / np.linalg.norm(along, axis=-1, keepdims=True)
    second = across - (across * first).sum(axis=-1, keepdims=True) * first
    second /= np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-1)
