"""The records that the parts of a network exchange; ``signatures`` has what each part makes of them.

Where an axis ``1`` is written, the batch is one video. No people are an axis ``P`` of length 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor

from human3r.records import TensorRecord

BatchT = TypeVar("BatchT", bound="BatchRecord")
PER_PERSON = ("score", "head_uv_px", "joint_rotations", "betas", "expression", "head_camera", "track_features")
"""Fields of ``NetworkPrediction`` whose first axis is the people; ``keypoints`` is another, where there are any."""


@dataclass(frozen=True)
class BatchRecord(TensorRecord):
    """A record whose tensors all have a leading batch axis ``B`` (frames of one clip encoded together)."""

    def select(self: BatchT, index: int) -> BatchT:
        """Return the record of frame ``index`` alone, batch axis kept."""
        return self.map(lambda tensor: tensor[index : index + 1])


@dataclass(frozen=True)
class ImageFeatures(BatchRecord):
    """Features of B frames of one size."""

    tokens: Tensor
    """``B N D`` image tokens, row-major over ``grid``."""
    grid: tuple[int, int]
    """(rows, columns), ``N = rows * columns``."""
    pyramid: tuple[Tensor, ...] = ()
    """``B C h w`` maps of finer strides, fine to coarse; empty for the paper's encoder."""


@dataclass(frozen=True)
class FrameTokens(TensorRecord):
    """Output of ``Human3R.encode`` for B frames: everything that needs no recurrent state."""

    image: ImageFeatures
    human: BatchRecord
    """Features of the human prior, of a class known to its prompter and heads."""
    image_size: tuple[int, int]
    """(height, width) of the network image, pixels."""
    person_mask: Tensor | None = None
    """``H W`` in [0, 1] of a single frame, if a ``LookAhead`` computed it; None leaves it to ``step``."""
    pixel_aspect: float = 1.0
    """Width of a network pixel over its height in the source: sides are resized to multiples of the patch."""

    def select(self, index: int) -> FrameTokens:
        """Return frame ``index`` alone, batch axis kept."""
        return FrameTokens(self.image.select(index), self.human.select(index), self.image_size)


@dataclass(frozen=True)
class Effort:
    """What encoding a frame of a live stream may cost."""

    second_look_interval: int = 1
    """People who hardly move get a second look every so many frames; 1 is every frame."""
    max_second_looks: int | None = None
    """At most so many people get one in a frame, in turn; None is no limit."""


FULL_EFFORT = Effort()


@dataclass(frozen=True)
class PromptContext(TensorRecord):
    """Input of the prompter beside the frame itself."""

    image_size: tuple[int, int]
    """(height, width) of the network image, pixels."""
    focal_px: Tensor | None
    """Scalar focal length of the previous frame, network pixels; None on the first frame of a segment."""
    people_capacity: int | None = None
    """Length that the person axis is padded to, so that shapes are known without waiting for the device and one
    compiled graph serves up to that many people; None for no padding."""


@dataclass(frozen=True)
class Detections(TensorRecord):
    """P people detected in one frame, in the order of every later person axis."""

    score: Tensor
    """``P`` detection score in [0, 1]."""
    head_uv_px: Tensor
    """``P 2`` (x, y) head keypoint in network pixels."""
    human_features: Tensor
    """``P C`` features of the human prior at the person."""
    prompts: Tensor
    """``P D`` human tokens that enter the decoder."""
    positions: Tensor
    """``P 2`` int64 (row, column) of the image token at each prompt's position."""
    track_features: Tensor | None = None
    """``P F`` features that identify a person over time; None to use the decoder's human tokens."""
    is_real: Tensor | None = None
    """``P`` bool, False for padding at the end of the axis; None without padding."""
    num_found: Tensor | None = None
    """Scalar int64 number of people, which may exceed the length of the padded axis; None without padding."""

    def __len__(self) -> int:
        return self.score.shape[0]


@dataclass(frozen=True)
class InferredFrame(BatchRecord):
    """In place of the human prior's features: a frame that is not encoded, since the frames around it show its people.

    ``FrameTokens.image`` then has a gray image only.
    """

    image: Tensor
    """``1 3 H W`` in [-1, 1], to be encoded where the camera turns out not to stand."""
    detections: Detections
    """Without prompts."""
    human: BatchRecord | None = None
    """The human prior's features with the people, where it ran."""


@dataclass(frozen=True)
class DecoderOutput(TensorRecord):
    """Output of the decoder for one frame."""

    levels: tuple[Tensor, ...]
    """``1 N D`` image tokens after half, three quarters and all of the blocks; only the last is normalized."""
    pose_token: Tensor
    """``1 1 D`` normalized."""
    human_tokens: Tensor
    """``1 P D`` normalized."""
    state_tokens: Tensor
    """``1 S D`` proposed new state, normalized, before any gate."""
    gate_logits: Tensor | None
    """``S`` mean cross-attention logit of each state token (TTT3R); None if not requested."""


