"""One ``.bvh`` per person: body and fingers as a motion-capture skeleton.

Beside it, ``person_<id>.contacts.json`` has the probabilities that the feet touch the ground, for the same rows.

Centimeters, y up, channels in Z X Y order as most readers expect; rows at a constant whole rate from the clip's time 0
(``constant_rate``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from human3r.atomic import write_text
from human3r.exporting.constant_rate import constant_rate
from human3r.exporting.motion import PersonMotion, build_motion
from human3r.skeleton import JOINT_NAMES, Joint

if TYPE_CHECKING:
    from pathlib import Path

    from human3r.bodies import SmplxBody
    from human3r.records import Track
    from human3r.results.reconstruction import Reconstruction

_CM_PER_M = 100.0
_LEFT_OUT = (Joint.JAW, Joint.LEFT_EYE, Joint.RIGHT_EYE)
_NO_PARENT = -2


def write_bvh(reconstruction: Reconstruction, folder: Path, body: SmplxBody) -> list[Path]:
    """Write ``person_<id>.bvh`` for every identity that was seen; return the paths of these files."""
    parents = np.array(body.parents)
    parents[list(_LEFT_OUT)] = _NO_PARENT
    paths = []
    for track in reconstruction.tracks:
        if len(track.frames) == 0:
            continue
        motion = build_motion(reconstruction, track, body)
        path = folder / f"person_{track.track_id}.bvh"
        write_text(path, bvh_text(motion, parents, reconstruction))
        write_text(path.with_suffix(".contacts.json"), json.dumps(_contacts(motion, reconstruction, track)) + "\n")
        paths.append(path)
    return paths


def bvh_text(motion: PersonMotion, parents: np.ndarray, reconstruction: Reconstruction) -> str:
    """Return the file of one person, in the y-up world whose floor is y = 0."""
    from scipy.spatial.transform import Rotation

    order: list[int] = []
    hierarchy = _hierarchy(motion.rest_joints * _CM_PER_M, parents, order)
    clock = constant_rate(reconstruction.time_s, reconstruction.fps, motion.frames)
    T = reconstruction.T_gravity_world.astype(np.float64)
    local = motion.R_parent_joint[:, order].astype(np.float64)
    local[:, 0] = T[:3, :3] @ local[:, 0]
    vectors = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(*local.shape[:2], 3)
    turns = Rotation.from_rotvec(clock.rotation_vectors(vectors).reshape(-1, 3))
    root = clock.linear(motion.bones_world[:, 0] @ T[:3, :3].T + T[:3, 3]) * _CM_PER_M
    angles = turns.as_euler("ZXY", degrees=True).reshape(len(root), -1)
    rows = [" ".join(f"{value:.5f}" for value in row) for row in np.concatenate([root, angles], axis=1)]
    timing = f"MOTION\nFrames: {len(root)}\nFrame Time: {1 / clock.rate:.8f}\n"
    return "HIERARCHY\n" + "\n".join(hierarchy) + "\n" + timing + "\n".join(rows) + "\n"


def _contacts(motion: PersonMotion, reconstruction: Reconstruction, track: Track) -> dict[str, object]:
    clock = constant_rate(reconstruction.time_s, reconstruction.fps, motion.frames)
    contact = clock.linear(reconstruction.contact_of(track.observations))
    return {"rate": clock.rate, "columns": ["left_foot", "right_foot"], "foot_contact": contact.round(3).tolist()}


def _hierarchy(joints: np.ndarray, parents: np.ndarray, order: list[int], joint: int = 0, depth: int = 0) -> list[str]:
    """Return the lines of one joint and what hangs below it, noting the order of visits."""
    order.append(joint)
    pad = "  " * depth
    offset = joints[joint] - joints[parents[joint]] if joint else np.zeros(3)
    channels = "6 Xposition Yposition Zposition" if joint == 0 else "3"
    lines = [
        f"{pad}{'JOINT' if joint else 'ROOT'} {JOINT_NAMES[joint]}",
        f"{pad}{{",
        f"{pad}  OFFSET " + " ".join(f"{value:.5f}" for value in offset),
        f"{pad}  CHANNELS {channels} Zrotation Xrotation Yrotation",
    ]
    children = [int(child) for child in np.flatnonzero(parents == joint)]
    for child in children:
        lines += _hierarchy(joints, parents, order, child, depth + 1)
    if not children:
        # Readers need an end site: 5 cm further along the bone.
        end = 5.0 * offset / max(np.linalg.norm(offset), 1e-9)
        lines += [
            f"{pad}  End Site",
            f"{pad}  {{",
            f"{pad}    OFFSET " + " ".join(f"{v:.5f}" for v in end),
            f"{pad}  }}",
        ]
    return [*lines, f"{pad}}}"]
