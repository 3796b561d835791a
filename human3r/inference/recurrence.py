"""The recurrent part of a stream: network, identities and the chain of segments, one frame after the other.

A ``Recurrence`` belongs to one thread; what it hands on are immutable records, so a bad frame is dropped by keeping the
old one, and a snapshot is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from human3r.errors import InputError
from human3r.geometry.rigid import invert_rigid
from human3r.inference.causal_filter import CausalFilterState
from human3r.inference.encoding import Ahead, encode, encode_one, have_one_size, size_text, within_device_memory
from human3r.inference.hands import HandStates
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.profile import SessionOptions
from human3r.inference.predictions import (
    is_usable,
    source_intrinsics,
    through_other_lens,
    with_square_pixels,
    without_broken_people,
)
from human3r.models.parts import BatchRecord, FrameTokens, NetworkPrediction, RecurrentState
from human3r.records import Camera, TensorRecord
from human3r.tracking.tracks import TrackBank
from human3r.video.preprocess import PreparedImage

_MAX_BLANK_CONTRAST = 3
"""Largest difference of gray levels in a frame without content (leader, fade, lost signal)."""


@dataclass(frozen=True)
class SessionSnapshot(TensorRecord):
    """The complete state of a session between two frames."""

    model_sha256: str
    """Weights that the state belongs to."""
    options: SessionOptions
    state: RecurrentState
    bank: TrackBank
    T_world_segment: Tensor | None = None
    """``4 4`` float64 current segment in the world; None before the first usable frame."""
    last_camera: Camera | None = None
    """Camera of the last usable frame."""
    num_frames: int = 0
    """Processed frames, rejected ones included."""
    num_rejected: int = 0
    image_size: tuple[int, int] | None = None
    """(height, width) that every frame must have."""
    shot: int = 0
    """Number of the current shot."""
    filter_state: CausalFilterState | None = None
    """State of the causal filter, which ``describer`` owns; None inside a ``Recurrence``."""
    hand_state: HandStates | None = None
    """The same of the hands."""


@dataclass(frozen=True)
class Advanced:
    """One frame after network and tracker; its people are neither filtered nor placed in the world yet."""

    after: SessionSnapshot
    """The session after the frame, without ``filter_state`` and ``hand_state``."""
    prepared: PreparedImage
    frame_index: int
    time_s: float
    result: tuple[NetworkPrediction, Tensor] | None
    """Prediction and identities; None for a rejected frame."""
    frame_name: str = ""
    """See ``FramePrediction``."""


class Recurrence:
    """Advances one stream; the only owner of the recurrent state and of the tracker.

    Args:
        model: The model.
        now: Where to begin; ``filter_state`` and ``hand_state`` are ignored.
    """

    def __init__(self, model: LoadedModel, now: SessionSnapshot) -> None:
        self._model = model
        self._num_people = 0
        self.now = replace(now, filter_state=None, hand_state=None)

    @torch.inference_mode()
    def encode_next(self, frame: PreparedImage, human: BatchRecord, before: FrameTokens | None) -> Ahead:
        """Encode the next frame, in which ``detect`` has looked for people; raises what that does.

        Args:
            frame: The frame.
            human: From ``detect``.
            before: The last frame of this shot that was encoded whole; None encodes this one whole.
        """
        if before is None:
            return encode_one(self._model, frame, human)
        with within_device_memory(frame), self._model.policy.autocast():
            image = frame.image[None].to(self._model.device)
            return Ahead(self._model.network.encode_after(before, image, human, self.now.state))

    @torch.inference_mode()
    def look_ahead(self, frames: Sequence[PreparedImage], before: FrameTokens | None = None) -> list[Ahead]:
        """Run the network on the next frames of the stream together; each goes to ``advance`` in its turn.

        Results equal those without it up to the order of sums, and to what ``encode`` leaves out.

        Raises:
            DeviceMemoryError: The device's memory is too small.
        """
        encoded, network = encode(self._model, frames, before), self._model.network
        if not (network.can_step_together and have_one_size(frames)):
            return encoded
        with within_device_memory(frames[0]), self._model.policy.autocast():
            tokens = [ahead.tokens for ahead in encoded]
            use_ttt3r, capacity = self.now.options.use_ttt3r, self._capacity()
            stepped = network.step_together(tokens, self.now.state, use_ttt3r=use_ttt3r, people_capacity=capacity)
        states = [self.now.state, *(state for _, state in stepped)]
        return [Ahead(*parts) for parts in zip(tokens, states, stepped, strict=False)]

    @torch.inference_mode()
    def advance(
        self,
        prepared: PreparedImage,
        time_s: float | None = None,
        frame_index: int | None = None,
        ahead: Ahead | None = None,
        *,
        begins_shot: bool = False,
    ) -> Advanced:
        """Run network and tracker on the next frame; see ``Session.step``.

        Args:
            prepared: The frame.
            time_s: Seconds from the start of the clip; None counts 30 frames per second.
            frame_index: Index in the source clip; None counts the frames.
            ahead: From ``encode`` or ``look_ahead``; None encodes the frame now.
            begins_shot: Forget state, world and lens first, and all but the appearance of people.

        Raises:
            InputError: The frame has another size than the first.
            DeviceMemoryError: The device's memory is too small; the recurrence is unchanged.
        """
        now = self._next_shot() if begins_shot else self.now
        if now.image_size not in (None, prepared.source_size):
            raise InputError(
                f"The frame is {size_text(prepared.source_size)}, the stream is {size_text(now.image_size)}.",
                "Start a new session for another size.",
            )
        frame_index = now.num_frames if frame_index is None else frame_index
        time_s = now.num_frames / 30.0 if time_s is None else time_s
        now = replace(now, image_size=prepared.source_size, num_frames=now.num_frames + 1)
        if int(prepared.image_uint8.max()) - int(prepared.image_uint8.min()) <= _MAX_BLANK_CONTRAST:
            return self._reject(now, prepared, frame_index, time_s)
        ahead = encode(self._model, [prepared])[0] if ahead is None else ahead
        with within_device_memory(prepared):
            result, after = self._advance(now, prepared, ahead, time_s)
            if result is None:
                return self._reject(now, prepared, frame_index, time_s)
            advanced = Advanced(after, prepared, frame_index, time_s, result)
        self.now = after
        return advanced

    def _next_shot(self) -> SessionSnapshot:
        now = self.now
        state = self._model.network.initial_state().to(self._model.device)
        bank = now.bank.after_cut()
        return replace(now, state=state, bank=bank, T_world_segment=None, last_camera=None, shot=now.shot + 1)

    def _reject(self, now: SessionSnapshot, prepared: PreparedImage, frame_index: int, time_s: float) -> Advanced:
        self.now = replace(now, num_rejected=now.num_rejected + 1)
        return Advanced(self.now, prepared, frame_index, time_s, None)

    def _advance(
        self, now: SessionSnapshot, prepared: PreparedImage, ahead: Ahead, time_s: float
    ) -> tuple[tuple[NetworkPrediction, Tensor] | None, SessionSnapshot]:
        """Run the recurrent half of the network; None where the prediction cannot be used.

        Only the recurrent state is on the device: prediction, identities and camera are on the CPU.
        """
        tokens, options = replace(ahead.tokens, pixel_aspect=_pixel_aspect(prepared)), now.options
        is_stepped = ahead.stepped is not None and ahead.before is now.state
        prediction, state = self._step_network(tokens, now.state, ahead.stepped if is_stepped else None)
        if not is_usable(prediction, state):
            return None, now
        prediction = _on_host(prediction)
        track_id, bank = now.bank.assign(prediction.track_features, time_s)
        T_segment_camera = prediction.T_segment_camera.double()
        if now.T_world_segment is None:
            # The world is the first camera, even where the network's first camera is not exactly the identity.
            T_world_segment, T_world_camera = invert_rigid(T_segment_camera), torch.eye(4, dtype=torch.float64)
        else:
            T_world_segment = now.T_world_segment
            T_world_camera = T_world_segment @ T_segment_camera
        if options.reset_interval and now.num_frames % options.reset_interval == 0:
            state, bank = self._restart_segment(tokens, state, bank, time_s)
            T_world_segment = T_world_camera
        K_network = source_intrinsics(prediction.focal_px, tokens.image_size, prepared, now.last_camera)
        K = with_square_pixels(K_network, prepared.source_rect_px)
        if self._model.profile.squeezes_frames:
            prediction = through_other_lens(prediction, K_network, K)
        known = prediction.focal_sigma, prediction.log_scale
        camera = Camera(K, T_world_camera.float(), prepared.source_size, *known)
        after = replace(now, state=state, bank=bank, T_world_segment=T_world_segment, last_camera=camera)
        return (prediction, track_id), after

    def _restart_segment(
        self, tokens: FrameTokens, state: RecurrentState, bank: TrackBank, time_s: float
    ) -> tuple[RecurrentState, TrackBank]:
        """Reset, then run the same frame again as the first of the next segment (the overlap view).

        The overlap view's people go through the tracker as well; its camera is not used.
        """
        overlap, state = self._step_network(tokens, self._model.network.reset(state))
        overlap = _on_host(overlap)
        _, bank = bank.assign(overlap.track_features, time_s)
        return state, bank

    def _capacity(self) -> int | None:
        """Return the smallest bucket that holds as many people as the last frame had."""
        return next((size for size in self._model.people_buckets if size >= self._num_people), None)

    def _step_network(
        self,
        tokens: FrameTokens,
        state: RecurrentState,
        stepped: tuple[NetworkPrediction, RecurrentState] | None = None,
    ) -> tuple[NetworkPrediction, RecurrentState]:
        """Step with the people padded to a bucket, again where more are found, and take the padding off."""
        while True:
            if stepped is None:
                use_ttt3r, capacity = self.now.options.use_ttt3r, self._capacity()
                with self._model.policy.autocast():
                    stepped = self._model.network.step(tokens, state, use_ttt3r=use_ttt3r, people_capacity=capacity)
            prediction, after = stepped
            if prediction.num_found is None:
                return stepped
            self._num_people = int(prediction.num_found)
            if self._num_people <= len(prediction.score):
                return prediction.select_people(slice(self._num_people)), after
            stepped = None


def _pixel_aspect(prepared: PreparedImage) -> float:
    """Return ``FrameTokens.pixel_aspect``."""
    x0, y0, x1, y1 = prepared.source_rect_px
    height, width = prepared.image_uint8.shape[:2]
    return ((x1 - x0) / width) / ((y1 - y0) / height)


def _on_host(prediction: NetworkPrediction) -> NetworkPrediction:
    """Return a prediction on the CPU, where the rest of the run is, without people that are not finite."""
    return without_broken_people(replace(prediction, extras=None).to("cpu", torch.float32))
