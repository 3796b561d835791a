"""Retarget any skeleton to the 22 body joints: global rotation times the minimal rotation between rest bone directions.

Source: the usual rest-pose alignment; spine, collars, feet and head keep their frames because rigs agree there only in
orientation (a foot is flat in every rest pose), not in where they put the joints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from human3r.errors import FormatError
from human3r.skeleton import (
    BODY_PARENTS,
    JOINT_NAMES,
    NUM_BODY_JOINTS,
    bone_vectors,
    forward_kinematics,
    to_local_rotations,
)
from human3r.training.motion.source import SOLE_BELOW_FOOT_M, SourceMotion


@dataclass(frozen=True)
class Motion:
    """A clip of one body; the world is y-up and the floor is y = 0."""

    name: str
    """Stem of the source file."""
    joint_rotations: np.ndarray
    """``T 22 3 3`` float32 local rotations in world-aligned rest frames, root first."""
    root_position: np.ndarray
    """``T 3`` float32 position of the pelvis joint, meters, for the rest skeleton given to the retargeting."""
    fps: float
    """Frames per second."""


_LIMB_SOURCES: tuple[dict[str, str], ...] = (
    {  # CMU in Motionbuilder names (cgspeed)
        "hip": "{Left}UpLeg", "knee": "{Left}Leg", "ankle": "{Left}Foot", "foot": "{Left}ToeBase",
        "collar": "{Left}Shoulder", "shoulder": "{Left}Arm", "elbow": "{Left}ForeArm", "wrist": "{Left}Hand",
        "pelvis": "Hips", "spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1", "neck": "Neck1", "head": "Head",
    },
    {  # CMU in anatomical names (bvh11)
        "hip": "{Left}Hip", "knee": "{Left}Knee", "ankle": "{Left}Ankle", "foot": "{Left}Toe",
        "collar": "{Left}Collar", "shoulder": "{Left}Shoulder", "elbow": "{Left}Elbow", "wrist": "{Left}Wrist",
        "pelvis": "Hips", "spine1": "lowerback", "spine2": "Chest", "spine3": "Chest2", "neck": "Neck", "head": "Head",
    },
    {  # MakeHuman's old rig
        "hip": "UpLeg_{L}", "knee": "LoLeg_{L}", "ankle": "Foot_{L}", "foot": "Toe_{L}",
        "collar": "Clavicle_{L}", "shoulder": "UpArm_{L}", "elbow": "LoArm_{L}", "wrist": "Hand_{L}",
        "pelvis": "Root", "spine1": "Spine1", "spine2": "Spine2", "spine3": "Spine3", "neck": "Neck", "head": "Head",
    },
    {  # MakeHuman's default rig; the second half of a limb carries its twist
        "hip": "upperleg02.{L}", "knee": "lowerleg01.{L}", "ankle": "foot.{L}", "foot": "toe2-1.{L}",
        "collar": "clavicle.{L}", "shoulder": "upperarm02.{L}", "elbow": "lowerarm01.{L}", "wrist": "wrist.{L}",
        "pelvis": "root", "spine1": "spine04", "spine2": "spine02", "spine3": "spine01",
        "neck": "neck01", "head": "head",
    },
    {  # Acclaim
        "hip": "{l}femur", "knee": "{l}tibia", "ankle": "{l}foot", "foot": "{l}toes",
        "collar": "{l}clavicle", "shoulder": "{l}humerus", "elbow": "{l}radius", "wrist": "{l}wrist",
        "pelvis": "root", "spine1": "lowerback", "spine2": "upperback", "spine3": "thorax",
        "neck": "upperneck", "head": "head",
    },
    {  # AMP humanoid
        "hip": "{left}_thigh", "knee": "{left}_shin", "ankle": "{left}_foot",
        "shoulder": "{left}_upper_arm", "elbow": "{left}_lower_arm", "wrist": "{left}_hand",
        "pelvis": "pelvis", "spine3": "torso", "head": "head",
    },
    {  # DeepMimic humanoid
        "hip": "{left}_hip", "knee": "{left}_knee", "ankle": "{left}_ankle",
        "shoulder": "{left}_shoulder", "elbow": "{left}_elbow", "wrist": "{left}_wrist",
        "pelvis": "root", "spine3": "chest", "head": "neck",
    },
)  # fmt: skip
_OPTIONAL = {"foot", "collar", "wrist", "spine1", "spine2", "neck"}
_ALIGNED_BONES = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist"}
"""Joints whose rest bone direction differs between rigs, and where their bone ends."""


def retarget(source: SourceMotion, rest_joints: np.ndarray) -> Motion:
    """Retarget the motion of ``source`` to the body with rest joints ``rest_joints`` (``22 3`` meters).

    Raises:
        FormatError: The joint names fit none of the known rigs.
    """
    mapped = _map_joints(source)
    axes = _rest_axes(source, mapped)
    rotations = axes @ source.global_rotations @ axes.T
    rest = source.rest_positions @ axes.T
    num_frames = rotations.shape[0]
    body = np.zeros((num_frames, NUM_BODY_JOINTS, 3, 3))
    for name, joint in mapped.items():
        body[:, JOINT_NAMES.index(name)] = rotations[:, joint] @ _alignment(name, mapped, rest, rest_joints)
    _fill_unmapped(body, {JOINT_NAMES.index(name) for name in mapped})
    scale = _leg_length(rest_joints, JOINT_NAMES.index) / _leg_length(rest, mapped.__getitem__)
    root_position = scale * (source.root_position @ axes.T)
    local = to_local_rotations(body)
    bones = torch.from_numpy(bone_vectors(rest_joints)).expand(num_frames, -1, -1)
    positions = forward_kinematics(torch.from_numpy(local), bones)[1].numpy()
    lowest = (positions[:, (10, 11), 1] + root_position[:, None, 1]).min() - SOLE_BELOW_FOOT_M
    root_position[:, 1] -= lowest
    return Motion(source.name, local.astype(np.float32), root_position.astype(np.float32), source.fps)


def _map_joints(source: SourceMotion) -> dict[str, int]:
    """Return the source joint of each mapped body joint, for the known rig that matches most joints."""
    index = {name: joint for joint, name in reversed(list(enumerate(source.joint_names)))}
    best: dict[str, int] = {}
    for table in _LIMB_SOURCES:
        found: dict[str, int] = {}
        complete = True
        for part, pattern in table.items():
            sides = ("left", "right") if "{" in pattern else ("",)
            for side in sides:
                name = pattern.format(
                    Left=side.title(), left=side, L=side[:1].upper(), l=side[:1],
                )  # fmt: skip
                key = f"{side}_{part}" if side else part
                if name in index:
                    found[key] = index[name]
                elif part not in _OPTIONAL:
                    complete = False
        if complete and len(found) > len(best):
            best = found
    if not best:
        raise FormatError(
            f"The joints of {source.name} ({', '.join(source.joint_names[:4])}, ...) fit no known rig.",
            "Known are CMU, Acclaim, MakeHuman, AMP and DeepMimic names.",
        )
    return best


def _rest_axes(source: SourceMotion, mapped: dict[str, int]) -> np.ndarray:
    """Return the rotation from the file's axes to x left, y up, z forward, snapped to whole axes."""
    rest = source.rest_positions
    up = _snap(rest[mapped["head"]] - rest[mapped["left_hip"]])
    across = rest[mapped["left_hip"]] - rest[mapped["right_hip"]]
    left = _snap(across - up * (across @ up))
    return np.stack([left, up, np.cross(left, up)])


