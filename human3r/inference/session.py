"""One video stream: push a frame, get a prediction.

Owns everything that goes on from frame to frame: the recurrent state, the identities, the chain of segments and the
world. All of it is immutable records, so a bad frame is dropped by not taking the new ones, and a snapshot is exact.
The filter over people is kept apart: it may run behind the network, in another thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from human3r.errors import CheckpointError, DeviceMemoryError, InputError
from human3r.geometry.rigid import invert_rigid
from human3r.inference.causal_filter import SmoothingOptions, SmoothingState, smooth_people
from human3r.inference.predictions import (
    describe,
    describe_nothing,
    is_usable,
    people_of,
    scene_ratio_of,
    source_intrinsics,
    without_broken_people,
)
from human3r.models.parts import FrameTokens, NetworkPrediction, RecurrentState
from human3r.records import Camera, FramePrediction, TensorRecord
from human3r.tracking.tracks import TrackBank
from human3r.video.preprocess import PREPARE, PreparedImage

if TYPE_CHECKING:
    from human3r.inference.loading import LoadedModel

_BLANK_CONTRAST = 3
"""Largest difference of grey levels in a frame without content (leader, fade, lost signal)."""


@dataclass(frozen=True)
class SessionOptions:
    """How the stream is run."""

    use_ttt3r: bool = False
    """Gate the update of each state token by its attention (arXiv 2509.26645): steadier on long clips."""
    reset_interval: int | None = None
    """Forget state and memory after every so many frames and chain the segments; None never does."""
    smoothing: SmoothingOptions | None = None
    """Causal filter over the people; None leaves every frame as the network sees it."""

    def __post_init__(self) -> None:
        if self.reset_interval is not None and self.reset_interval < 2:
            raise InputError(f"The reset interval is {self.reset_interval}; it must be 2 or more frames.")


@dataclass(frozen=True)
class SessionSnapshot(TensorRecord):
    """Everything that a session is, between two frames."""

    model_sha256: str
    """Weights that the state belongs to."""
    options: SessionOptions
    state: RecurrentState
    bank: TrackBank
    T_world_segment: Tensor | None
    """``4 4`` float64 current segment in the world; None before the first usable frame."""
    last_camera: Camera | None
    """Camera of the last usable frame."""
    num_frames: int = 0
    """Frames seen, rejected ones included."""
    num_rejected: int = 0
    image_size: tuple[int, int] | None = None
    """(height, width) that every frame must have."""
    smoothing: SmoothingState | None = None
    """What the filter over the people remembers."""


@dataclass(frozen=True)
class Ahead:
    """One frame, encoded and perhaps stepped ahead of its turn."""

    tokens: FrameTokens
    before: RecurrentState | None = None
    """The state that the frame was stepped from; None where it was only encoded."""
    stepped: tuple[NetworkPrediction, RecurrentState] | None = None
    """What ``Human3R.step`` returned. Holds if the stream's state is ``before`` when the frame's turn comes: a frame
    that was passed over, or a reset, makes it void."""


@dataclass(frozen=True)
class Advanced:
    """One frame after the network's turn; its people are not filtered and not in the world yet."""

    after: SessionSnapshot
    """The session after the frame, except for ``smoothing``."""
    prepared: PreparedImage
    frame_index: int
    time_s: float
    result: tuple[NetworkPrediction, Tensor, Tensor | None] | None
    """Prediction, identities, ``FramePrediction.scene_ratio``; None of a frame that was passed over."""


