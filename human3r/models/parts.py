"""What a Human3R network is composed of: the records that parts exchange and the Protocols that they fulfil.

The assembly in ``human3r.models.human3r`` knows only this file. Official parts live beside it, compact ones in
``human3r.models.compact``. One stream: where an axis ``1`` is written, the batch is one video. Nobody in the frame is
an axis ``P`` of length 0, never a missing record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, runtime_checkable

from torch import Tensor

from human3r.records import TensorRecord

BatchT = TypeVar("BatchT", bound="BatchRecord")
PER_PERSON = ("score", "head_uv_px", "joint_rotations", "betas", "expression", "head_camera", "track_features")
"""Fields of ``NetworkPrediction`` whose first axis is the people."""


@dataclass(frozen=True)
class BatchRecord(TensorRecord):
    """A record whose every tensor has a leading batch axis ``B`` (frames of one clip encoded together)."""

    def select(self: BatchT, index: int) -> BatchT:
        """Return the record of frame ``index`` alone, batch axis kept."""
        return self.map(lambda tensor: tensor[index : index + 1])


@dataclass(frozen=True)
class ImageFeatures(TensorRecord):
    """What the image encoder says about B frames of one size."""

    tokens: Tensor
    """``B N D`` image tokens, row-major over ``grid``."""
    positions: Tensor
    """``N 2`` int64 (row, column) of each token."""
    grid: tuple[int, int]
    """(rows, columns), ``N = rows * columns``."""
    pyramid: tuple[Tensor, ...] = ()
    """``B C h w`` maps of finer strides, fine to coarse; empty for the official encoder."""

    def select(self, index: int) -> ImageFeatures:
        """Return the features of frame ``index`` alone, batch axis kept."""
        one = slice(index, index + 1)
        return ImageFeatures(self.tokens[one], self.positions, self.grid, tuple(level[one] for level in self.pyramid))


@dataclass(frozen=True)
class FrameTokens(TensorRecord):
    """Everything stateless about B frames: the output of ``Human3R.encode``."""

    image: ImageFeatures
    """Features of the image encoder."""
    human: BatchRecord
    """Features of the human prior; the class is the prior's own, only its prompter and heads read it."""
    image_size: tuple[int, int]
    """(height, width) of the network image, pixels."""
    person_mask: Tensor | None = None
    """``H W`` in [0, 1] of a single frame, where a ``LookAhead`` made it; None leaves it to ``step``."""

    def select(self, index: int) -> FrameTokens:
        """Return frame ``index`` alone, batch axis kept."""
        return FrameTokens(self.image.select(index), self.human.select(index), self.image_size)


@dataclass(frozen=True)
class PromptContext(TensorRecord):
    """What the prompter may know beside the frame itself."""

    image_size: tuple[int, int]
    """(height, width) of the network image, pixels."""
    focal_px: Tensor | None
    """Scalar focal length of the previous frame in network pixels, or None on the first frame of a segment."""
    people_capacity: int | None = None
    """Length that the person axis is padded to, or None for its true length: shapes are then known without asking the
    device, and one compiled graph serves any number of people up to it."""


@dataclass(frozen=True)
class Detections(TensorRecord):
    """P people found in one frame, in the order that every later person axis keeps."""

    score: Tensor
    """``P`` detection score in [0, 1]."""
    head_uv_px: Tensor
    """``P 2`` (x, y) head keypoint in network pixels."""
    human_features: Tensor
    """``P C`` features of the human prior at the person."""
    prompts: Tensor
    """``P D`` human tokens that enter the decoder."""
    positions: Tensor
    """``P 2`` int64 (row, column) of the image token that each prompt sits on."""
    track_features: Tensor | None = None
    """``P F`` features that identify a person over time, or None: the decoder's human tokens do."""
    is_real: Tensor | None = None
    """``P`` bool, False for padding at the end of the axis; None where there is none."""
    num_found: Tensor | None = None
    """Scalar int64: people in the frame, which may be more than the padded axis holds; None without padding."""

    def __len__(self) -> int:
        return self.score.shape[0]


@dataclass(frozen=True)
class DecoderOutput(TensorRecord):
    """What the twin decoder says about one frame."""

    levels: tuple[Tensor, ...]
    """``1 N D`` image tokens after half, three quarters and all of the blocks; only the last is normalised."""
    pose_token: Tensor
    """``1 1 D`` normalised."""
    human_tokens: Tensor
    """``1 P D`` normalised."""
    state_tokens: Tensor
    """``1 S D`` proposed new state, normalised, before any gate."""
    gate_logits: Tensor | None
    """``S`` mean cross-attention logit of each state token (TTT3R), or None where it was not asked for."""


