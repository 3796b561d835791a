"""The assembly: ``encode`` what is stateless, ``step`` what is recurrent.

Composes injected parts and knows neither their sizes nor which architecture they belong to.
Sources: Human3R (arXiv 2510.06219), sec. 3; CUT3R (arXiv 2501.12387), sec. 3; TTT3R gate (arXiv 2509.26645).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from human3r.models.config import ModelConfig
from human3r.models.parts import (
    BatchedPointHead,
    CameraHead,
    DecodedFrame,
    Decoder,
    ExtraHead,
    FocusingCameraHead,
    FrameTokens,
    HumanPrior,
    ImageEncoder,
    LensHead,
    LookAhead,
    MaskHead,
    Memory,
    NetworkPrediction,
    PersonHead,
    PointHead,
    PromptContext,
    Prompter,
    RecurrentState,
    ScaleHead,
    ScenePoints,
)


@dataclass(frozen=True)
class NetworkParts:
    """The modules that a ``Human3R`` is composed of; each is an ``nn.Module`` that fulfils its Protocol."""

    image_encoder: ImageEncoder
    human_prior: HumanPrior
    prompter: Prompter
    decoder: Decoder
    memory: Memory
    point_head: PointHead
    mask_head: MaskHead
    camera_head: CameraHead
    person_head: PersonHead
    extra_head: ExtraHead | None = None
    """None: lean heads, no by-products."""
    lens_head: LensHead | None = None
    """None: the point head's own focal length is final."""
    scale_head: ScaleHead | None = None
    """None: the point head's own scale is final."""
    look_ahead: LookAhead | None = None
    """No module of its own; None: ``encode`` ends with the features."""


