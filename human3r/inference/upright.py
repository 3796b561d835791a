"""Find the turn that makes a clip upright from the people in it: files may lack the tag that says how they were filmed.

People are found in any orientation, but with more certainty when they stand. A clip is turned only where nearly all of
its people agree, over several frames, where most of them cannot be doing a handstand or lying on the floor, and where
the network is as certain of the turned scene. Anything else stays as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch

from human3r.errors import InputError
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.session import Session
from human3r.models.compact.people.detection.human_prior import MoveNetPrior, find_people
from human3r.models.compact.people.detection.keypoints import DecodeOptions, ImageKeypoints
from human3r.records import Frame
from human3r.video.orientation import turned
from human3r.video.reader import FrameReader
from human3r.video.sampling import Sampling
from human3r.video.shots.detection import Lookahead

_LATER = (1 / 4, 1 / 2, 3 / 4)
"""Places of the part in use that are looked at where its first second leaves doubts."""
_MIN_AGREEMENT = 0.8
"""Least share of the people, over all frames and weighted, whose torsos are upright when the clip is turned."""
_MIN_STANDING = 0.5
"""Least share of those who clearly stand then."""
_MIN_FRAMES = 2
"""Frames in which somebody has to stand: one may show anything."""
_MIN_GAIN = 1.2
"""Least ratio of the evidence for people, turned and as they are. Source: eleven real clips turned three ways."""
_MIN_SCENE_GAIN = 0.92
"""The same of the scene's certainty. Source: the same clips, .95 to 5; frames turned wrongly, 29 of 33 below."""
_CLEAR_SCORE, _CLEAR_CERTAINTY, _CLEAR_LEAN_DEG = 0.6, 0.45, 30.0
"""Of a person who is upright beyond doubt. Source: upside down, a few are found upright with .55 and .38."""
_MIN_SCORE, _MIN_KEYPOINT_SCORE, _SEEN_KEYPOINT_SCORE = 0.4, 0.15, 0.3
_MAX_LEAN_DEG = 45.0
_SHOULDERS, _WRISTS, _HIPS, _ANKLES = slice(5, 7), slice(9, 11), slice(11, 13), slice(15, 17)
_MIN_WRIST = 0.3
"""Least distance of the lower hand from the shoulders toward the hips, in torso lengths: a person may stand on hands
that are higher up."""
_MIN_ANKLES = 1.5
"""Least distance of visible ankles from the shoulders in the same direction: whoever is bent more may sit or lie."""


@dataclass(frozen=True)
class Turn:
    """How a clip has to be turned, and how sure that is."""

    degrees: int = 0
    """Clockwise: 0, 90, 180 or 270."""
    agreement: float = 0.0
    """Share of the people who are upright in the turned clip."""
    doubted_degrees: int = 0
    """A turn that the people suggest without enough reason for it."""

    @property
    def is_found(self) -> bool:
        """Whether the people gave a reason to turn the clip."""
        return self.agreement > 0


@dataclass(frozen=True)
class _Pose:
    """One person in one frame."""

    lean_deg: float
    """Of the torso, from the vertical."""
    is_standing: bool
    """With straight legs and a hand down, when seen upright."""
    score: float
    certainty: float
    """Mean score of the keypoints."""

    @property
    def weight(self) -> float:
        """How much the person counts."""
        return self.score * self.certainty

    @property
    def is_upright(self) -> bool:
        """Whether the shoulders are above the hips."""
        return self.lean_deg <= _MAX_LEAN_DEG


def can_find_turn(model: LoadedModel) -> bool:
    """Return whether the model finds people in any orientation."""
    return isinstance(model.network.human_prior, MoveNetPrior)


def find_turn(model: LoadedModel, images: Iterable[np.ndarray]) -> Turn:
    """Return the turn of a clip; usually the first frame decides that there is none.

    Args:
        model: See ``can_find_turn``.
        images: ``H W 3`` uint8 frames, a few from the whole clip; taken one by one, as far as they are needed.
    """
    session = Session(model)
    seen: list[np.ndarray] = []
    as_is: list[list[_Pose]] = []
    for image in images:
        seen.append(image)
        as_is.append(_look(session, image, 0))
        if _is_clearly_upright(as_is[-1]):
            return Turn()
    by_turn = {degrees: [_look(session, image, degrees) for image in seen] for degrees in (90, 180, 270)}
    degrees = max(by_turn, key=lambda turn: _evidence(by_turn[turn]))
    evidence, poses = _evidence(by_turn[degrees]), [pose for frame in by_turn[degrees] for pose in frame]
    if evidence == 0 or evidence < _MIN_GAIN * _evidence(as_is):
        return Turn()
    agreement = evidence / sum(pose.weight for pose in poses)
    if agreement < _MIN_AGREEMENT:
        return Turn()
    upright = [pose for pose in poses if pose.is_upright]
    standing = [pose for pose in upright if pose.is_standing]
    num_frames = sum(any(pose.is_standing for pose in frame) for frame in by_turn[degrees])
    is_sure = len(standing) >= _MIN_STANDING * len(upright) and num_frames >= _MIN_FRAMES
    if is_sure and _scene_agrees(model, seen, degrees):
        return Turn(degrees, agreement)
    return Turn(doubted_degrees=degrees)


