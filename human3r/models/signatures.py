"""The signatures of a network's parts, and the set of parts that ``human3r.models.human3r`` assembles.

The assembly depends on these only; implementations are in ``paper`` and ``compact``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from human3r.models.decoder import DualDecoder
from human3r.models.memory import PoseMemory
from human3r.models.parts import (
    FULL_EFFORT,
    BatchRecord,
    DecodedFrame,
    Detections,
    Effort,
    FrameTokens,
    HandPoses,
    ImageFeatures,
    PersonParameters,
    PromptContext,
    RestScene,
    SceneExtras,
    ScenePoints,
)
from human3r.records import TensorRecord


class ImageEncoder(nn.Module):
    """Encode ``B 3 H W`` in [-1, 1] into ``ImageFeatures``."""

    has_complex_rope = False
    """Whether ``interleave_rotary_channels`` was applied."""


HumanPrior = Callable[[Tensor], BatchRecord]
"""From ``B 3 H W`` in [-1, 1] to a record of the prior's own class."""


class LookAhead(Protocol):
    """What else needs no recurrent state, for single frames (batch 1)."""

    def detect(self, image: Tensor, previous: BatchRecord | None = None, effort: Effort = FULL_EFFORT) -> BatchRecord:
        """Find the people of a ``1 3 H W`` frame; with little effort, with what was found in the frame before."""
        ...

    def encode_between(self, before: FrameTokens, images: Tensor, last: FrameTokens) -> list[FrameTokens]:
        """Encode the ``B 3 H W`` frames between two encoded ones, with the help of these; see ``encode_each``.

        Returns:
            All frames after ``before``.
        """
        ...

    def encode_after(self, before: FrameTokens, image: Tensor, human: BatchRecord) -> FrameTokens | None:
        """Return a ``1 3 H W`` frame of a standing camera from an encoded one and the output of ``detect``.

        None: the camera moves, or somebody is new.
        """
        ...

    def add_mask(self, tokens: FrameTokens) -> FrameTokens:
        """Add the mask of completed features."""
        ...


Prompter = Callable[[BatchRecord, ImageFeatures, PromptContext], Detections]
"""Detect people in one frame (batch 1) and make their prompts: the only place of ``step`` that waits for a device."""
PointHead = Callable[[DecodedFrame], ScenePoints]
MaskHead = Callable[[DecodedFrame], Tensor]
"""Return ``H W`` in [0, 1] at network pixels."""
PersonHead = Callable[[DecodedFrame, ScenePoints, TensorRecord | None], tuple[PersonParameters, TensorRecord | None]]
"""Predict the people of ``frame.detections``, in that order."""
LensHead = Callable[[DecodedFrame, ScenePoints, Tensor, TensorRecord | None], tuple[ScenePoints, TensorRecord]]
"""From points, person mask ``H W`` and state to the points under the corrected focal length and the next state."""
ScaleHead = Callable[
    [DecodedFrame, ScenePoints, Tensor, PersonParameters, TensorRecord | None], tuple[ScenePoints, TensorRecord]
]
"""From points, person mask ``H W``, people and state to the rescaled points and the next state."""
ExtraHead = Callable[[DecodedFrame], SceneExtras]


@runtime_checkable
class BatchedPointHead(Protocol):
    """A point head without recurrence, which may process several frames at once."""

    def predict_batch(self, frames: Sequence[DecodedFrame]) -> list[ScenePoints]:
        """Predict frames of one size."""
        ...


class CameraHead(Protocol):
    """Estimate the camera, and refine the focal length from the motion."""

    def __call__(
        self, frame: DecodedFrame, points: ScenePoints, person_mask: Tensor, state: TensorRecord | None
    ) -> tuple[Tensor, TensorRecord | None]:
        """Return ``T_segment_camera`` (``4 4``) and the next state."""
        ...

    def refine_focal(self, points: ScenePoints, state: TensorRecord | None) -> ScenePoints:
        """Return the points under the focal length that the previous frames imply."""
        ...


class Rest(Protocol):
    """Leaves out most of ``step`` where a standing camera makes it redundant."""

    def recall(self, tokens: FrameTokens, detections: Detections, state: TensorRecord | None) -> RestScene | None:
        """Return what holds for an encoded frame with these people; None: it has to run through the network."""
        ...

    def may_leave_out(self, state: TensorRecord | None) -> bool:
        """Return whether an encoded frame may be left out, if the camera still stands."""
        ...

    def left_out(self, state: TensorRecord | None) -> TensorRecord | None:
        """Return the state after a frame that was left out."""
        ...

    def remember(
        self,
        frame: DecodedFrame,
        points: ScenePoints,
        person_mask: Tensor,
        T_segment_camera: Tensor,
        state: TensorRecord | None,
    ) -> TensorRecord | None:
        """Return the state after a whole frame."""
        ...


HandDetector = Callable[[Tensor, Tensor, Tensor], HandPoses]
"""Read the fingers of H hands; not part of ``Human3R.step``.

From the source frame (``H W 3`` uint8 RGB, on the CPU), squares ``H 4`` (center x and y, side, clockwise turn that has
the fingers up; pixels), and ``H`` bool, whether each is a right hand.
"""


@dataclass(frozen=True)
class NetworkParts:
    """The parts of a ``Human3R``; all but ``look_ahead`` and ``rest`` are modules."""

    image_encoder: ImageEncoder
    human_prior: HumanPrior
    prompter: Prompter
    decoder: DualDecoder
    memory: PoseMemory
    point_head: PointHead
    mask_head: MaskHead
    camera_head: CameraHead
    person_head: PersonHead
    extra_head: ExtraHead | None = None
    lens_head: LensHead | None = None
    """None keeps the focal length of the point head."""
    scale_head: ScaleHead | None = None
    """None keeps the scale of the point head."""
    look_ahead: LookAhead | None = None
    rest: Rest | None = None
    """None runs every frame through the whole network."""
    hand_detector: HandDetector | None = None
    """None leaves hands to the person head. The runtime calls it, with source frames."""
