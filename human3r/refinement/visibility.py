"""Which joints of a person the picture shows, and calm motion of those that it does not show."""

from __future__ import annotations

import numpy as np

from human3r.refinement.local_lines import local_means, nearest_rotations
from human3r.skeleton import NUM_BODY_JOINTS, Joint

_HIDDEN, _SHOWN = 0.08, 0.35
"""Scores up to which the lifter ignores a keypoint, and from which it trusts it fully."""
_CALM_S = 0.15
"""Standard deviation of the window over which hidden joints are averaged."""
_GUESS = 0.1
"""Weight of the pose of a hidden joint, which counts where the joint is not shown within the window."""
_SEEN_WELL, _MIN_TRUST = 0.6, 0.1
"""Mean score of the keypoints of a person who is all seen, and the least share of it that counts."""
_FACE, _SHOULDERS, _HIPS = (0, 1, 2, 3, 4), (5, 6), (11, 12)
_SEEN_BY: dict[Joint, tuple[tuple[int, ...], ...]] = {
    **dict.fromkeys((Joint.PELVIS, Joint.SPINE1, Joint.SPINE2, Joint.SPINE3), (_SHOULDERS, _HIPS)),
    **dict.fromkeys((Joint.NECK, Joint.HEAD), (_FACE,)),
    Joint.LEFT_HIP: (_HIPS, (13,)),
    Joint.RIGHT_HIP: (_HIPS, (14,)),
    Joint.LEFT_KNEE: ((13,), (15,)),
    Joint.RIGHT_KNEE: ((14,), (16,)),
    **dict.fromkeys((Joint.LEFT_ANKLE, Joint.LEFT_FOOT), ((15,),)),
    **dict.fromkeys((Joint.RIGHT_ANKLE, Joint.RIGHT_FOOT), ((16,),)),
    Joint.LEFT_COLLAR: ((5,),),
    Joint.RIGHT_COLLAR: ((6,),),
    Joint.LEFT_SHOULDER: ((5,), (7,)),
    Joint.RIGHT_SHOULDER: ((6,), (8,)),
    Joint.LEFT_ELBOW: ((7,), (9,)),
    Joint.RIGHT_ELBOW: ((8,), (10,)),
    Joint.LEFT_WRIST: ((9,),),
    Joint.RIGHT_WRIST: ((10,),),
}
"""COCO keypoints that show the rotation of a joint: of every group one."""


def shown_joints(keypoints: np.ndarray) -> np.ndarray:
    """Return ``N 22`` in [0, 1]: how well the picture shows the rotation of each joint.

    Args:
        keypoints: ``N 17 3`` with scores, as in ``PersonTable``; without any score, all joints count as shown.
    """
    shown = np.ones((len(keypoints), NUM_BODY_JOINTS))
    if not keypoints[..., 2].any():
        return shown
    score = ((keypoints[..., 2] - _HIDDEN) / (_SHOWN - _HIDDEN)).clip(0, 1)
    for joint, groups in _SEEN_BY.items():
        shown[:, joint] = np.min([score[:, list(group)].max(axis=1) for group in groups], axis=0)
    return shown


def trust_in_distances(keypoints: np.ndarray) -> np.ndarray:
    """Return ``N`` weights in (0, 1] of people's distances, which follow from sizes: the more is seen, the better."""
    if not keypoints[..., 2].any():
        return np.ones(len(keypoints))
    return (keypoints[..., 2].mean(axis=1) / _SEEN_WELL).clip(_MIN_TRUST, 1) ** 2


def calmed(rotations: np.ndarray, shown: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """Return rotations in which joints that are not shown rest in the mean of their poses before and after.

    Poses of hidden joints are guesses that change with every frame; where a joint was shown shortly before or after,
    its pose then counts most.

    Args:
        rotations: ``n 22 3 3`` of one person, relative to the parents, the root in world.
        shown: ``n 22`` from ``shown_joints``.
        time_s: ``n`` increasing, seconds.
    """
    if shown.min() >= 1:
        return rotations
    values = rotations.reshape(*shown.shape, 9)
    rest = local_means(values, time_s, _CALM_S, np.maximum(shown, _GUESS))
    return nearest_rotations((rest + shown[..., None] * (values - rest)).reshape(rotations.shape))
