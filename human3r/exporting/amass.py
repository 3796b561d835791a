"""One ``.npz`` per person with AMASS's field names, for Blender's SMPL-X add-on and motion tools.

AMASS has a z-up world, one shape per file and a pose in every row at a constant rate (``constant_rate``); ``observed``
is false where the person was not seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from human3r.atomic import whole_or_absent
from human3r.bodies.placement import transform_parameters
from human3r.exporting.constant_rate import constant_rate
from human3r.results.posing import parameters_of_rows

if TYPE_CHECKING:
    from pathlib import Path

    from human3r.bodies import SmplxBody
    from human3r.records import Track
    from human3r.results.reconstruction import Reconstruction

_T_ZUP_YUP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


def write_amass(reconstruction: Reconstruction, folder: Path, body: SmplxBody) -> list[Path]:
    """Write ``smplx_person_<id>.npz`` for every identity that was seen; return the paths."""
    paths = []
    for track in reconstruction.tracks:
        if len(track.frames) == 0:
            continue
        path = folder / f"smplx_person_{track.track_id}.npz"
        with whole_or_absent(path) as temporary:
            arrays: dict[str, Any] = amass_fields(reconstruction, track, body)
            np.savez_compressed(temporary, **arrays)
        paths.append(path)
    return paths


@torch.inference_mode()
def amass_fields(reconstruction: Reconstruction, track: Track, body: SmplxBody) -> dict[str, np.ndarray]:
    """Return AMASS's arrays for one identity, n rows from the clip's time 0 to its last sighting.

    ``poses`` is ``n 165``: root, 21 body, jaw, eyes, left hand, right hand as axis-angle; ``trans`` ``n 3`` in a z-up
    world whose floor is z = 0, meters; ``foot_contact`` is ``n 2``, probabilities for left and right.
    """
    clock = constant_rate(reconstruction.time_s, reconstruction.fps, track.frames)
    T_zup_world = torch.from_numpy((_T_ZUP_YUP @ reconstruction.T_gravity_world).astype(np.float32))
    seen = transform_parameters(parameters_of_rows(reconstruction, track.observations), T_zup_world, body)
    count = len(clock.rows_s)
    root = clock.rotation_vectors(seen.global_orient[:, None].numpy())[:, 0]
    pose_body = clock.rotation_vectors(seen.body_pose.numpy()).reshape(count, -1)
    pose_jaw = clock.rotation_vectors(seen.jaw_pose[:, None].numpy())[:, 0]
    eyes = torch.stack([seen.leye_pose, seen.reye_pose], dim=1)
    pose_eye = clock.rotation_vectors(eyes.numpy()).reshape(count, -1)
    hands = torch.cat([seen.left_hand_pose, seen.right_hand_pose], dim=1)
    pose_hand = clock.rotation_vectors(hands.numpy()).reshape(count, -1)
    time_s = reconstruction.time_s
    return {
        "surface_model_type": np.array("smplx"),
        "gender": np.array("neutral"),
        "mocap_frame_rate": np.array(float(clock.rate)),
        "mocap_time_length": np.array(count / clock.rate),
        "betas": np.asarray(track.betas),
        "num_betas": np.array(len(track.betas)),
        "trans": clock.linear(seen.transl.numpy()),
        "poses": np.concatenate([root, pose_body, pose_jaw, pose_eye, pose_hand], axis=1),
        "root_orient": root,
        "pose_body": pose_body,
        "pose_hand": pose_hand,
        "pose_jaw": pose_jaw,
        "pose_eye": pose_eye,
        "expression": clock.linear(seen.expression.numpy()),
        "observed": clock.observed,
        "foot_contact": clock.linear(reconstruction.contact_of(track.observations)),
        "frame_index": reconstruction.frame_index[clock.frames],
        "time_s": time_s[clock.frames] if clock.is_native else time_s[0] + clock.rows_s,
    }
