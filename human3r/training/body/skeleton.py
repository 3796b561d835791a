"""SMPL-X's 55 joints on the MakeHuman rig: which bones belong to which joint, and where the joint centers lie.

Only public conventions of SMPL-X are used: joint order, parents, and the proportions below.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from human3r.skeleton import JOINT_NAMES, NUM_JOINTS

BoneLookup = Callable[[str], np.ndarray]
"""Gives the head of a named bone, ``S 3``."""

SIDES = {"left": ("L", 1.0), "right": ("R", -1.0)}
"""SMPL-X side -> (Anny's suffix, sign of x)."""
FINGER_NUMBERS = {"index": 2, "middle": 3, "pinky": 5, "ring": 4, "thumb": 1}
"""SMPL-X finger -> MakeHuman finger number."""
INDEX = {name.removesuffix("_smplhf"): row for row, name in enumerate(JOINT_NAMES)}

_SPINE_BLEND_M = 0.16
"""Height over which weights blend from one spine joint to the next."""
_UPPER_LIP_BONES = ("oris05", "oris06")


def bone_positions(bone_names: np.ndarray, heads: np.ndarray, *names: str) -> np.ndarray:
    """Heads of the named bones: ``... n 3``."""
    lookup = {name: row for row, name in enumerate(bone_names)}
    return heads[..., [lookup[name] for name in names], :]


def place_joints(bone_names: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Put the 55 joint centers of T-posed bodies into the skeleton of MakeHuman.

    Args:
        bone_names: ``B``.
        heads: ``S B 3`` bone heads, y-up, meters.

    Returns:
        ``S 55 3``; linear in ``heads``, so that linear shape spaces stay linear.
    """

    def bone(name: str) -> np.ndarray:
        return bone_positions(bone_names, heads, name)[..., 0, :]

    joints = np.zeros((*heads.shape[:-2], NUM_JOINTS, 3))

    def put(name: str, position: np.ndarray) -> None:
        joints[..., INDEX[name], :] = position

    _place_trunk(bone, put)
    for side, (suffix, _) in SIDES.items():
        _place_limbs(bone, put, side, suffix)
        put(f"{side}_eye", bone(f"eye.{suffix}"))
        for finger, number in FINGER_NUMBERS.items():
            for knuckle in (1, 2, 3):
                put(f"{side}_{finger}{knuckle}", bone(f"finger{number}-{knuckle}.{suffix}"))
    put("jaw", bone("jaw"))
    return joints


def hip_center(bone: BoneLookup, suffix: str) -> np.ndarray:
    """SMPL-X's hip center: 12 cm apart where MakeHuman's are 23 cm, and a little lower."""
    head = bone(f"upperleg01.{suffix}")
    pelvis_height = bone("spine04") - head
    return head - np.stack([0.465 * head[..., 0], 0.16 * pelvis_height[..., 1], 0 * head[..., 2]], axis=-1)


def shoulder_center(bone: BoneLookup, suffix: str) -> np.ndarray:
    """SMPL-X's shoulder center: a centimeter inside MakeHuman's, which are too broad."""
    return bone(f"upperarm01.{suffix}") * np.array([0.945, 1.0, 1.0])


def _place_trunk(bone: BoneLookup, put: Callable[[str, np.ndarray], None]) -> None:
    """Spine joints on MakeHuman's spine curve.

    The mixtures put spine1, spine2 and spine3 at 0.24, 0.53 and 0.64 of the way from pelvis to neck, where SMPL-X has
    them, so that a given spine pose bends ours at the same places.
    """
    flat = np.array([0.0, 1.0, 1.0])
    pelvis = flat * (0.25 * bone("spine05") + 0.75 * bone("spine04"))
    hips = flat * 0.5 * (hip_center(bone, "L") + hip_center(bone, "R"))
    pelvis[..., 2] = hips[..., 2] + 0.22 * (pelvis[..., 1] - hips[..., 1])
    neck = flat * (0.35 * bone("spine01") + 0.65 * bone("neck01"))
    put("pelvis", pelvis)
    put("spine1", flat * (0.87 * bone("spine03") + 0.13 * bone("spine02")))
    put("spine2", flat * (0.62 * bone("spine02") + 0.38 * bone("spine01")))
    put("spine3", flat * (0.24 * bone("spine02") + 0.76 * bone("spine01")))
    put("neck", neck)
    put("head", flat * bone("head"))


def _place_limbs(bone: BoneLookup, put: Callable[[str, np.ndarray], None], side: str, suffix: str) -> None:
    shoulder = shoulder_center(bone, suffix)
    put(f"{side}_shoulder", shoulder)
    put(f"{side}_elbow", bone(f"lowerarm01.{suffix}"))
    put(f"{side}_wrist", bone(f"wrist.{suffix}"))
    across = np.abs(shoulder[..., 0])
    reach = np.stack([-0.70 * shoulder[..., 0], -0.34 * across, 0.08 * across], axis=-1)
    put(f"{side}_collar", shoulder + reach)
    put(f"{side}_hip", hip_center(bone, suffix))
    put(f"{side}_knee", bone(f"lowerleg01.{suffix}"))
    put(f"{side}_ankle", bone(f"foot.{suffix}"))
    toes = [bone(f"toe{number}-1.{suffix}") for number in range(1, 6)]
    put(f"{side}_foot", sum(toes[1:], toes[0]) / len(toes))


def joint_of_bone(bone_names: np.ndarray, bone_parents: np.ndarray) -> list[str]:
    """Return the joint of each bone; spine bones map to ``spine``, which is split by height afterwards."""
    names = [str(name) for name in bone_names]
    owners: list[str] = []
    for name, parent in zip(names, bone_parents, strict=True):
        stem, _, suffix = name.partition(".")
        side = "left_" if suffix == "L" else "right_"
        owner = _body_owner(stem, side)
        if owner is None:
            inherited = owners[parent] if parent >= 0 else "pelvis"
            owner = inherited if inherited in ("jaw", "head") else "head"
            if stem in _UPPER_LIP_BONES and not suffix:
                owner = "head"
        owners.append(owner)
    return owners


def _body_owner(stem: str, side: str) -> str | None:
    fixed = {"root": "pelvis", "pelvis": "pelvis", "head": "head", "jaw": "jaw", "breast": "spine"}
    limbs = {
        **{"clavicle": "collar", "shoulder01": "collar", "upperarm01": "shoulder", "upperarm02": "shoulder"},
        **{"lowerarm01": "elbow", "lowerarm02": "elbow", "wrist": "wrist", "foot": "ankle", "eye": "eye"},
        **{"upperleg01": "hip", "upperleg02": "hip", "lowerleg01": "knee", "lowerleg02": "knee"},
    }
    if stem in fixed:
        return fixed[stem]
    if stem in limbs:
        return side + limbs[stem]
    if stem.startswith("spine"):
        return "spine"
    if stem.startswith("neck"):
        return "neck"
    if stem.startswith("toe"):
        return side + "foot"
    if stem.startswith("metacarpal"):
        return side + "wrist"
    if stem.startswith("finger"):
        number, knuckle = stem.removeprefix("finger").split("-")
        finger = next(name for name, value in FINGER_NUMBERS.items() if value == int(number))
        return f"{side}{finger}{knuckle}"
    return None


def joint_weights(bone_weights: np.ndarray, owners: list[str], vertices: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Gather bone weights into joint weights ``N 55``, the spine's mass split by the vertex's height.

    Args:
        bone_weights: ``N B``.
        owners: Result of ``joint_of_bone``.
        vertices: ``N 3`` T-posed mean body.
        joints: ``55 3`` its joints.
    """
    weights = np.zeros((len(bone_weights), NUM_JOINTS))
    spine = np.zeros(len(bone_weights))
    for column, owner in enumerate(owners):
        if owner == "spine":
            spine += bone_weights[:, column]
        else:
            weights[:, INDEX[owner]] += bone_weights[:, column]
    share = np.ones(len(spine))
    for lower, upper in (("pelvis", "spine1"), ("spine1", "spine2"), ("spine2", "spine3")):
        above = _smooth_step((vertices[:, 1] - joints[INDEX[upper], 1]) / _SPINE_BLEND_M + 0.5)
        above = np.minimum(above, share)
        weights[:, INDEX[lower]] += spine * (share - above)
        share = above
    weights[:, INDEX["spine3"]] += spine * share
    return weights / weights.sum(axis=1, keepdims=True)


def _smooth_step(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)
