"""Simulated sequences for the lifter with memory: moving people and cameras, detector errors correlated in time.

Motions are windows of the clips, and procedural poses joined smoothly; detector errors (noise, hidden limbs, swapped
sides) have time constants from tenths of a second to the whole sequence. Sequences are flat: all frames of the first
person, then all of the second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from human3r.geometry.rigid import rotation_from_axis_angle
from human3r.models.compact.people.lifting.body_points import MIRRORED_JOINTS, BodyPoints
from human3r.records import TensorRecord
from human3r.training.lifter.simulation.cameras import CameraMix, PlacedCameras, place_cameras
from human3r.training.lifter.simulation.detector import DetectorMix
from human3r.training.lifter.simulation.limbs import random_arm, set_arm
from human3r.training.lifter.simulation.poses import JOINT_NOISE_DEG, KINDS, SEATED, UPPER_BODY, PoseMix
from human3r.training.lifter.simulation.rotations import RandomSource, axis_turn, blend, mirror
from human3r.training.lifter.simulation.simulator import BodyMix, SimulatedPeople, draw_bodies, observe
from human3r.training.motion import Motion

_KEYS = 4
"""Procedural poses that a sequence passes through."""
_JITTER = 1e-4
"""Added to the diagonal of covariances before they are factored."""


@dataclass(frozen=True)
class SequenceMix:
    """Length and speed of the sequences, and time constants of the detector's errors."""

    frames: int = 1
    """Frames that are trained on at once; 1 trains people of single frames, without memory."""
    windows: int = 4
    """Consecutive windows of so many frames in which one person is followed, the state carried over."""
    seconds_per_frame: tuple[float, float] = (0.033, 0.25)
    """Range of the frame distance, drawn logarithmically."""
    noise_shares: tuple[float, float, float] = (0.4, 0.47, 0.13)
    """Parts of the detector's variance that are constant, slow, and new in every frame. Source: MoveNet on real clips,
    prototype of the lifter."""
    noise_seconds: tuple[float, float] = (0.15, 3.0)
    """Time constants of the slow part."""
    forgetful: float = 0.3
    """Share of people of each window whose state is zeroed in a fifth of the frames: the network must also handle
    people who are seen for the first time, as in a single picture."""
    moving_camera: float = 0.3
    """Share of cameras that pan and sway."""

    @property
    def length(self) -> int:
        """Frames of one person in a row."""
        return self.frames * self.windows


