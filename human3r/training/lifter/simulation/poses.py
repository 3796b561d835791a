"""The pose sampler: mocap frames mixed, mirrored, blended and perturbed, and procedural poses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from human3r.models.compact.people.lifting.body_points import MIRRORED_JOINTS
from human3r.training.lifter.simulation import procedural
from human3r.training.lifter.simulation.limbs import random_arm, set_arm
from human3r.training.lifter.simulation.rotations import RandomSource, axis_turn, blend, mirror, random_turn
from human3r.training.motion import Motion

_FPS = 30.0
"""Rate to which clips are subsampled."""
UPPER_BODY = [3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]
JOINT_NOISE_DEG = (3, 6, 6, 4, 6, 6, 4, 9, 9, 4, 6, 6, 8, 5, 5, 10, 11, 11, 10, 10, 17, 17)
"""Standard deviation per joint of the noise at full strength. Source: prototype, 3 to 17 degrees."""
SEATED = 1
"""Index of ``procedural.seated`` in ``KINDS``."""
KINDS = (None, procedural.seated, procedural.standing, procedural.squatting, procedural.bending, procedural.lying)
"""Generators of the kinds of pose; None is a frame of motion capture."""


@dataclass(frozen=True)
class PoseMix:
    """Shares of the pose sampler."""

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


class PoseSampler:
    """Draws local rotations, root upright in a y-up world with a random heading.

    Args:
        motions: Clips; drawn in proportion to the square root of their length, so that long walks do not dominate.
    """

    def __init__(self, motions: list[Motion], mix: PoseMix) -> None:
        frames, weights = [], []
        for motion in motions:
            step = max(1, round(motion.fps / _FPS))
            rotations = torch.from_numpy(motion.joint_rotations[::step].copy())
            frames.append(rotations)
            seconds = max(len(motion.joint_rotations) / motion.fps, 0.25)
            weights.append(torch.full((len(rotations),), math.sqrt(seconds) / len(rotations)))
        self.frames, self.weights, self.mix = torch.cat(frames), torch.cat(weights), mix
        self._mirrored = torch.tensor(MIRRORED_JOINTS)

    def sample(self, rng: RandomSource, count: int) -> tuple[Tensor, Tensor]:
        """Return rotations ``P 22 3 3`` and kinds ``P`` (indices into ``KINDS``)."""
        kinds = rng.choose(self.mix.kinds(), count).sort().values
        parts = []
        for kind, make in enumerate(KINDS):
            size = int((kinds == kind).sum())
            if size:
                parts.append(self._mocap(rng, size) if make is None else make(rng, size))
        rotations = torch.cat(parts)
        sigma = torch.tensor(JOINT_NOISE_DEG).deg2rad() * self.mix.noise
        strength = rng.uniform(0.0, 1.2, count, 1)
        rotations = rotations @ random_turn(rng, sigma * strength)
        flips = rng.chance(0.5, count)
        rotations[flips] = mirror(rotations[flips], self._mirrored)
        heading = axis_turn("y", rng.uniform(-math.pi, math.pi, count))
        return torch.cat([(heading @ rotations[:, 0])[:, None], rotations[:, 1:]], dim=1), kinds

    def _mocap(self, rng: RandomSource, count: int) -> Tensor:
        rotations = self.frames[rng.choose(self.weights, count)].clone()
        other = self.frames[rng.choose(self.weights, count)]
        swaps = rng.chance(self.mix.swap_upper_body, count)
        for joint in UPPER_BODY:
            rotations[swaps, joint] = other[swaps, joint]
        mixes = rng.chance(self.mix.blend_frames, count)
        share = rng.uniform(0.0, 1.0, count, 1, 1, 1)[mixes]
        # Headings differ between clips: only what is above or below the root is blended.
        rotations[mixes, 1:] = blend(rotations[mixes, 1:], other[mixes, 1:], share)
        for side in (1, -1):
            set_arm(rotations, side, random_arm(side, rng, count), rng.chance(self.mix.random_arm, count))
        return rotations