@dataclass(frozen=True)
class DecodedFrame(TensorRecord):
    """Input of the heads; fp32."""

    levels: tuple[Tensor, ...]
    """``1 N D`` tokens of the image encoder, then the levels of the decoder."""
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
    """See ``RecurrentState``; None on the first frame of a segment."""
    pixel_aspect: float = 1.0
    """See ``FrameTokens``."""


@dataclass(frozen=True)
class ScenePoints(TensorRecord):
    """The visible surface of one frame."""

    pointmap_camera: Tensor
    """``H W 3`` meters, camera frame."""
    confidence: Tensor
    """``H W``, >= 1."""
    focal_px: Tensor
    """Scalar focal length in network pixels, principal point (W // 2, H // 2)."""
    focal_information: Tensor | None = None
    """Scalar inverse variance of the log focal length, from single images only; None if unknown."""
    focal_sigma: Tensor | None = None
    """Scalar standard deviation of the log focal length, from images and motion; None if unknown."""
    log_scale: Tensor | None = None
    """Scalar logarithm of the scale head's factor on the depth; None without such a head."""


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
    """``P 3`` head joint in the camera frame, meters."""
    joints_camera: Tensor | None = None
    """``P 22 3`` body joints in the camera frame, meters; None from a head without a skeleton."""
    keypoints: Tensor | None = None
    """``P 17 3`` (x, y) network pixels and score of the COCO keypoints that the bodies rest on; None without any."""


@dataclass(frozen=True)
class SceneExtras(TensorRecord):
    """Extra outputs of the paper's heads, which nothing downstream reads."""

    pointmap_segment: Tensor
    """``H W 3`` meters, frame of the first camera of the segment."""
    confidence_segment: Tensor
    """``H W``, >= 1."""
    rgb: Tensor
    """``H W 3`` in (-1, 1)."""


@dataclass(frozen=True)
class NetworkPrediction(TensorRecord):
    """Output of one ``step``, in network pixels and in the frame of the segment."""

    T_segment_camera: Tensor
    """``4 4`` camera in the frame of the segment's first camera, meters."""
    pointmap_camera: Tensor
    """``H W 3`` meters, camera frame."""
    confidence: Tensor
    """``H W``, >= 1."""
    focal_px: Tensor
    """Scalar, network pixels, principal point (W // 2, H // 2)."""
    person_mask: Tensor
    """``H W`` probability that the pixel shows a person."""
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
    """``P 3`` meters, camera frame."""
    track_features: Tensor
    """``P D`` features that identify a person over time."""
    extras: SceneExtras | None = None
    """None from a network without extra head."""
    num_found: Tensor | None = None
    """Scalar int64 number of people, which may exceed the length of the padded axis; None without padding."""
    focal_sigma: Tensor | None = None
    """Scalar standard deviation of the log focal length; None if unknown."""
    log_scale: Tensor | None = None
    """Scalar logarithm of the scale head's factor on the depth; None without such a head."""
    keypoints: Tensor | None = None
    """``P 17 3``, see ``PersonParameters``."""

    def select_people(self, rows: Tensor | slice) -> NetworkPrediction:
        """Return the prediction with some of the people only, without padding."""
        kept = {name: getattr(self, name)[rows] for name in PER_PERSON}
        return replace(self, num_found=None, keypoints=None if self.keypoints is None else self.keypoints[rows], **kept)


@dataclass(frozen=True)
class HandPoses(TensorRecord):
    """What a hand detector says of H hands."""

    presence: Tensor
    """``H`` probability that there is a hand."""
    own_side: Tensor
    """``H`` probability that it is a hand of the side it was taken for."""
    fingers: Tensor
    """``H 15 3`` rotation vectors of the finger joints, relative to a flat hand, in SMPL-X's order."""
    R_view_hand: Tensor
    """``H 3 3`` from SMPL-X's axes, in which the hand rests, to those of a camera that looks at the hand."""


@dataclass(frozen=True)
class RecurrentState(TensorRecord):
    """Everything that a stream keeps from frame to frame; fp32. ``step`` returns a new one and never modifies it."""

    state_tokens: Tensor
    """``1 S D``"""
    memory_slots: Tensor
    """``1 M 2D``"""
    has_history: bool = False
    """False on the first frame of a segment, which starts from the learned pose token and is not gated."""
    focal_px: Tensor | None = None
    """Scalar focal length that the point head predicted for the previous frame, network pixels; None at the start."""
    camera_state: TensorRecord | None = None
    """State of the camera head; None without history."""
    scale_state: TensorRecord | None = None
    """State of the scale head; None without history or without a scale head."""
    lens_state: TensorRecord | None = None
    """State of the lens head; None without history or without a lens head."""
    person_state: TensorRecord | None = None
    """State of the person head; None without history or of a head without memory."""
    rest_state: TensorRecord | None = None
    """What a standing camera makes redundant; None without history or for a network that leaves nothing out."""


@dataclass(frozen=True)
class RestScene(TensorRecord):
    """What is known about a frame whose scene and camera are those of an earlier one."""

    points: ScenePoints
    T_segment_camera: Tensor
    """``4 4``"""
    human_tokens: Tensor
    """``P D`` of the frame's people in the earlier frame."""
