"""Motion capture as SMPL-X body rotations: readers of common formats and one retargeting.

Owns no data: motion files come from a folder of the user's or from the PyPI wheel ``pybullet``.
"""

from __future__ import annotations

from human3r.training.motion.library import load_motions, pybullet_motion_folder
from human3r.training.motion.retarget import Motion
from human3r.training.motion.source import STANDARD_REST_JOINTS

__all__ = [
    "STANDARD_REST_JOINTS",
    "Motion",
    "load_motions",
    "pybullet_motion_folder",
]