class Session:
    """Run a model on one stream of frames.

    Args:
        model: From ``load_model``; sessions of one model do not disturb each other.
        use_ttt3r: See ``SessionOptions``; None takes the model's default.
        reset_interval: See ``SessionOptions``; None takes the model's default, 0 never resets.
    """

    def __init__(self, model: LoadedModel, *, use_ttt3r: bool | None = None, reset_interval: int | None = None) -> None:
        self.model = model
        defaults = model.session_options
        options = SessionOptions(
            use_ttt3r=defaults.use_ttt3r if use_ttt3r is None else use_ttt3r,
            reset_interval=defaults.reset_interval if reset_interval is None else (reset_interval or None),
            smoothing=defaults.smoothing,
        )
        self._num_people = 0
        device = model.device
        with torch.inference_mode():
            state = model.network.initial_state().to(device)
        self._now = SessionSnapshot(
            model_sha256=model.sha256,
            options=options,
            state=state,
            bank=TrackBank.empty(model.track_max_age, device, model.track_motion),
            T_world_segment=None,
            last_camera=None,
        )
        # Apart from the rest: ``describe`` may run behind ``advance`` by some frames, in another thread.
        self._smoothing: SmoothingState | None = None

    @property
    def num_rejected(self) -> int:
        """Frames that were blank or gave no finite prediction; the state passed over them."""
        return self._now.num_rejected

    @property
    def num_frames(self) -> int:
        """Frames seen, rejected ones included."""
        return self._now.num_frames

    @property
    def options(self) -> SessionOptions:
        """How the stream is run."""
        return self._now.options

    def prepare(self, frame_rgb: np.ndarray) -> PreparedImage:
        """Turn an upright ``H W 3`` uint8 frame into the network's input; stateless, may run ahead in a thread.

        Raises:
            InputError: Not such an array.
        """
        if frame_rgb.ndim != 3 or frame_rgb.shape[2] != 3 or frame_rgb.dtype != np.uint8 or 0 in frame_rgb.shape:
            raise InputError(f"A frame must be height x width x 3 uint8 RGB, not {frame_rgb.shape} {frame_rgb.dtype}.")
        config = self.model.config
        return PREPARE[config.preprocess](np.ascontiguousarray(frame_rgb), config.image_size)

    @torch.inference_mode()
    def encode(self, prepared: PreparedImage) -> FrameTokens:
        """Run the stateless half of the network on one frame; may run ahead in a thread.

        Raises:
            DeviceMemoryError: The device's memory is too small.
        """
        with _within_device_memory(prepared), self.model.policy.autocast():
            return self.model.network.encode(prepared.image[None].to(self.model.device))

    @torch.inference_mode()
    def look_ahead(self, frames: Sequence[PreparedImage]) -> list[Ahead]:
        """Run the network on the next frames of the stream together; each goes to ``advance`` in its turn.

        The plain twin is none of this: results are the same but for the order of sums.

        Raises:
            DeviceMemoryError: The device's memory is too small.
        """
        if len({(frame.source_size, frame.image.shape) for frame in frames}) > 1:
            # The stream refuses another size in its turn.
            return [Ahead(self.encode(frame)) for frame in frames]
        network, now = self.model.network, self._now
        with _within_device_memory(frames[0]), self.model.policy.autocast():
            encoded = network.encode_each(torch.stack([frame.image for frame in frames]).to(self.model.device))
            if not network.can_step_together:
                return [Ahead(tokens) for tokens in encoded]
            stepped = network.step_together(
                encoded, now.state, use_ttt3r=now.options.use_ttt3r, people_capacity=self._capacity()
            )
        before = [now.state, *(state for _, state in stepped)]
        return [Ahead(*parts) for parts in zip(encoded, before, stepped, strict=False)]

    def step(
        self, frame_rgb: np.ndarray, time_s: float | None = None, frame_index: int | None = None
    ) -> FramePrediction:
        """Take the next frame of the stream.

        A blank frame, or one whose prediction is not finite, is rejected: nobody is in it, the camera stays where it
        was, confidence is 0 everywhere, and the state is as if the frame had not been.

        Args:
            frame_rgb: ``H W 3`` uint8 RGB, upright, of the same size every time.
            time_s: Seconds from the start of the clip; None counts 30 frames per second.
            frame_index: Index in the source clip; None counts the frames.

        Raises:
            InputError: The frame has a wrong shape or type, or another size than the first.
            DeviceMemoryError: The device's memory is too small; the session is unchanged.
        """
        return self.step_prepared(self.prepare(frame_rgb), time_s, frame_index)

    @torch.inference_mode()
    def step_prepared(
        self,
        prepared: PreparedImage,
        time_s: float | None = None,
        frame_index: int | None = None,
        ahead: Ahead | None = None,
    ) -> FramePrediction:
        """Take the next frame, already prepared and perhaps looked at; see ``step``."""
        return self.describe(self.advance(prepared, time_s, frame_index, ahead))

    @torch.inference_mode()
    def advance(
        self,
        prepared: PreparedImage,
        time_s: float | None = None,
        frame_index: int | None = None,
        ahead: Ahead | None = None,
    ) -> Advanced:
        """Run the first half of ``step_prepared``: network and identities."""
        now = self._now
        if now.image_size not in (None, prepared.source_size):
            raise InputError(
                f"The frame is {_size(prepared.source_size)}, the stream is {_size(now.image_size)}.",
                "Start a new session for another size.",
            )
        frame_index = now.num_frames if frame_index is None else frame_index
        time_s = now.num_frames / 30.0 if time_s is None else time_s
        now = replace(now, image_size=prepared.source_size, num_frames=now.num_frames + 1)
        if int(prepared.image_uint8.max()) - int(prepared.image_uint8.min()) <= _BLANK_CONTRAST:
            return self._reject(now, prepared, frame_index, time_s)
        ahead = Ahead(self.encode(prepared)) if ahead is None else ahead
        with _within_device_memory(prepared):
            result, after = self._advance(now, prepared, ahead, time_s)
            if result is None:
                return self._reject(now, prepared, frame_index, time_s)
            prediction, track_id, scene_ratio = result
            prediction = replace(prediction, extras=None).to("cpu", torch.float32)
            advanced = Advanced(after, prepared, frame_index, time_s, (prediction, track_id.cpu(), scene_ratio))
        self._now = after
        return advanced

    @torch.inference_mode()
    def describe(self, advanced: Advanced) -> FramePrediction:
        """Run the second half of ``step_prepared``: filter the people and place them in the world.

        Every frame once, in order; the network may be some frames ahead, in another thread.
        """
        prepared, body = advanced.prepared, self.model.body
        camera, options = advanced.after.last_camera, advanced.after.options
        if advanced.result is None:
            return describe_nothing(camera, body, prepared, advanced.frame_index, advanced.time_s)
        prediction, track_id, scene_ratio = advanced.result
        people, seen = people_of(prediction, track_id, prepared), None
        if options.smoothing is not None:
            seen = people
            people, self._smoothing = smooth_people(people, advanced.time_s, self._smoothing, body, options.smoothing)
        assert camera is not None
        described = describe(prediction, people, camera, body, prepared, advanced.frame_index, advanced.time_s)
        return replace(described, people_seen=seen, scene_ratio=scene_ratio)

    def _advance(
        self, now: SessionSnapshot, prepared: PreparedImage, ahead: Ahead, time_s: float
    ) -> tuple[tuple[NetworkPrediction, Tensor, Tensor | None] | None, SessionSnapshot]:
        """Run the recurrent half of the network; None where the prediction cannot be used."""
        tokens, options = ahead.tokens, now.options
        is_done = ahead.stepped is not None and ahead.before is now.state
        prediction, state = self._step_network(tokens, now.state, ahead.stepped if is_done else None)
        if not is_usable(prediction, state):
            return None, now
        prediction = without_broken_people(prediction)
        track_id, bank = now.bank.assign(prediction.track_features, time_s)
        scene_ratio = scene_ratio_of(state, len(track_id))
        T_segment_camera = prediction.T_segment_camera.double().cpu()
        if now.T_world_segment is None:
            # The world is the first camera, even where the network's own first camera is not quite the identity.
            T_world_segment, T_world_camera = invert_rigid(T_segment_camera), torch.eye(4, dtype=torch.float64)
        else:
            T_world_segment = now.T_world_segment
            T_world_camera = T_world_segment @ T_segment_camera
        if options.reset_interval and now.num_frames % options.reset_interval == 0:
            state, bank = self._restart_segment(tokens, state, bank, time_s)
            T_world_segment = T_world_camera
        K = source_intrinsics(prediction.focal_px, tokens.image_size, prepared, now.last_camera)
        camera = Camera(K, T_world_camera.float(), prepared.source_size)
        after = replace(now, state=state, bank=bank, T_world_segment=T_world_segment, last_camera=camera)
        return (prediction, track_id, scene_ratio), after

    def _restart_segment(
        self, tokens: FrameTokens, state: RecurrentState, bank: TrackBank, time_s: float
    ) -> tuple[RecurrentState, TrackBank]:
        """Forget, then look at the same frame again as the first of the next segment (the overlap view).

        The overlap view's people go through the tracker as well; its camera is not used.
        """
        overlap, state = self._step_network(tokens, self.model.network.reset(state))
        overlap = without_broken_people(overlap)
        _, bank = bank.assign(overlap.track_features, time_s)
        return state, bank

    def _capacity(self) -> int | None:
        """Return the smallest bucket that holds as many people as the last frame had."""
        fitting = [size for size in self.model.people_buckets if size >= self._num_people]
        return fitting[0] if fitting else None

    def _step_network(
        self,
        tokens: FrameTokens,
        state: RecurrentState,
        stepped: tuple[NetworkPrediction, RecurrentState] | None = None,
    ) -> tuple[NetworkPrediction, RecurrentState]:
        """Step with the people padded to a bucket, again where more are found, and take the padding off."""
        while True:
            capacity = self._capacity()
            if stepped is None:
                with self.model.policy.autocast():
                    stepped = self.model.network.step(
                        tokens, state, use_ttt3r=self._now.options.use_ttt3r, people_capacity=capacity
                    )
            prediction, after = stepped
            if prediction.num_found is None:
                return stepped
            self._num_people = int(prediction.num_found)
            if self._num_people <= len(prediction.score):
                return prediction.first_people(self._num_people), after
            stepped = None

    def _reject(self, now: SessionSnapshot, prepared: PreparedImage, frame_index: int, time_s: float) -> Advanced:
        self._now = replace(now, num_rejected=now.num_rejected + 1)
        return Advanced(self._now, prepared, frame_index, time_s, None)

    def snapshot(self, advanced: Advanced | None = None) -> SessionSnapshot:
        """Return everything that the session is; later frames do not change it.

        Args:
            advanced: The frame that was described last, where the network is ahead of it.
        """
        now = self._now if advanced is None else advanced.after
        return replace(now, smoothing=self._smoothing).map(lambda tensor: tensor.clone())

    @classmethod
    def restore(cls, model: LoadedModel, snapshot: SessionSnapshot) -> Session:
        """Return a session that goes on exactly where the snapshot was taken.

        Raises:
            CheckpointError: The snapshot belongs to other weights.
        """
        if snapshot.model_sha256 != model.sha256:
            raise CheckpointError(
                f"The snapshot belongs to weights {snapshot.model_sha256[:12]}, the model has {model.sha256[:12]}.",
                "Load the model that made the snapshot.",
            )
        session = cls(model)
        moved = replace(snapshot, state=snapshot.state.to(model.device), bank=snapshot.bank.to(model.device))
        moved = moved.map(lambda tensor: tensor.clone())
        session._now, session._smoothing = replace(moved, smoothing=None), moved.smoothing
        return session


@contextmanager
def _within_device_memory(prepared: PreparedImage) -> Iterator[None]:
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise DeviceMemoryError(
            f"The device ran out of memory at a frame of {_size(prepared.source_size)}.",
            "Use a smaller model, or --device cpu.",
        ) from error


def _size(size: tuple[int, int] | None) -> str:
    return "unknown" if size is None else f"{size[1]} x {size[0]}"