@dataclass(frozen=True)
class DecodedFrame(TensorRecord):
    """Everything that a head may look at; fp32."""

    levels: tuple[Tensor, ...]
    """``1 N D`` each: tokens of the image encoder, then the levels of the decoder."""
    pose_token: Tensor
    """``1 D``"""
    human_tokens: Tensor
    """``P D``"""
    image: ImageFeatures
    human: BatchRecord
    detections: Detections
    image_size: tuple[int, int]
    """(height, width) of the network image, pixels."""
    previous_focal_px: Tensor | None = None
    """Scalar focal length that the point head saw in the previous frame, network pixels; None on the first frame of a
    segment."""


@dataclass(frozen=True)
class ScenePoints(TensorRecord):
    """The visible surface of one frame."""

    pointmap_camera: Tensor
    """``H W 3`` metres, camera frame."""
    confidence: Tensor
    """``H W``, >= 1."""
    focal_px: Tensor
    """Scalar focal length in network pixels, principal point (W // 2, H // 2)."""
    focal_information: Tensor | None = None
    """Scalar, inverse variance of the logarithm of ``focal_px`` before any motion; None where nobody knows it."""


@dataclass(frozen=True)
class PersonParameters(TensorRecord):
    """Body parameters of P people."""

    joint_rotations: Tensor
    """``P 53 3 3`` local rotations: root (in the camera frame), 21 body, 15 left hand, 15 right hand, jaw."""
    betas: Tensor
    """``P 10``"""
    expression: Tensor
    """``P 10``"""
    head_camera: Tensor
    """``P 3`` head joint in the camera frame, metres."""
    joints_camera: Tensor | None = None
    """``P 22 3`` body joints in the camera frame, metres, or None where the head does not know the body."""


@dataclass(frozen=True)
class SceneExtras(TensorRecord):
    """By-products of the official heads; nothing downstream needs them."""

    pointmap_segment: Tensor
    """``H W 3`` metres, frame of the first camera of the segment."""
    confidence_segment: Tensor
    """``H W``, >= 1."""
    rgb: Tensor
    """``H W 3`` in (-1, 1)."""


@dataclass(frozen=True)
class NetworkPrediction(TensorRecord):
    """What one ``step`` says about one frame, in network pixels and in the world of the segment."""

    T_segment_camera: Tensor
    """``4 4`` camera in the frame of the segment's first camera, metres."""
    pointmap_camera: Tensor
    """``H W 3`` metres, camera frame."""
    confidence: Tensor
    """``H W``, >= 1."""
    focal_px: Tensor
    """Scalar, network pixels, principal point (W // 2, H // 2)."""
    person_mask: Tensor
    """``H W`` probability that the pixel shows any person."""
    score: Tensor
    """``P``"""
    head_uv_px: Tensor
    """``P 2`` network pixels."""
    joint_rotations: Tensor
    """``P 53 3 3``"""
    betas: Tensor
    """``P 10``"""
    expression: Tensor
    """``P 10``"""
    head_camera: Tensor
    """``P 3`` metres, camera frame."""
    track_features: Tensor
    """``P D`` features that identify a person over time."""
    extras: SceneExtras | None = None
    """By-products, or None for a network with lean heads."""
    num_found: Tensor | None = None
    """Scalar int64: how many of the person axis are real, or more than that where it was too short; None: all are."""

    def first_people(self, count: int) -> NetworkPrediction:
        """Return the prediction with the first ``count`` people only, without padding."""
        return replace(self, num_found=None, **{name: getattr(self, name)[:count] for name in PER_PERSON})


@dataclass(frozen=True)
class RecurrentState(TensorRecord):
    """All that a stream carries from frame to frame; fp32. ``step`` returns a new one and never writes into the old."""

    state_tokens: Tensor
    """``1 S D``"""
    memory_slots: Tensor
    """``1 M 2D``"""
    has_history: bool = False
    """False on the first frame of a segment: the pose token is then the learned one, and nothing is gated."""
    focal_px: Tensor | None = None
    """Scalar focal length that the point head saw in the previous frame, network pixels; None without history."""
    cue: TensorRecord | None = None
    """What the camera head keeps for itself (an anchor frame's features, say); None without history."""
    scale_cue: TensorRecord | None = None
    """What the scale head keeps for itself; None without history or without a scale head."""
    lens_cue: TensorRecord | None = None
    """What the lens head keeps for itself; None without history or without a lens head."""


