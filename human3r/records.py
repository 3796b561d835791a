"""Records that cross package borders.

Frames, units and axis letters are those of the README's conventions: ``T_a_b`` takes coordinates in *b* to *a*,
OpenCV camera axes, world = first camera of the session, meters, radians, seconds; pixel (0, 0) is the center of the
top-left pixel. The records hold tensors on the device that made them. No I/O, no math.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from human3r.skeleton import NUM_JOINT_ROTATIONS

RecordT = TypeVar("RecordT", bound="TensorRecord")


@dataclass(frozen=True)
class TensorRecord:
    """A frozen record of tensors that are converted together."""

    def map(self: RecordT, function: Callable[[Tensor], Tensor]) -> RecordT:
        """Apply ``function`` to every tensor, descending into nested records and tuples of either."""
        changed: dict[str, object] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changed[field.name] = function(value)
            elif isinstance(value, TensorRecord):
                changed[field.name] = value.map(function)
            elif isinstance(value, tuple) and value and all(isinstance(item, (Tensor, TensorRecord)) for item in value):
                changed[field.name] = tuple(
                    item.map(function) if isinstance(item, TensorRecord) else function(item) for item in value
                )
            else:
                changed[field.name] = value
        return type(self)(**changed)

    def to(self: RecordT, *args: Any, **kwargs: Any) -> RecordT:
        """Move or cast every tensor; the arguments are those of ``Tensor.to``."""
        return self.map(lambda tensor: tensor.to(*args, **kwargs))


def concatenate(records: Sequence[RecordT]) -> RecordT:
    """Concatenate one or more records of one class, every tensor along its first axis.

    Fields must be tensors, or records of tensors.
    """

    def joined(values: list[object]) -> object:
        nested = [value for value in values if isinstance(value, TensorRecord)]
        if nested:
            return concatenate(nested)
        tensors = [value for value in values if isinstance(value, Tensor)]
        assert len(tensors) == len(values), "only tensors can be concatenated"
        return torch.cat(tensors)

    first = records[0]
    return type(first)(**{item.name: joined([getattr(one, item.name) for one in records]) for item in fields(first)})


@dataclass(frozen=True)
class Frame:
    """One decoded frame of a clip, upright."""

    image: UInt8[np.ndarray, "H W 3"]
    """RGB."""
    frame_index: int
    """Index of the frame in the source clip, from 0, in presentation order."""
    time_s: float
    """Presentation time in seconds from the start of the clip."""
    name: str = ""
    """File name of an image of a folder or zip; empty for the frames of a video."""
    begins_shot: bool = False
    """Whether the frame begins a shot: a cut, or another image size."""
    picture_px: tuple[int, int, int, int] | None = None
    """(x0, y0, x1, y1) of the picture inside borders, pixel edges; None if it fills the frame."""


@dataclass(frozen=True)
class Camera(TensorRecord):
    """A pinhole camera in the world."""

    K: Float[Tensor, "3 3"]
    """Intrinsics in pixels of ``image_size``."""
    T_world_camera: Float[Tensor, "4 4"]
    """Rigid transform, meters."""
    image_size: tuple[int, int]
    """(height, width) of the upright source frame."""
    focal_sigma: Tensor | None = None
    """Scalar standard deviation of the logarithm of the focal length; None if unknown."""
    log_scale: Tensor | None = None
    """Scalar logarithm of the factor by which the depth of this frame was scaled to the people in it. It settles in the
    course of a shot, whose camera path has the scale of its first frame. None if the network's depth is not scaled."""


