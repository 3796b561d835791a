"""Rendered people with turned wrists."""

from __future__ import annotations

import numpy as np
import torch

from human3r.bodies import load_body
from human3r.bodies.hands import WristTurns, limit_turns
from human3r.skeleton import Joint
from human3r.training.hands.palms import turn_wrists

_ELBOWS, _WRISTS = slice(Joint.LEFT_ELBOW, Joint.LEFT_WRIST), slice(Joint.LEFT_WRIST, Joint.RIGHT_WRIST + 1)


def test_wrists_turn_at_random_within_the_ranges_of_their_joints_and_nothing_else_moves() -> None:
    rest = np.tile(np.eye(3), (200, 55, 1, 1))
    turned = turn_wrists(np.random.default_rng(0), rest)
    rotations = torch.from_numpy(turned).float()
    turns = WristTurns(load_body()).turns(rotations[:, _ELBOWS], rotations[:, _WRISTS])
    torch.testing.assert_close(limit_turns(turns), turns, atol=1e-4, rtol=0)
    twist_deg = torch.rad2deg(turns[..., 0])
    assert -90 < twist_deg.mean() < -70
    assert twist_deg.std() > 30
    arms = [*range(55)[_ELBOWS], *range(55)[_WRISTS]]
    others = np.delete(turned, arms, axis=1)
    assert np.allclose(others, np.eye(3), atol=1e-6)