class Human3R(nn.Module):
    """Everyone, the scene and the camera from one stream of frames.

    Args:
        config: What the parts were built from; kept so that weights can be saved with it.
        parts: The modules.
    """

    def __init__(self, config: ModelConfig, parts: NetworkParts) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = parts.image_encoder
        self.human_prior = parts.human_prior
        self.prompter = parts.prompter
        self.decoder = parts.decoder
        self.memory = parts.memory
        self.point_head = parts.point_head
        self.mask_head = parts.mask_head
        self.camera_head = parts.camera_head
        self.person_head = parts.person_head
        self.extra_head = parts.extra_head
        self.lens_head = parts.lens_head
        self.scale_head = parts.scale_head
        self.look_ahead = parts.look_ahead

    def encode(self, image: Tensor) -> FrameTokens:
        """Encode frames; stateless, so frames of a clip may share a batch.

        Args:
            image: ``B 3 H W`` RGB in [-1, 1], sides as ``human3r.video.preprocess`` makes them.
        """
        height, width = image.shape[-2:]
        tokens = FrameTokens(self.image_encoder(image), self.human_prior(image), (height, width))
        return tokens if self.look_ahead is None or image.shape[0] > 1 else self.look_ahead(tokens)

    def encode_each(self, images: Tensor) -> list[FrameTokens]:
        """Encode ``B 3 H W`` frames together, and return what ``encode`` says about each of them alone.

        Sums may be taken in another order: outputs differ by roundings.
        """
        together = self.encode(images)
        if images.shape[0] == 1:
            return [together]
        each = [together.select(index) for index in range(images.shape[0])]
        return each if self.look_ahead is None else [self.look_ahead(tokens) for tokens in each]

    def initial_state(self) -> RecurrentState:
        """Return the state before the first frame of a stream."""
        return RecurrentState(self.decoder.initial_state().float(), self.memory.initial_slots().float())

    def reset(self, state: RecurrentState) -> RecurrentState:
        """Return the state that begins a new segment: everything as before the first frame.

        The next frame starts from the learned pose token, and its camera is relative to itself; whoever resets chains
        the segments. Identities are not part of the state and go on.
        """
        fresh = self.initial_state()
        return fresh.to(state.state_tokens.device)

    def step(
        self,
        tokens: FrameTokens,
        state: RecurrentState,
        *,
        use_ttt3r: bool = False,
        update: bool = True,
        people_capacity: int | None = None,
    ) -> tuple[NetworkPrediction, RecurrentState]:
        """Advance the stream by one frame. Pure: neither argument changes.

        Args:
            tokens: One encoded frame (batch 1).
            state: From ``initial_state``, ``reset`` or the previous ``step``.
            use_ttt3r: Gate the state update of each state token by its mean attention logit.
            update: False looks at the frame without remembering it.
            people_capacity: Pad the person axis to so many (see ``NetworkPrediction.num_found``): the step then never
                waits for the device. None takes as many as there are, for which it must be asked once.
        """
        frame, after = self._recur(tokens, state, use_ttt3r, people_capacity)
        prediction, after = self._predict(frame, tokens.person_mask, after)
        return prediction, after if update else replace(state, has_history=True, focal_px=after.focal_px)

    @property
    def can_step_together(self) -> bool:
        """Whether what the heads find stays out of the next frame, so that they may wait for several."""
        return isinstance(self.point_head, BatchedPointHead) and self.scale_head is None and self.lens_head is None

    def step_together(
        self,
        frames: Sequence[FrameTokens],
        state: RecurrentState,
        *,
        use_ttt3r: bool = False,
        people_capacity: int | None = None,
    ) -> list[tuple[NetworkPrediction, RecurrentState]]:
        """Advance the stream by several frames of one size: the recurrence one by one, the point head all at once.

        The plain twin is ``step`` in a loop. Only where ``can_step_together``.

        Args:
            frames: Encoded frames (batch 1 each), in order.
            state: State before the first.
            use_ttt3r: See ``step``.
            people_capacity: See ``step``.

        Returns:
            What ``step`` returns for each frame.
        """
        assert isinstance(self.point_head, BatchedPointHead)
        decoded: list[DecodedFrame] = []
        states = [state]
        for tokens in frames:
            frame, after = self._recur(tokens, states[-1], use_ttt3r, people_capacity)
            decoded.append(frame)
            states.append(after)
        with _without_autocast(state.state_tokens.device):
            points = self.point_head.together(decoded)
        results = []
        for index, (tokens, frame) in enumerate(zip(frames, decoded, strict=True)):
            heads = replace(states[index + 1], cue=states[index].cue)
            prediction, states[index + 1] = self._predict(frame, tokens.person_mask, heads, points[index])
            results.append((prediction, states[index + 1]))
        return results

    def _recur(
        self, tokens: FrameTokens, state: RecurrentState, use_ttt3r: bool, people_capacity: int | None
    ) -> tuple[DecodedFrame, RecurrentState]:
        """Run what reads and writes the state; the heads' part of the new state is still that of the old one."""
        context = PromptContext(tokens.image_size, state.focal_px, people_capacity)
        detections = self.prompter(tokens.human, tokens.image, context)
        pose_token = (
            self.memory.read(tokens.image.tokens, state.memory_slots)
            if state.has_history
            else self.memory.first_pose_token()
        )
        decoded = self.decoder(tokens.image, pose_token, detections, state.state_tokens, with_gate=use_ttt3r)
        memory_slots = self.memory.write(tokens.image.tokens, decoded.pose_token, state.memory_slots)
        gate = decoded.gate_logits if state.has_history else None
        state_tokens = gate_state(decoded.state_tokens.float(), state.state_tokens, gate)
        frame = DecodedFrame(
            levels=tuple(level.float() for level in (tokens.image.tokens, *decoded.levels)),
            pose_token=decoded.pose_token[:, 0].float(),
            human_tokens=decoded.human_tokens[0].float(),
            image=tokens.image,
            human=tokens.human,
            detections=detections,
            image_size=tokens.image_size,
            previous_focal_px=state.focal_px,
        )
        return frame, replace(state, state_tokens=state_tokens, memory_slots=memory_slots.float(), has_history=True)

    def _predict(
        self, frame: DecodedFrame, person_mask: Tensor | None, state: RecurrentState, points: ScenePoints | None = None
    ) -> tuple[NetworkPrediction, RecurrentState]:
        """Run the heads, always in fp32: exponentials of raw outputs do not survive 8 bits of mantissa.

        Returns:
            The prediction, and ``state`` with what the heads leave to the next frame.
        """
        detections = frame.detections
        with _without_autocast(frame.pose_token.device):
            points = self.point_head(frame) if points is None else points
            person_mask = self.mask_head(frame) if person_mask is None else person_mask
            seen_focal_px = points.focal_px
            lens_cue = None
            if self.lens_head is not None:
                points, lens_cue = self.lens_head(frame, points, person_mask, state.lens_cue)
            if isinstance(self.camera_head, FocusingCameraHead):
                points = self.camera_head.refocus(points, state.cue)
            people = self.person_head(frame, points)
            scale_cue = None
            if self.scale_head is not None:
                points, scale_cue = self.scale_head(frame, points, person_mask, people, state.scale_cue)
            T_segment_camera, cue = self.camera_head(frame, points, person_mask, state.cue)
            extras = None if self.extra_head is None else self.extra_head(frame)
        prediction = NetworkPrediction(
            T_segment_camera=T_segment_camera,
            pointmap_camera=points.pointmap_camera,
            confidence=points.confidence,
            focal_px=points.focal_px,
            person_mask=person_mask,
            score=detections.score,
            head_uv_px=detections.head_uv_px,
            joint_rotations=people.joint_rotations,
            betas=people.betas,
            expression=people.expression,
            head_camera=people.head_camera,
            track_features=frame.human_tokens if detections.track_features is None else detections.track_features,
            extras=extras,
            num_found=detections.num_found,
        )
        return prediction, replace(state, focal_px=seen_focal_px, cue=cue, scale_cue=scale_cue, lens_cue=lens_cue)


def _without_autocast(device: torch.device) -> AbstractContextManager:
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def gate_state(proposed: Tensor, previous: Tensor, gate_logits: Tensor | None) -> Tensor:
    """Mix the proposed state into the previous one.

    Args:
        proposed: ``1 S D`` new state of the decoder.
        previous: ``1 S D`` state before the frame.
        gate_logits: ``S``, or None to take the proposed state whole.
    """
    if gate_logits is None:
        return proposed
    gate = torch.sigmoid(gate_logits)[None, :, None]
    return gate * proposed + (1 - gate) * previous
