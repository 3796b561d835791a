"""The assembled network: ``encode`` is stateless, ``step`` is recurrent.

Composes injected parts, independent of their sizes and architecture.
Sources: Human3R (arXiv 2510.06219), sec. 3; CUT3R (arXiv 2501.12387), sec. 3; TTT3R gate (arXiv 2509.26645).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from human3r.models.config import ModelConfig
from human3r.models.decoder import gate_state
from human3r.models.layers.rope_complex import interleave_rotary_channels
from human3r.models.parts import (
    FULL_EFFORT,
    BatchRecord,
    DecodedFrame,
    Detections,
    Effort,
    FrameTokens,
    InferredFrame,
    NetworkPrediction,
    PersonParameters,
    PromptContext,
    RecurrentState,
    RestScene,
    ScenePoints,
)
from human3r.models.precision import without_autocast
from human3r.models.signatures import BatchedPointHead, NetworkParts
from human3r.records import TensorRecord


class Human3R(nn.Module):
    """People, scene and camera from one stream of frames; ``config`` is saved with the weights."""

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
        self.rest = parts.rest
        self.hand_detector = parts.hand_detector

    @property
    def state_types(self) -> tuple[type[TensorRecord], ...]:
        """Classes of the heads' states, for snapshots."""
        heads = (self.camera_head, self.lens_head, self.scale_head, self.person_head, self.rest)
        return tuple(getattr(head, "state_type") for head in heads if hasattr(head, "state_type"))  # noqa: B009

    def detect(self, image: Tensor, previous: BatchRecord | None = None, effort: Effort = FULL_EFFORT) -> BatchRecord:
        """Run the half of ``encode`` that looks for people; takes about as long as the other half and a step.

        Stateless, except that less than full effort takes from ``previous``, the frame before, what has hardly changed.
        """
        if self.look_ahead is None or image.shape[0] > 1:
            return self.human_prior(image)
        return self.look_ahead.detect(image, previous, effort)

    def encode(self, image: Tensor, human: BatchRecord | None = None) -> FrameTokens:
        """Encode ``B 3 H W`` RGB in [-1, 1], sides as ``human3r.video.preprocess`` makes them. Stateless.

        Args:
            image: The frames.
            human: From ``detect`` of the same frames; None detects now.
        """
        height, width = image.shape[-2:]
        human = self.detect(image) if human is None else human
        tokens = FrameTokens(self.image_encoder(image), human, (height, width))
        return tokens if self.look_ahead is None or image.shape[0] > 1 else self.look_ahead.add_mask(tokens)

    def encode_after(
        self, before: FrameTokens, image: Tensor, human: BatchRecord, state: RecurrentState
    ) -> FrameTokens:
        """Encode a ``1 3 H W`` frame of a stream, as far as ``step`` needs it after ``state``.

        Args:
            before: The last frame that was encoded whole.
            image: The frame.
            human: From ``detect`` of it.
            state: From the ``step`` before.
        """
        tokens = None
        if self.look_ahead is not None and self.rest is not None and self.rest.may_leave_out(state.rest_state):
            tokens = self.look_ahead.encode_after(before, image, human)
        return self.encode(image, human) if tokens is None else tokens

    def encode_each(
        self, images: Tensor, before: FrameTokens | None = None, last: FrameTokens | None = None
    ) -> list[FrameTokens]:
        """Encode ``B 3 H W`` consecutive frames together.

        Equal to ``encode`` of each up to the order of sums, and to what ``look_ahead`` leaves out between frames.

        Args:
            images: The frames, of one shot.
            before: The frame just before them, the last of an earlier call; None: there is none.
            last: The last frame, where ``encode`` was called with it before; only with ``look_ahead``.
        """
        if self.look_ahead is None:
            batch = self.encode(images)
            return [batch.select(index) for index in range(images.shape[0])]
        if last is None:
            last = self.encode(images[-1:], self.detect(images[-1:], None if before is None else before.human))
        if before is not None:
            return self.look_ahead.encode_between(before, images[:-1], last)
        if images.shape[0] == 1:
            return [last]
        first = self.encode(images[:1])
        return [first, *self.look_ahead.encode_between(first, images[1:-1], last)]

    def use_complex_rope(self) -> None:
        """Rotate queries and keys by complex products, the fastest way on a CPU. For inference only, and once."""
        for part in (self.image_encoder, self.decoder):
            interleave_rotary_channels(part)
            part.has_complex_rope = True

    def initial_state(self) -> RecurrentState:
        """Return the state before the first frame of a stream."""
        return RecurrentState(self.decoder.initial_state().float(), self.memory.initial_slots().float())

    def reset(self, state: RecurrentState) -> RecurrentState:
        """Return the initial state, on the device of ``state``: the next frame is the first of a new segment.

        Camera poses are then relative to that frame; the caller chains the segments. Identities are not affected.
        """
        return self.initial_state().to(state.state_tokens.device)

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
            update: False predicts the frame without updating state tokens and memory.
            people_capacity: Pad the person axis to this length (see ``NetworkPrediction.num_found``), so that the step
                never waits for the device. None for the number of people, which is read once.
        """
        detections = self._detect(tokens, state, people_capacity)
        kept = None if self.rest is None else self.rest.recall(tokens, detections, state.rest_state)
        if kept is not None:
            return self._predict_people(tokens, detections, kept, state)
        if isinstance(tokens.human, InferredFrame):
            tokens = replace(self.encode(tokens.human.image, tokens.human.human), pixel_aspect=tokens.pixel_aspect)
            detections = self._detect(tokens, state, people_capacity)
        frame, after = self._recur(tokens, state, detections, use_ttt3r)
        prediction, after = self._predict(frame, tokens.person_mask, after)
        return prediction, after if update else replace(state, has_history=True, focal_px=after.focal_px)

    @property
    def can_step_together(self) -> bool:
        """Whether the prediction of a frame does not depend on the point heads of earlier ones."""
        return isinstance(self.point_head, BatchedPointHead) and self.scale_head is None and self.lens_head is None

    def step_together(
        self,
        frames: Sequence[FrameTokens],
        state: RecurrentState,
        *,
        use_ttt3r: bool = False,
        people_capacity: int | None = None,
    ) -> list[tuple[NetworkPrediction, RecurrentState]]:
        """Advance the stream by several encoded frames of one size, with the point head batched.

        Equal to ``step`` in a loop up to the order of sums. Requires ``can_step_together``.
        """
        assert isinstance(self.point_head, BatchedPointHead)
        decoded: list[DecodedFrame] = []
        states = [state]
        for tokens in frames:
            detections = self._detect(tokens, states[-1], people_capacity)
            frame, after = self._recur(tokens, states[-1], detections, use_ttt3r)
            decoded.append(frame)
            states.append(after)
        with without_autocast(state.state_tokens.device):
            points = self.point_head.predict_batch(decoded)
        results = []
        for index, (tokens, frame) in enumerate(zip(frames, decoded, strict=True)):
            heads = replace(
                states[index + 1], camera_state=states[index].camera_state, person_state=states[index].person_state
            )
            prediction, states[index + 1] = self._predict(frame, tokens.person_mask, heads, points[index])
            results.append((prediction, states[index + 1]))
        return results

    def _detect(self, tokens: FrameTokens, state: RecurrentState, people_capacity: int | None) -> Detections:
        if isinstance(tokens.human, InferredFrame):
            return tokens.human.detections
        context = PromptContext(tokens.image_size, state.focal_px, people_capacity)
        return self.prompter(tokens.human, tokens.image, context)

    def _recur(
        self, tokens: FrameTokens, state: RecurrentState, detections: Detections, use_ttt3r: bool
    ) -> tuple[DecodedFrame, RecurrentState]:
        """Run the recurrence; the states of the heads are still those of the previous frame."""
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
            pixel_aspect=tokens.pixel_aspect,
        )
        return frame, replace(state, state_tokens=state_tokens, memory_slots=memory_slots.float(), has_history=True)

    def _predict(
        self, frame: DecodedFrame, person_mask: Tensor | None, state: RecurrentState, points: ScenePoints | None = None
    ) -> tuple[NetworkPrediction, RecurrentState]:
        """Run the heads, in fp32: raw outputs are exponents, for which 8 bits of mantissa are too few.

        Returns:
            The prediction, and ``state`` with the new states of the heads.
        """
        with without_autocast(frame.pose_token.device):
            points = self.point_head(frame) if points is None else points
            person_mask = self.mask_head(frame) if person_mask is None else person_mask
            predicted_focal_px = points.focal_px
            lens_state = None
            if self.lens_head is not None:
                points, lens_state = self.lens_head(frame, points, person_mask, state.lens_state)
            points = self.camera_head.refine_focal(points, state.camera_state)
            people, person_state = self.person_head(frame, points, state.person_state)
            scale_state = None
            if self.scale_head is not None:
                points, scale_state = self.scale_head(frame, points, person_mask, people, state.scale_state)
            T_segment_camera, camera_state = self.camera_head(frame, points, person_mask, state.camera_state)
            extras = None if self.extra_head is None else self.extra_head(frame)
        rest_state = None
        if self.rest is not None:
            rest_state = self.rest.remember(frame, points, person_mask, T_segment_camera, state.rest_state)
        prediction = _joined(frame, points, T_segment_camera, person_mask, people)
        return replace(prediction, extras=extras), replace(
            state,
            focal_px=predicted_focal_px,
            camera_state=camera_state,
            scale_state=scale_state,
            lens_state=lens_state,
            person_state=person_state,
            rest_state=rest_state,
        )

    def _predict_people(
        self, tokens: FrameTokens, detections: Detections, kept: RestScene, state: RecurrentState
    ) -> tuple[NetworkPrediction, RecurrentState]:
        """Predict the people of a frame whose scene and camera are those of an earlier one."""
        assert self.rest is not None
        assert tokens.person_mask is not None
        frame = DecodedFrame(
            levels=(),
            pose_token=kept.human_tokens[:0],
            human_tokens=kept.human_tokens,
            image=tokens.image,
            human=tokens.human,
            detections=detections,
            image_size=tokens.image_size,
            previous_focal_px=state.focal_px,
            pixel_aspect=tokens.pixel_aspect,
        )
        with without_autocast(kept.human_tokens.device):
            people, person_state = self.person_head(frame, kept.points, state.person_state)
        prediction = _joined(frame, kept.points, kept.T_segment_camera, tokens.person_mask, people)
        return prediction, replace(state, person_state=person_state, rest_state=self.rest.left_out(state.rest_state))


def _joined(
    frame: DecodedFrame, points: ScenePoints, T_segment_camera: Tensor, person_mask: Tensor, people: PersonParameters
) -> NetworkPrediction:
    detections = frame.detections
    return NetworkPrediction(
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
        num_found=detections.num_found,
        focal_sigma=points.focal_sigma,
        log_scale=points.log_scale,
        keypoints=people.keypoints,
    )