def turned_upright(
    model: LoadedModel, reader: FrameReader, sampling: Sampling, open_part: Callable[[Sampling], FrameReader]
) -> tuple[Turn, Iterator[Frame]]:
    """Return the turn of an open clip, and its frames with that turn; reads up to a second ahead, if in doubt.

    Args:
        model: See ``can_find_turn``.
        reader: The clip, no frame of which was taken.
        sampling: Of the reader.
        open_part: Opens the clip again.
    """
    frames = iter(reader)
    ahead: deque[Frame] = deque()
    turn = find_turn(model, chain(_ends(frames, ahead), _later_images(reader.info.duration_s, sampling, open_part)))
    orientation = turned(turn.degrees)
    rest = _drained(ahead, frames)
    return turn, (replace(frame, image=orientation.apply(frame.image)) for frame in rest) if turn.degrees else rest


def _ends(frames: Iterator[Frame], ahead: deque[Frame]) -> Iterator[np.ndarray]:
    """Yield the first image, then the one about a second later; every frame that this reads goes to ``ahead``."""
    for frame in _first_second(frames):
        ahead.append(frame)
        if len(ahead) == 1:
            yield frame.image
    if len(ahead) > 1:
        yield ahead[-1].image


def _first_second(frames: Iterator[Frame]) -> Iterator[Frame]:
    """Yield frames up to a second after the first one, fewer where they are large."""
    limits, first_s, num_bytes = Lookahead(), None, 0
    for frame in frames:
        yield frame
        first_s = frame.time_s if first_s is None else first_s
        num_bytes += frame.image.nbytes
        if frame.time_s - first_s >= limits.time_s or num_bytes >= limits.max_bytes:
            return


def _later_images(
    clip_s: float, sampling: Sampling, open_part: Callable[[Sampling], FrameReader]
) -> Iterator[np.ndarray]:
    part_s = min(clip_s - sampling.start_s, sampling.duration_s or clip_s)
    for share in _LATER:
        place = Sampling(start_s=sampling.start_s + share * max(part_s, 0.0), max_frames=1)
        with suppress(InputError), open_part(place) as reader:
            yield from (frame.image for frame in reader)


def _drained(ahead: deque[Frame], frames: Iterator[Frame]) -> Iterator[Frame]:
    """Yield what was read ahead, keeping none of it, then the rest."""
    while ahead:
        yield ahead.popleft()
    yield from frames


@torch.inference_mode()
def _look(session: Session, image: np.ndarray, degrees: int) -> list[_Pose]:
    """Return the people of a turned frame who are clear enough."""
    model = session.model
    prior = model.network.human_prior
    assert isinstance(prior, MoveNetPrior)
    prepared = session.prepare(turned(degrees).apply(image))
    features = prior.encode_base(prepared.image[None].to(model.device))
    people = find_people(features, prepared.image_uint8.shape[:2], DecodeOptions()).to("cpu")
    return list(_poses(people))


def _poses(people: ImageKeypoints) -> Iterator[_Pose]:
    for score, keypoints, scores in zip(
        people.score.tolist(), people.keypoints_px.numpy(), people.keypoint_score.numpy(), strict=True
    ):
        shoulders = keypoints[_SHOULDERS].mean(0)
        down = keypoints[_HIPS].mean(0) - shoulders
        length, torso_score = float(np.linalg.norm(down)), min(scores[_SHOULDERS].mean(), scores[_HIPS].mean())
        if score < _MIN_SCORE or torso_score < _MIN_KEYPOINT_SCORE or not length:
            continue
        lean_deg = float(np.degrees(np.arccos(np.clip(down[1] / length, -1, 1))))
        along = (keypoints - shoulders) @ down / length**2
        is_bent = scores[_ANKLES].mean() >= _SEEN_KEYPOINT_SCORE and along[_ANKLES].mean() < _MIN_ANKLES
        is_standing = lean_deg <= _MAX_LEAN_DEG and not is_bent and along[_WRISTS].max() >= _MIN_WRIST
        yield _Pose(lean_deg, bool(is_standing), score, float(scores.mean()))


def _is_clearly_upright(poses: Sequence[_Pose]) -> bool:
    upright = [pose for pose in poses if pose.is_upright]
    is_clear = any(
        pose.score >= _CLEAR_SCORE and pose.certainty >= _CLEAR_CERTAINTY and pose.lean_deg <= _CLEAR_LEAN_DEG
        for pose in upright
    )
    return is_clear and 2 * len(upright) >= len(poses)


def _evidence(frames: Sequence[Sequence[_Pose]]) -> float:
    return sum(pose.weight for poses in frames for pose in poses if pose.is_upright)


def _scene_agrees(model: LoadedModel, images: Sequence[np.ndarray], degrees: int) -> bool:
    """Return whether the network is as certain of the turned scene, which people on the floor do not change."""

    def certainty(turn: int) -> float:
        steps = (Session(model).step(turned(turn).apply(image)) for image in images[::2])
        return float(np.mean([step.confidence.median() for step in steps]))

    return certainty(degrees) >= _MIN_SCENE_GAIN * certainty(0)
