"""People over a clip as columns: one row per person and frame. ``PersonTable`` is what refinement works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import get_args, get_type_hints

import numpy as np
from jaxtyping import Float32, Int64

from human3r.records import BodyParameters, FramePrediction
from human3r.skeleton import NUM_BODY_JOINTS

PARAMETER_NAMES = tuple(item.name for item in fields(BodyParameters))
"""Columns of SMPL-X parameters."""


@dataclass(frozen=True)
class PersonColumns:
    """N observations of people, sorted by frame; world frame, meters and radians."""

    person_frame: Int64[np.ndarray, " N"]
    """Row of the processed frame."""
    person_track: Int64[np.ndarray, " N"]
    """Identity, never reused."""
    person_score: Float32[np.ndarray, " N"]
    """Detection score; 0 where a finished clip blends the poses shortly before and after."""
    global_orient: Float32[np.ndarray, "N 3"]
    """SMPL-X root orientation."""
    transl: Float32[np.ndarray, "N 3"]
    """SMPL-X translation."""
    body_pose: Float32[np.ndarray, "N 21 3"]
    left_hand_pose: Float32[np.ndarray, "N 15 3"]
    right_hand_pose: Float32[np.ndarray, "N 15 3"]
    jaw_pose: Float32[np.ndarray, "N 3"]
    leye_pose: Float32[np.ndarray, "N 3"]
    reye_pose: Float32[np.ndarray, "N 3"]
    betas: Float32[np.ndarray, "N 10"]
    """Shape of each observation."""
    expression: Float32[np.ndarray, "N 10"]
    joints_world: Float32[np.ndarray, "N 55 3"]
    """SMPL-X joints."""


@dataclass(frozen=True)
class PersonTable(PersonColumns):
    """The people of a run. ``unfiltered`` columns are the network's predictions, before the causal filter."""

    unfiltered_rotations: Float32[np.ndarray, "N 22 3 3"]
    """Local rotations of the body; the root's is in the camera frame."""
    unfiltered_head: Float32[np.ndarray, "N 3"]
    """Head joint, camera frame."""
    unfiltered_betas: Float32[np.ndarray, "N 10"]
    keypoints: Float32[np.ndarray, "N 17 3"]
    """(x, y) in pixels and score of the COCO keypoints that the bodies rest on; 0 from networks without keypoints."""

    def __len__(self) -> int:
        return len(self.person_frame)

    def select(self, rows: np.ndarray | slice) -> PersonTable:
        """Return some rows, by index, by a bool per row, or a slice."""
        return PersonTable(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})

    @classmethod
    def concatenate(cls, tables: Sequence[PersonTable]) -> PersonTable:
        """Return the rows of tables, one after the other."""
        return cls(**{item.name: np.concatenate([getattr(one, item.name) for one in tables]) for item in fields(cls)})

    @classmethod
    def from_rows(cls, rows: np.ndarray) -> PersonTable:
        """Return a copy of structured rows of type ``PERSON_ROW`` as columns."""
        return cls(**{item.name: np.array(rows[item.name]) for item in fields(cls)})


@cache
def columns_of(record: type) -> dict[str, tuple[np.dtype, tuple[int | str, ...]]]:
    """Return type and axes, by name, of a dataclass's fields that are annotated as arrays (or None)."""
    found = {}
    for name, hint in get_type_hints(record).items():
        array = next((one for one in (hint, *get_args(hint)) if hasattr(one, "dim_str")), None)
        if array is not None:
            axes = tuple(int(axis) if axis.isdigit() else axis for axis in array.dim_str.split())
            found[name] = np.dtype(array.dtypes[0]), axes
    return found


PERSON_ROW = np.dtype([(name, dtype, axes[1:]) for name, (dtype, axes) in columns_of(PersonTable).items()])
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
    if prediction.keypoints is not None:
        rows["keypoints"] = prediction.keypoints.numpy()
    return rows