def _snap(direction: np.ndarray) -> np.ndarray:
    axis = int(np.abs(direction).argmax())
    snapped = np.zeros(3)
    snapped[axis] = np.sign(direction[axis])
    return snapped


def _alignment(name: str, mapped: dict[str, int], rest: np.ndarray, rest_joints: np.ndarray) -> np.ndarray:
    """Return the minimal rotation that takes the body's rest bone to the source's rest bone."""
    side, _, part = name.rpartition("_")
    part = "elbow" if part == "wrist" else part
    end = _ALIGNED_BONES.get(part)
    if not side or end is None or f"{side}_{end}" not in mapped:
        return np.eye(3)
    ours = rest_joints[JOINT_NAMES.index(f"{side}_{end}")] - rest_joints[JOINT_NAMES.index(f"{side}_{part}")]
    theirs = rest[mapped[f"{side}_{end}"]] - rest[mapped[f"{side}_{part}"]]
    return minimal_rotation(ours, theirs)


def minimal_rotation(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the rotation by the smallest angle that takes direction ``start`` to ``end`` (``3`` each)."""
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis = np.cross(start, end)
    sine, cosine = np.linalg.norm(axis), start @ end
    if sine < 1e-9:
        return np.eye(3) if cosine > 0 else Rotation.from_rotvec(np.pi * _any_normal(start)).as_matrix()
    return Rotation.from_rotvec(axis / sine * np.arctan2(sine, cosine)).as_matrix()


def _any_normal(direction: np.ndarray) -> np.ndarray:
    normal = np.cross(direction, np.eye(3)[int(np.abs(direction).argmin())])
    return normal / np.linalg.norm(normal)


def _fill_unmapped(body: np.ndarray, mapped: set[int]) -> None:
    """Give joints that the source lacks a share of the turn between mapped neighbors, or their parent's rotation."""
    for joint in range(1, NUM_BODY_JOINTS):
        if joint in mapped:
            continue
        parent = BODY_PARENTS[joint]
        steps, child = 1, joint
        while child not in mapped:
            followers = [other for other, above in enumerate(BODY_PARENTS) if above == child]
            # Only the spine and the neck are chains; collars and feet follow their parent.
            if joint not in (3, 6, 12) or not followers:
                break
            child, steps = followers[0], steps + 1
        if child not in mapped:
            body[:, joint] = body[:, parent]
            continue
        turn = Rotation.from_matrix(np.swapaxes(body[:, parent], -1, -2) @ body[:, child]).as_rotvec()
        body[:, joint] = body[:, parent] @ Rotation.from_rotvec(turn / steps).as_matrix()


def _leg_length(positions: np.ndarray, index_of: Callable[[str], int]) -> float:
    hip, knee, ankle = (positions[index_of(f"left_{part}")] for part in ("hip", "knee", "ankle"))
    return float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))
