"""``PersonTable``: everybody in a clip, one row per person and frame, as the refinement of a finished clip works on."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from human3r.records import BodyParameters, FramePrediction
from human3r.skeleton import NUM_BODY_JOINTS, NUM_JOINTS

PARAMETER_NAMES = tuple(item.name for item in fields(BodyParameters))
"""Columns of SMPL-X parameters, here and in ``Reconstruction``."""


@dataclass(frozen=True)
class PersonTable:
    """N observations of people, sorted by frame. World frame, meters and radians unless said otherwise.

    The ``unfiltered`` columns are the network's predictions in the camera, before the causal filter.
    """

    person_frame: np.ndarray
    """``N`` int64 index of the processed frame."""
    person_track: np.ndarray
    """``N`` int64 identity."""
    person_score: np.ndarray
    """``N`` detection score."""
    global_orient: np.ndarray
    """``N 3``"""
    transl: np.ndarray
    """``N 3``"""
    body_pose: np.ndarray
    """``N 21 3``"""
    left_hand_pose: np.ndarray
    """``N 15 3``"""
    right_hand_pose: np.ndarray
    """``N 15 3``"""
    jaw_pose: np.ndarray
    """``N 3``"""
    leye_pose: np.ndarray
    """``N 3``"""
    reye_pose: np.ndarray
    """``N 3``"""
    betas: np.ndarray
    """``N 10``"""
    expression: np.ndarray
    """``N 10``"""
    joints_world: np.ndarray
    """``N 55 3``"""
    unfiltered_rotations: np.ndarray
    """``N 22 3 3`` local rotations; the root's is in the camera frame."""
    unfiltered_head: np.ndarray
    """``N 3`` head joint, camera frame."""
    unfiltered_betas: np.ndarray
    """``N 10``"""
    scene_ratio: np.ndarray
    """``N 2`` see ``FramePrediction.scene_ratio``; its trust is 0 where there is none."""

    def __len__(self) -> int:
        return len(self.person_frame)

    def select(self, rows: np.ndarray) -> PersonTable:
        """Return some rows, by index or by a bool per row."""
        return PersonTable(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})

    @classmethod
    def from_rows(cls, rows: np.ndarray) -> PersonTable:
        """Return a copy of structured rows of type ``PERSON_ROW`` as columns."""
        return cls(**{item.name: np.array(rows[item.name]) for item in fields(cls)})


_SHAPES = {
    "body_pose": (21, 3),
    "left_hand_pose": (15, 3),
    "right_hand_pose": (15, 3),
    "betas": (10,),
    "expression": (10,),
}
PERSON_ROW = np.dtype(
    [
        *((name, "<f4", _SHAPES.get(name, (3,))) for name in PARAMETER_NAMES),
        ("joints_world", "<f4", (NUM_JOINTS, 3)),
        ("person_frame", "<i8"),
        ("person_track", "<i8"),
        ("person_score", "<f4"),
        ("unfiltered_rotations", "<f4", (NUM_BODY_JOINTS, 3, 3)),
        ("unfiltered_head", "<f4", (3,)),
        ("unfiltered_betas", "<f4", (10,)),
        ("scene_ratio", "<f4", (2,)),
    ]
)
"""One row on disk."""


def person_rows(prediction: FramePrediction, frame: int) -> np.ndarray:
    """Return the people of processed frame ``frame`` as structured rows."""
    people = prediction.people
    unfiltered = people if prediction.people_unfiltered is None else prediction.people_unfiltered
    rows = np.zeros(len(people), PERSON_ROW)
    for name in PARAMETER_NAMES:
        rows[name] = getattr(prediction.parameters_world, name).numpy()
    rows["joints_world"] = prediction.joints_world.numpy()
    rows["person_frame"] = frame
    rows["person_track"] = people.track_id.numpy()
    rows["person_score"] = people.score.numpy()
    rows["unfiltered_rotations"] = unfiltered.joint_rotations[:, :NUM_BODY_JOINTS].numpy()
    rows["unfiltered_head"] = unfiltered.head_camera.numpy()
    rows["unfiltered_betas"] = unfiltered.betas.numpy()
    if prediction.scene_ratio is not None:
        rows["scene_ratio"] = prediction.scene_ratio.numpy()
    return rows
