"""One ``.npz`` per person with AMASS's field names, for Blender's SMPL-X add-on and motion tools.

AMASS wants a z-up world, one shape per file and a pose in every frame; where a person was not seen between two
sightings the last pose is held and ``observed`` is false.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from human3r.atomic import whole_or_absent
from human3r.bodies.placement import transform_parameters
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
    """Return AMASS's arrays for one identity, n frames from its first to its last sighting.

    ``poses`` is ``n 165``: root, 21 body, jaw, eyes, left hand, right hand as axis-angle; ``trans`` ``n 3`` in a z-up
    world whose floor is z = 0, meters.
    """
    span = np.arange(track.frames[0], track.frames[-1] + 1)
    latest = np.searchsorted(track.frames, span, side="right") - 1
    T_zup_world = torch.from_numpy((_T_ZUP_YUP @ reconstruction.T_gravity_world).astype(np.float32))
    parameters = transform_parameters(parameters_of_rows(reconstruction, track.observations[latest]), T_zup_world, body)
    root = parameters.global_orient.numpy()
    pose_body = parameters.body_pose.reshape(len(span), -1).numpy()
    pose_jaw = parameters.jaw_pose.numpy()
    pose_eye = torch.cat([parameters.leye_pose, parameters.reye_pose], dim=1).numpy()
    hands = torch.cat([parameters.left_hand_pose, parameters.right_hand_pose], dim=1)
    pose_hand = hands.reshape(len(span), -1).numpy()
    return {
        "surface_model_type": np.array("smplx"),
        "gender": np.array("neutral"),
        "mocap_frame_rate": np.array(reconstruction.fps),
        "mocap_time_length": np.array(len(span) / reconstruction.fps),
        "betas": np.asarray(track.betas),
        "num_betas": np.array(len(track.betas)),
        "trans": parameters.transl.numpy(),
        "poses": np.concatenate([root, pose_body, pose_jaw, pose_eye, pose_hand], axis=1),
        "root_orient": root,
        "pose_body": pose_body,
        "pose_hand": pose_hand,
        "pose_jaw": pose_jaw,
        "pose_eye": pose_eye,
        "expression": parameters.expression.numpy(),
        "observed": np.isin(span, track.frames),
        "frame_index": reconstruction.frame_index[span],
        "time_s": reconstruction.time_s[span],
    }
