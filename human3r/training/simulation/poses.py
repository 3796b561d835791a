"""People in motion: mocap mixed, mirrored, blended and perturbed, and procedural poses joined smoothly.

A single pose is a motion of one frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from human3r.geometry.rigid import rotation_from_axis_angle
from human3r.models.compact.people.lifting.body_points import MIRRORED_JOINTS
from human3r.records import TensorRecord
from human3r.training.motion import Motion
from human3r.training.simulation import procedural
from human3r.training.simulation.correlated import CorrelatedSource, smooth_factors
from human3r.training.simulation.limbs import random_arm, set_arm
from human3r.training.simulation.rotations import RandomSource, axis_turn, blend, mirror

_KEYS = 4
"""Poses that a procedural motion passes through, if it is long enough."""
_UPPER_BODY = [3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]
_JOINT_NOISE_DEG = (3, 6, 6, 4, 6, 6, 4, 9, 9, 4, 6, 6, 8, 5, 5, 10, 11, 11, 10, 10, 17, 17)
"""Standard deviation per joint of the noise at full strength. Source: prototype, 3 to 17 degrees."""
SEATED = 1
"""Index of ``procedural.seated`` in ``KINDS``."""
KINDS = (None, procedural.seated, procedural.standing, procedural.squatting, procedural.bending, procedural.lying)
"""Generators of the kinds of pose; None is a frame of motion capture."""


@dataclass(frozen=True)
class PoseMix:
    """Shares of the kinds of pose, and how they are varied."""

    mocap: float = 0.46
    seated: float = 0.26
    standing: float = 0.14
    squatting: float = 0.06
    bending: float = 0.05
    lying: float = 0.03
    swap_upper_body: float = 0.2
    blend_frames: float = 0.15
    random_arm: float = 0.2
    """Per arm, mocap only."""
    noise: float = 1.0
    """Strength of the joint noise; 0 leaves mocap unchanged."""

    def kinds(self) -> Tensor:
        """Weights in the order of ``KINDS``."""
        return torch.tensor([self.mocap, self.seated, self.standing, self.squatting, self.bending, self.lying])


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
        sigma = torch.tensor(_JOINT_NOISE_DEG).deg2rad() * self.mix.noise * rng.uniform(0.0, 1.2, count, 1, 1)
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
        for joint in _UPPER_BODY:
            rotations[swaps, :, joint] = other[swaps, :, joint]
        mixes = rng.chance(self.mix.blend_frames, count)
        share = rng.uniform(0.0, 1.0, count, 1, 1, 1, 1)[mixes]
        rotations[mixes, :, 1:] = blend(rotations[mixes, :, 1:], other[mixes, :, 1:], share)
        flat = rotations.flatten(0, 1)
        for side in (1, -1):
            keys = _num_keys(seconds)
            arms = torch.eye(3).repeat(count * keys, 22, 1, 1)
            set_arm(arms, side, random_arm(side, rng, count * keys))
            moved = self._join(rng, arms.unflatten(0, (count, keys)), seconds)[0].flatten(0, 1)
            where = rng.chance(self.mix.random_arm, count).repeat_interleave(length)
            collar, shoulder, elbow = (moved[:, joint + (side < 0)] for joint in (13, 16, 18))
            set_arm(flat, side, (collar, shoulder, elbow), where)
        return flat.unflatten(0, (count, length)), place

    def _posed(self, rng: RandomSource, kind: Tensor, seconds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Join procedural poses: the first of ``kind``, the others mostly of the same kind."""
        count, num_keys = len(kind), _num_keys(seconds)
        others = rng.choose(self.mix.kinds()[1:], count * (num_keys - 1)).reshape(count, -1) + 1
        same = rng.chance(0.75, count, num_keys - 1)
        kinds = torch.cat([kind[:, None], torch.where(same, kind[:, None], others)], dim=1)
        keys = torch.eye(3).repeat(count, num_keys, 22, 1, 1)
        for number, make in enumerate(KINDS):
            where = kinds == number
            if make is not None and where.any():
                keys[where] = make(rng, int(where.sum()))
        shape = (count, num_keys)
        turns = rng.normal(0.4, *shape) + rng.chance(0.2, *shape) * rng.uniform(-3.1, 3.1, *shape)
        rotations, share = self._join(rng, keys, seconds)
        heading = axis_turn("y", (share * turns[:, None]).sum(-1))
        rotations = torch.cat([(heading @ rotations[:, :, 0])[:, :, None], rotations[:, :, 1:]], dim=2)
        drift = rng.normal(0.25, *shape, 3) * torch.tensor([1.0, 0.0, 1.0])
        place = share @ drift
        return rotations, place, (share * (kinds == SEATED)[:, None].float()).sum(-1) > 0.9

    @staticmethod
    def _join(rng: RandomSource, keys: Tensor, seconds: Tensor) -> tuple[Tensor, Tensor]:
        """Pass from key to key: rotations ``P T 22 3 3`` from ``P K 22 3 3``, and the keys' shares ``P T K``."""
        count, steps = len(keys), keys.shape[1] - 1
        span = seconds[:, -1:]
        # At least half a second from key to key, and a few seconds of rest.
        pace = torch.minimum(rng.uniform(0.1, 0.9, count, 1), rng.uniform(0.15, 1.0, count, 1) * span / steps)
        position = (seconds * pace / span.clamp_min(1e-3) * steps).clamp(max=steps - 1e-4)
        index = position.long()
        rise = ((position - index - 0.2) / 0.6).clamp(0, 1)
        rise = rise * rise * (3 - 2 * rise)
        people = torch.arange(count)[:, None]
        joined = blend(keys[people, index], keys[people, index + 1], rise[..., None, None, None])
        share = torch.zeros(*index.shape, steps + 1)
        share.scatter_(2, index[..., None], (1 - rise)[..., None])
        share.scatter_(2, index[..., None] + 1, rise[..., None])
        return joined, share


def _num_keys(seconds: Tensor) -> int:
    """Return how many keys a motion at the times ``P T`` passes through; a single frame shows the first of two."""
    return min(_KEYS, seconds.shape[1] + 1)
