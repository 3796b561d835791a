"""One video stream: pass a frame, get a prediction.

A session is made of two parts, each of which may run in a thread of its own: a ``Recurrence`` (network, identities)
hands every frame to a ``Describer`` (causal filter, bodies in the world).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from human3r.bodies.placement import bodies_in_world
from human3r.errors import CheckpointError, InputError
from human3r.inference.causal_filter import CausalFilterState, filter_people
from human3r.inference.encoding import Ahead
from human3r.inference.hands import HandStates, HandTracker, see_hands
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.profile import SessionOptions
from human3r.inference.predictions import default_intrinsics, keypoints_of, people_of
from human3r.inference.recurrence import Advanced, Recurrence, SessionSnapshot
from human3r.records import Camera, FramePrediction, People, empty_people
from human3r.tracking.tracks import TrackBank
from human3r.video.preprocess import PREPARE, PreparedImage


class Describer:
    """Filters the people of advanced frames and places them in the world; the only owner of the filter's state.

    Args:
        model: The model.
        filter_state: Where the filter begins; None is before the first frame.
        shot: Number of the shot that it belongs to.
        hand_state: Where the hands begin.
    """

    def __init__(
        self,
        model: LoadedModel,
        filter_state: CausalFilterState | None = None,
        shot: int = 0,
        hand_state: HandStates | None = None,
    ) -> None:
        self._body, self.filter_state, self._shot, self.hand_state = model.body, filter_state, shot, hand_state
        detector, options = model.network.hand_detector, model.profile.hands
        self._hands = None
        if detector is not None and options is not None:
            self._hands = HandTracker(detector, model.body, options)

    @torch.inference_mode()
    def describe(self, advanced: Advanced, *, examines_hands: bool = True) -> FramePrediction:
        """Return the prediction of a frame; every frame once, in order.

        Args:
            advanced: The frame.
            examines_hands: False leaves fingers as they were.
        """
        prepared, after, body = advanced.prepared, advanced.after, self._body
        if after.shot != self._shot:
            self.filter_state, self.hand_state, self._shot = None, None, after.shot
        height, width = prepared.image_uint8.shape[:2]
        camera = after.last_camera or Camera(default_intrinsics(prepared), torch.eye(4), prepared.source_size)
        people, unfiltered, keypoints = empty_people(), None, None
        maps = torch.zeros(height, width, 3), torch.zeros(height, width), torch.zeros(height, width)
        if advanced.result is not None:
            prediction, track_id = advanced.result
            people = people_of(prediction, track_id, prepared)
            people = self._with_hands(people, camera, advanced, examines_hands)
            keypoints = keypoints_of(prediction, prepared)
            maps = prediction.pointmap_camera, prediction.confidence, prediction.person_mask
            options = after.options.causal_filter
            if options is not None:
                unfiltered, state = people, self.filter_state
                people, self.filter_state = filter_people(people, advanced.time_s, state, body, options, keypoints)
        parameters, joints = bodies_in_world(
            people.joint_rotations, people.head_camera, people.betas, people.expression, camera.T_world_camera, body
        )
        return FramePrediction(
            frame_index=advanced.frame_index,
            time_s=advanced.time_s,
            camera=camera,
            people=people,
            parameters_world=parameters,
            joints_world=joints,
            pointmap_camera=maps[0],
            confidence=maps[1],
            person_mask=maps[2],
            image=torch.from_numpy(prepared.image_uint8),
            source_rect_px=prepared.source_rect_px,
            people_unfiltered=unfiltered,
            keypoints=keypoints,
            shot=after.shot,
            frame_name=advanced.frame_name,
        )

    def _with_hands(self, people: People, camera: Camera, advanced: Advanced, examines: bool) -> People:
        if self._hands is None:
            return people
        seen = see_hands(people, camera.K, advanced.prepared.source_size, self._body)
        image = torch.from_numpy(np.require(advanced.prepared.source, requirements=["C", "W"]))
        people, self.hand_state = self._hands.advance(
            people, seen, image, advanced.time_s, self.hand_state, examines=examines
        )
        return people

    def snapshot(self, advanced: Advanced) -> SessionSnapshot:
        """Return the session after the frame that was described last."""
        after = replace(advanced.after, filter_state=self.filter_state, hand_state=self.hand_state)
        return after.map(lambda tensor: tensor.clone())


class Session:
    """Run a model on one stream of frames.

    Args:
        model: From ``load_model``; sessions of one model are independent.
        use_ttt3r: See ``SessionOptions``; None takes the model's default.
        reset_interval: See ``SessionOptions``; None takes the model's default, 0 never resets.
    """

    def __init__(self, model: LoadedModel, *, use_ttt3r: bool | None = None, reset_interval: int | None = None) -> None:
        defaults, profile = model.profile.session, model.profile
        options = SessionOptions(
            use_ttt3r=defaults.use_ttt3r if use_ttt3r is None else use_ttt3r,
            reset_interval=defaults.reset_interval if reset_interval is None else (reset_interval or None),
            causal_filter=defaults.causal_filter,
        )
        with torch.inference_mode():
            state = model.network.initial_state().to(model.device)
        bank = TrackBank.empty(options=profile.track_motion)
        self.model = model
        self.recurrence = Recurrence(model, SessionSnapshot(model.sha256, options, state, bank))
        self.describer = Describer(model)

    @property
    def num_rejected(self) -> int:
        """Frames that were blank or gave no finite prediction; they left the state unchanged."""
        return self.recurrence.now.num_rejected

    @property
    def num_frames(self) -> int:
        """Processed frames, rejected ones included."""
        return self.recurrence.now.num_frames

    @property
    def options(self) -> SessionOptions:
        """How the stream is run."""
        return self.recurrence.now.options

    def prepare(self, frame_rgb: np.ndarray, picture_px: tuple[int, int, int, int] | None = None) -> PreparedImage:
        """Turn an upright ``H W 3`` uint8 frame into the network's input; stateless, may run ahead in a thread.

        Args:
            frame_rgb: The frame.
            picture_px: The part of it that the network sees, see ``Frame``; None is all of it.

        Raises:
            InputError: Not such an array.
        """
        if frame_rgb.ndim != 3 or frame_rgb.shape[2] != 3 or frame_rgb.dtype != np.uint8 or 0 in frame_rgb.shape:
            raise InputError(f"A frame must be height x width x 3 uint8 RGB, not {frame_rgb.shape} {frame_rgb.dtype}.")
        config = self.model.config
        if picture_px is None:
            return PREPARE[config.preprocess](np.ascontiguousarray(frame_rgb), config.image_size)
        x0, y0, x1, y1 = picture_px
        prepared = PREPARE[config.preprocess](np.ascontiguousarray(frame_rgb[y0:y1, x0:x1]), config.image_size)
        left, top, right, bottom = prepared.source_rect_px
        rect = (left + x0, top + y0, right + x0, bottom + y0)
        return replace(prepared, source_rect_px=rect, source_size=(frame_rgb.shape[0], frame_rgb.shape[1]))

    def step(
        self,
        frame_rgb: np.ndarray,
        time_s: float | None = None,
        frame_index: int | None = None,
        *,
        begins_shot: bool = False,
    ) -> FramePrediction:
        """Process the next frame of the stream.

        A blank frame, or one whose prediction is not finite, is rejected: it has no people, the camera of the frame
        before and zero confidence, and leaves the state unchanged.

        Args:
            frame_rgb: ``H W 3`` uint8 RGB, upright, of the same size every time.
            time_s: Seconds from the start of the clip; None counts 30 frames per second.
            frame_index: Index in the source clip; None counts the frames.
            begins_shot: What was shown before ends here: the frame is the first of a new world.

        Raises:
            InputError: The frame has a wrong shape or type, or another size than the first.
            DeviceMemoryError: The device's memory is too small; the session is unchanged.
        """
        return self.step_prepared(self.prepare(frame_rgb), time_s, frame_index, begins_shot=begins_shot)

    def step_prepared(
        self,
        prepared: PreparedImage,
        time_s: float | None = None,
        frame_index: int | None = None,
        ahead: Ahead | None = None,
        *,
        begins_shot: bool = False,
    ) -> FramePrediction:
        """Process the next frame, prepared and perhaps encoded before; see ``step``."""
        advanced = self.recurrence.advance(prepared, time_s, frame_index, ahead, begins_shot=begins_shot)
        return self.describer.describe(advanced)

    def snapshot(self) -> SessionSnapshot:
        """Return the complete state of the session; later frames do not change it."""
        describer = self.describer
        now = replace(self.recurrence.now, filter_state=describer.filter_state, hand_state=describer.hand_state)
        return now.map(lambda tensor: tensor.clone())

    @classmethod
    def restore(cls, model: LoadedModel, snapshot: SessionSnapshot) -> Session:
        """Return a session that continues exactly where the snapshot was taken.

        Raises:
            CheckpointError: The snapshot belongs to other weights.
        """
        if snapshot.model_sha256 != model.sha256:
            raise CheckpointError(
                f"The snapshot belongs to weights {snapshot.model_sha256[:12]}, the model has {model.sha256[:12]}.",
                "Load the model that made the snapshot.",
            )
        session = cls(model)
        moved = replace(snapshot, state=snapshot.state.to(model.device))
        moved = moved.map(lambda tensor: tensor.clone())
        session.recurrence = Recurrence(model, moved)
        session.describer = Describer(model, moved.filter_state, moved.shot, moved.hand_state)
        return session