@dataclass(frozen=True)
class People(TensorRecord):
    """The people of one frame along an axis, of length 0 without people."""

    track_id: Int64[Tensor, " P"]
    """Identity, never reused in a session."""
    score: Float[Tensor, " P"]
    """Detection score in [0, 1]."""
    head_uv_px: Float[Tensor, "P 2"]
    """Head keypoint in the upright source frame, pixels."""
    joint_rotations: Float[Tensor, "P 53 3 3"]
    """Local rotations: root (in the camera frame), 21 body, 15 left hand, 15 right hand, jaw."""
    betas: Float[Tensor, "P 10"]
    """Shape coefficients."""
    expression: Float[Tensor, "P 10"]
    """Face coefficients."""
    head_camera: Float[Tensor, "P 3"]
    """Position of the head joint (SMPL-X joint 15) in the camera frame, meters."""

    def __len__(self) -> int:
        return self.track_id.shape[0]


@dataclass(frozen=True)
class BodyParameters(TensorRecord):
    """Standard SMPL-X parameters of P bodies, for ``smplx`` layers (flat hand mean, no PCA).

    Rotations are axis-angle, radians. ``global_orient`` and ``transl`` are in world unless said otherwise.
    """

    global_orient: Float[Tensor, "P 3"]
    transl: Float[Tensor, "P 3"]
    """Meters."""
    body_pose: Float[Tensor, "P 21 3"]
    left_hand_pose: Float[Tensor, "P 15 3"]
    right_hand_pose: Float[Tensor, "P 15 3"]
    jaw_pose: Float[Tensor, "P 3"]
    leye_pose: Float[Tensor, "P 3"]
    reye_pose: Float[Tensor, "P 3"]
    betas: Float[Tensor, "P 10"]
    expression: Float[Tensor, "P 10"]

    def __len__(self) -> int:
        return self.global_orient.shape[0]


@dataclass(frozen=True)
class FramePrediction(TensorRecord):
    """What ``Session.step`` predicts for one frame."""

    frame_index: int
    """Index in the source clip."""
    time_s: float
    """Seconds from the start of the clip."""
    camera: Camera
    """Estimated camera, in pixels of the upright source frame, in the world of the session."""
    people: People
    """The people in the frame."""
    parameters_world: BodyParameters
    """The same people as standard SMPL-X parameters in world, for the body of the session."""
    joints_world: Float[Tensor, "P 55 3"]
    """SMPL-X joints, meters."""
    pointmap_camera: Float[Tensor, "h w 3"]
    """3D point per network pixel in the camera frame, meters."""
    confidence: Float[Tensor, "h w"]
    """At least 1, no unit."""
    person_mask: Float[Tensor, "h w"]
    """Probability that the pixel shows any person."""
    image: UInt8[Tensor, "h w 3"]
    """RGB, the network's own view of the frame: the colors of the pointmap."""
    source_rect_px: tuple[float, float, float, float]
    """(x0, y0, x1, y1) of the source frame that the ``h x w`` grid covers, pixel edges (a full frame is 0, 0, W, H)."""
    people_unfiltered: People | None = None
    """The same people as the network predicts them, before the causal filter; None without a filter."""
    keypoints: Float[Tensor, "P 17 3"] | None = None
    """(x, y) in pixels of the source frame, and score, of the COCO keypoints that bodies rest on; None without any."""
    shot: int = 0
    """Number of the shot, from 0; every shot has a world of its own."""
    frame_name: str = ""
    """File name of an image of a folder or zip; empty for the frames of a video."""


@dataclass(frozen=True)
class Track:
    """One identity over time."""

    track_id: int
    """Identity, as in ``People.track_id``."""
    betas: Float[np.ndarray, " 10"]
    """One shape for the whole track: the score-weighted mean of its observations."""
    frames: Int64[np.ndarray, " n"]
    """Rows into the processed frames in which the person was seen."""
    observations: Int64[np.ndarray, " n"]
    """Matching rows of the person table."""


def empty_people() -> People:
    """Return the record of a frame without people."""
    return People(
        track_id=torch.zeros(0, dtype=torch.int64),
        score=torch.zeros(0),
        head_uv_px=torch.zeros(0, 2),
        joint_rotations=torch.zeros(0, NUM_JOINT_ROTATIONS, 3, 3),
        betas=torch.zeros(0, 10),
        expression=torch.zeros(0, 10),
        head_camera=torch.zeros(0, 3),
    )