class ImageEncoder(Protocol):
    """Turn an image into tokens."""

    def __call__(self, image: Tensor) -> ImageFeatures:
        """Encode ``B 3 H W`` in [-1, 1]."""


class HumanPrior(Protocol):
    """Look for people; the record that comes back is the prior's own."""

    def __call__(self, image: Tensor) -> BatchRecord:
        """Encode ``B 3 H W`` in [-1, 1]."""


class LookAhead(Protocol):
    """Do ahead of ``step`` what else of it needs no recurrent state."""

    def __call__(self, tokens: FrameTokens) -> FrameTokens:
        """Complete the tokens of one frame (batch 1)."""


class Prompter(Protocol):
    """Detect people and make a prompt for each. P is learnt here: the one place of ``step`` that waits for a device."""

    def __call__(self, human: BatchRecord, image: ImageFeatures, context: PromptContext) -> Detections:
        """Detect in one frame (batch 1)."""


class Decoder(Protocol):
    """Exchange information between the frame and the state."""

    def initial_state(self) -> Tensor:
        """Return ``1 S D``, the state before the first frame."""

    def __call__(
        self, image: ImageFeatures, pose_token: Tensor, detections: Detections, state_tokens: Tensor, *, with_gate: bool
    ) -> DecoderOutput:
        """Decode one frame; ``pose_token`` is ``1 1 D``."""


class Memory(Protocol):
    """Remember where the camera went: the source of the pose token."""

    def initial_slots(self) -> Tensor:
        """Return ``1 M 2D``, the memory before the first frame."""

    def first_pose_token(self) -> Tensor:
        """Return ``1 1 D``, the learned pose token of a segment's first frame."""

    def read(self, image_tokens: Tensor, memory_slots: Tensor) -> Tensor:
        """Return the pose token ``1 1 D`` that the memory holds for this frame."""

    def write(self, image_tokens: Tensor, pose_token: Tensor, memory_slots: Tensor) -> Tensor:
        """Return new memory slots ``1 M 2D``."""


class PointHead(Protocol):
    """Predict the visible surface."""

    def __call__(self, frame: DecodedFrame) -> ScenePoints:
        """Predict one frame."""


@runtime_checkable
class BatchedPointHead(PointHead, Protocol):
    """A point head that may see several frames at once; nothing that it finds enters the next frame."""

    def together(self, frames: Sequence[DecodedFrame]) -> list[ScenePoints]:
        """Predict frames of one size."""


class MaskHead(Protocol):
    """Predict which pixels show people."""

    def __call__(self, frame: DecodedFrame) -> Tensor:
        """Return ``H W`` in [0, 1] at network pixels."""


class CameraHead(Protocol):
    """Predict where the camera is."""

    def __call__(
        self, frame: DecodedFrame, points: ScenePoints, person_mask: Tensor, cue: TensorRecord | None
    ) -> tuple[Tensor, TensorRecord | None]:
        """Return ``T_segment_camera`` (``4 4``) and the cue for the next frame."""


class LensHead(Protocol):
    """Correct the focal length by what the picture's own geometry says."""

    def __call__(
        self, frame: DecodedFrame, points: ScenePoints, person_mask: Tensor, cue: TensorRecord | None
    ) -> tuple[ScenePoints, TensorRecord | None]:
        """Return the points as the corrected lens sees them, and the cue for the next frame."""


@runtime_checkable
class FocusingCameraHead(CameraHead, Protocol):
    """A camera head that learns the focal length from motion, too."""

    def refocus(self, points: ScenePoints, cue: TensorRecord | None) -> ScenePoints:
        """Return the points of one frame with what is known after the frames before it."""


class PersonHead(Protocol):
    """Predict the bodies."""

    def __call__(self, frame: DecodedFrame, points: ScenePoints) -> PersonParameters:
        """Predict everyone in ``frame.detections``, in that order."""


class ScaleHead(Protocol):
    """Bring the scene to the scale of the people in it: nobody's size is as well known as a person's."""

    def __call__(
        self,
        frame: DecodedFrame,
        points: ScenePoints,
        person_mask: Tensor,
        people: PersonParameters,
        cue: TensorRecord | None,
    ) -> tuple[ScenePoints, TensorRecord | None]:
        """Return the rescaled points and the cue for the next frame."""


class ExtraHead(Protocol):
    """Predict the by-products."""

    def __call__(self, frame: DecodedFrame) -> SceneExtras:
        """Predict one frame."""