class CorrelatedSource(RandomSource):
    """Random tensors that are correlated in time.

    The first axis of every tensor is P people x T frames (or a multiple). Marginal laws are those of ``RandomSource``.

    Args:
        factors: ``K P T T`` lower Cholesky factors of covariances in time; every draw of every person takes one of K.
    """

    def __init__(self, generator: torch.Generator, factors: Tensor) -> None:
        super().__init__(generator)
        self.factors = factors

    def _gaussian(self, *shape: int) -> Tensor:
        kinds, people, frames, _ = self.factors.shape
        chosen = torch.randint(kinds, (people,), generator=self.generator)
        white = torch.randn((people, frames, math.prod(shape) // (people * frames)), generator=self.generator)
        return (self.factors[chosen, torch.arange(people)] @ white).reshape(shape)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform in [low, high)."""
        return low + (high - low) * torch.special.ndtr(self._gaussian(*shape)).clamp(0, 1 - 1e-6)

    def normal(self, sigma: float, *shape: int) -> Tensor:
        """Zero-mean Gaussian."""
        return sigma * self._gaussian(*shape)

    def chance(self, probability: float | Tensor, *shape: int) -> Tensor:
        """True with the given probability."""
        return self.uniform(0.0, 1.0, *shape) < probability

    def choose(self, weights: Tensor, count: int) -> Tensor:
        """Indices drawn in proportion to ``weights``."""
        edges = (weights / weights.sum()).cumsum(0)
        return torch.searchsorted(edges, self.uniform(0.0, 1.0, count)).clamp(max=len(weights) - 1)

    def below(self, limit: int, count: int) -> Tensor:
        """Whole numbers from 0 to ``limit`` - 1."""
        return self.uniform(0.0, limit, count).long()


def slow_factors(mix: SequenceMix, rng: RandomSource, seconds: Tensor) -> Tensor:
    """Return ``3 P T T`` factors for the detector: mostly slow, slower, and with a constant share.

    Args:
        seconds: ``P T`` time of every frame.
    """
    count, length = seconds.shape
    gap = (seconds[:, :, None] - seconds[:, None]).abs()
    constant, slow, white = mix.noise_shares
    low, high = (math.log(bound) for bound in mix.noise_seconds)
    tau = rng.uniform(low, high, 3, count, 1, 1).exp()
    tau[1] = tau[1] * 3
    steady = torch.tensor([0.0, 0.0, constant]).reshape(3, 1, 1, 1)
    slow_part = (1 - white - steady) * torch.exp(-gap / tau)
    assert abs(constant + slow + white - 1) < 1e-6, "the shares of the noise must add up to 1"
    return torch.linalg.cholesky(steady + slow_part + (white + _JITTER) * torch.eye(length))


def smooth_factors(seconds: Tensor, scale_s: float) -> Tensor:
    """Return ``1 P T T`` factors of smooth motion with unit variance (Gaussian covariance in time)."""
    gap = seconds[:, :, None] - seconds[:, None]
    covariance = torch.exp(-0.5 * (gap / scale_s) ** 2).double()
    factor = torch.linalg.cholesky(covariance + _JITTER * torch.eye(seconds.shape[1]).double())
    return factor.float()[None]


@dataclass(frozen=True)
class MovingPeople(TensorRecord):
    """P people over T frames in a y-up world, before any camera."""

    rotations: Tensor
    """``P T 22 3 3`` local."""
    place: Tensor
    """``P T 3`` pelvis, meters; heights count from an unknown floor."""
    kind: Tensor
    """``P`` index into ``poses.KINDS``."""
    is_seated: Tensor
    """``P T`` bool"""


class MotionSampler:
    """Draws people in motion.

    Args:
        motions: Clips; each is drawn in proportion to the square root of its length in seconds.
        mix: Shares of the kinds of pose.
    """

    def __init__(self, motions: list[Motion], mix: PoseMix) -> None:
        self.mix = mix
        lengths = torch.tensor([len(motion.joint_rotations) for motion in motions])
        self.fps = torch.tensor([motion.fps for motion in motions], dtype=torch.float32)
        self.frames = torch.cat([torch.from_numpy(motion.joint_rotations) for motion in motions])
        self.places = torch.cat([torch.from_numpy(motion.root_position) for motion in motions])
        self.lengths, self.starts = lengths, lengths.cumsum(0) - lengths
        self.weights = (lengths / self.fps).clamp_min(0.25).sqrt()
        self._mirrored = torch.tensor(MIRRORED_JOINTS)

    def sample(self, rng: RandomSource, seconds: Tensor) -> MovingPeople:
        """Draw P people at the times ``P T``."""
        count, length = seconds.shape
        kind = rng.choose(self.mix.kinds(), count).sort().values
        captured = int((kind == 0).sum())
        parts = []
        if captured:
            parts.append(self._mocap(rng, seconds[:captured]))
        if captured < count:
            parts.append(self._posed(rng, kind[captured:], seconds[captured:]))
        rotations = torch.cat([part[0] for part in parts])
        place = torch.cat([part[1] for part in parts])
        rotations = rotations @ self._noise(rng, seconds)
        flips = rng.chance(0.5, count)
        mirrored = mirror(rotations[flips].flatten(0, 1), self._mirrored)
        rotations[flips] = mirrored.unflatten(0, (-1, length))
        place[flips] = place[flips] * torch.tensor([-1.0, 1.0, 1.0])
        heading = axis_turn("y", rng.uniform(-math.pi, math.pi, count))[:, None]
        turned = torch.cat([(heading @ rotations[:, :, 0])[:, :, None], rotations[:, :, 1:]], dim=2)
        place = (heading @ place[..., None])[..., 0]
        # Only people who stay seated count as seated: in mixed sequences, tables are as frequent as elsewhere.
        seated = torch.zeros(count, length, dtype=torch.bool)
        if captured < count:
            seated[captured:] = parts[-1][2]
        return MovingPeople(turned, place, kind, seated)

    def _noise(self, rng: RandomSource, seconds: Tensor) -> Tensor:
        """Draw constant plus smooth rotations of every joint: ``P T 22 3 3``."""
        count, length = seconds.shape
        sigma = torch.tensor(JOINT_NOISE_DEG).deg2rad() * self.mix.noise * rng.uniform(0.0, 1.2, count, 1, 1)
        smooth = CorrelatedSource(rng.generator, smooth_factors(seconds, 0.6)).normal(1.0, count * length, 22, 3)
        steady = rng.normal(0.85, count, 1, 22, 3)
        vectors = (steady + 0.5 * smooth.unflatten(0, (count, length))) * sigma[..., None]
        return rotation_from_axis_angle(vectors)

    def _window(self, rng: RandomSource, seconds: Tensor) -> tuple[Tensor, Tensor]:
        """Return rotations ``P T 22 3 3`` and places ``P T 3`` of clips, played back and forth where they are short."""
        count = seconds.shape[0]
        clip = rng.choose(self.weights, count)
        last = (self.lengths[clip] - 1).clamp_min(1)[:, None]
        start = rng.uniform(0, 1, count, 1) * 2 * last
        speed = rng.normal(0.15, count, 1).exp() * rng.sign(count, 1)
        phase = torch.remainder(start + seconds * self.fps[clip][:, None] * speed, 2 * last)
        frame = (last - (phase - last).abs()).round().long().clamp(max=(self.lengths[clip] - 1)[:, None])
        rows = self.starts[clip][:, None] + frame
        return self.frames[rows], self.places[rows]

    def _mocap(self, rng: RandomSource, seconds: Tensor) -> tuple[Tensor, Tensor]:
        count, length = seconds.shape
        rotations, place = self._window(rng, seconds)
        other, _ = self._window(rng, seconds)
        swaps = rng.chance(self.mix.swap_upper_body, count)
        for joint in UPPER_BODY:
            rotations[swaps, :, joint] = other[swaps, :, joint]
        mixes = rng.chance(self.mix.blend_frames, count)
        share = rng.uniform(0.0, 1.0, count, 1, 1, 1, 1)[mixes]
        rotations[mixes, :, 1:] = blend(rotations[mixes, :, 1:], other[mixes, :, 1:], share)
        flat = rotations.flatten(0, 1)
        for side in (1, -1):
            arms = torch.eye(3).repeat(count * _KEYS, 22, 1, 1)
            set_arm(arms, side, random_arm(side, rng, count * _KEYS))
            moved = self._join(rng, arms.unflatten(0, (count, _KEYS)), seconds)[0].flatten(0, 1)
            where = rng.chance(self.mix.random_arm, count).repeat_interleave(length)
            collar, shoulder, elbow = (moved[:, joint + (side < 0)] for joint in (13, 16, 18))
            set_arm(flat, side, (collar, shoulder, elbow), where)
        return flat.unflatten(0, (count, length)), place

    def _posed(self, rng: RandomSource, kind: Tensor, seconds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Join procedural poses: the first of ``kind``, the others mostly of the same kind."""
        count = len(kind)
        others = rng.choose(self.mix.kinds()[1:], count * (_KEYS - 1)).reshape(count, -1) + 1
        same = rng.chance(0.75, count, _KEYS - 1)
        kinds = torch.cat([kind[:, None], torch.where(same, kind[:, None], others)], dim=1)
        keys = torch.eye(3).repeat(count, _KEYS, 22, 1, 1)
        for number, make in enumerate(KINDS):
            where = kinds == number
            if make is not None and where.any():
                keys[where] = make(rng, int(where.sum()))
        turns = rng.normal(0.4, count, _KEYS) + rng.chance(0.2, count, _KEYS) * rng.uniform(-3.1, 3.1, count, _KEYS)
        rotations, share = self._join(rng, keys, seconds)
        heading = axis_turn("y", (share * turns[:, None]).sum(-1))
        rotations = torch.cat([(heading @ rotations[:, :, 0])[:, :, None], rotations[:, :, 1:]], dim=2)
        drift = rng.normal(0.25, count, _KEYS, 3) * torch.tensor([1.0, 0.0, 1.0])
        place = share @ drift
        return rotations, place, (share * (kinds == SEATED)[:, None].float()).sum(-1) > 0.9

    @staticmethod
    def _join(rng: RandomSource, keys: Tensor, seconds: Tensor) -> tuple[Tensor, Tensor]:
        """Pass from key to key: rotations ``P T 22 3 3`` from ``P K 22 3 3``, and the keys' shares ``P T K``."""
        count = len(keys)
        span = seconds[:, -1:]
        # At least half a second from key to key, and a few seconds of rest.
        pace = torch.minimum(rng.uniform(0.1, 0.9, count, 1), rng.uniform(0.15, 1.0, count, 1) * span / (_KEYS - 1))
        position = (seconds * pace / span.clamp_min(1e-3) * (_KEYS - 1)).clamp(max=_KEYS - 1 - 1e-4)
        index = position.long()
        rise = ((position - index - 0.2) / 0.6).clamp(0, 1)
        rise = rise * rise * (3 - 2 * rise)
        people = torch.arange(count)[:, None]
        joined = blend(keys[people, index], keys[people, index + 1], rise[..., None, None, None])
        share = torch.zeros(*index.shape, _KEYS)
        share.scatter_(2, index[..., None], (1 - rise)[..., None])
        share.scatter_(2, index[..., None] + 1, rise[..., None])
        return joined, share


class SequenceSimulator:
    """Draws sequences as flat ``SimulatedPeople``."""

    def __init__(
        self, points: BodyPoints, motions: MotionSampler, bodies: BodyMix, cameras: CameraMix, detector: DetectorMix,
        sequence: SequenceMix,
    ) -> None:  # fmt: skip
        self.points, self.motions, self.sequence = points, motions, sequence
        self.bodies, self.cameras, self.detector = bodies, cameras, detector

    def sample(self, rng: RandomSource, count: int) -> SimulatedPeople:
        """Draw ``count`` people over ``sequence.length`` frames each: ``count * length`` rows."""
        length = self.sequence.length
        low, high = (math.log(bound) for bound in self.sequence.seconds_per_frame)
        seconds = rng.uniform(low, high, count, 1).exp() * torch.arange(length)
        moving = self.motions.sample(rng, seconds)
        people = draw_bodies(rng, self.points, self.bodies, moving.rotations.flatten(0, 1), length)
        place = self._on_floor(moving, people.posed.joints.unflatten(0, (count, length)))
        cameras = self._cameras(rng, seconds, people.points(), place)
        slow = CorrelatedSource(rng.generator, slow_factors(self.sequence, rng, seconds))
        kind, is_seated = moving.kind.repeat_interleave(length), moving.is_seated.flatten()
        return observe(slow, self.points, self.detector, people, cameras, kind, is_seated)

    @staticmethod
    def _on_floor(moving: MovingPeople, joints: Tensor) -> Tensor:
        """Put procedural poses on the floor; captured ones keep their motion. ``P T 3``."""
        lowest = -joints[..., 1].amin(-1)
        height = torch.where((moving.kind == 0)[:, None], moving.place[..., 1], lowest)
        return torch.stack([moving.place[..., 0], height, moving.place[..., 2]], dim=-1)

    def _cameras(self, rng: RandomSource, seconds: Tensor, points: Tensor, place: Tensor) -> PlacedCameras:
        """Put a camera in front of a random frame of every person, and let some of them move; flat.

        Args:
            seconds: ``P T`` time of every frame.
            points: ``P*T M 3`` of the bodies from the pelvis.
            place: ``P T 3`` of the pelvis.
        """
        count, length = seconds.shape
        shown = rng.below(length, count)
        people = torch.arange(count)
        placed = place_cameras(rng, self.cameras, points.unflatten(0, (count, length))[people, shown])
        turn = placed.R_camera_gravity[:, None]
        moved = place - place[people, shown][:, None]
        root = placed.root_camera[:, None] + (turn @ moved[..., None])[..., 0]
        sways = rng.chance(self.sequence.moving_camera, count)[:, None, None]
        smooth = CorrelatedSource(rng.generator, smooth_factors(seconds, 0.8))
        drawn = smooth.normal(1.0, count * length, 6).unflatten(0, (count, length)) * sways
        drawn = drawn - drawn[people, shown][:, None]
        angles = drawn[..., :3] * torch.tensor([0.05, 0.08, 0.02])
        pan = axis_turn("x", angles[..., 0]) @ axis_turn("y", angles[..., 1]) @ axis_turn("z", angles[..., 2])
        root = (pan @ (root + 0.1 * drawn[..., 3:])[..., None])[..., 0]
        borders, pixel = (values.repeat_interleave(length, 0) for values in (placed.borders, placed.pixel))
        return PlacedCameras((pan @ turn).flatten(0, 1), root.flatten(0, 1), borders, pixel)


def draw_forgotten(rng: RandomSource, mix: SequenceMix, people: int) -> Tensor:
    """Draw the frames of a window before which states are zeroed: ``people * frames`` bool."""
    forgetful = rng.chance(mix.forgetful, people, 1)
    return (forgetful & rng.chance(0.2, people, mix.frames)).flatten()


def window_of(people: SimulatedPeople, mix: SequenceMix, index: int) -> SimulatedPeople:
    """Return the frames of window ``index`` of every sequence, flat."""

    def cut(values: Tensor) -> Tensor:
        return values.unflatten(0, (-1, mix.windows, mix.frames))[:, index].flatten(0, 1)

    return people.map(cut)


def undisturbed(people: SimulatedPeople) -> SimulatedPeople:
    """Return the same people with exact keypoints inside the image, as an ideal detector would report them."""
    camera = people.keypoints_camera
    exact = camera[..., :2] / camera[..., 2:].clamp_min(0.2)
    low, high = people.people.borders[:, None, :2], people.people.borders[:, None, 2:]
    is_inside = ((exact > low) & (exact < high)).all(-1, keepdim=True)
    points = torch.where(is_inside, exact, people.people.points)
    return replace(people, people=replace(people.people, points=points))
