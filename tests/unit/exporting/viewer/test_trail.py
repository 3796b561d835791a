"""Where a person's trail is drawn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from human3r.exporting.viewer.scene import add_trail
from human3r.palette import person_color
from human3r.skeleton import Joint


def test_a_trail_is_one_line_on_the_ground_that_the_person_stands_on_also_during_a_jump() -> None:
    drawn = []
    server = SimpleNamespace(scene=SimpleNamespace(add_line_segments=lambda *line, **_: drawn.append(line)))
    joints = np.zeros((30, 55, 3))
    joints[..., 0] = np.linspace(0, 3, 30)[:, None]
    joints[:, Joint.PELVIS, 1] = 2.4
    feet = [Joint.LEFT_FOOT, Joint.RIGHT_FOOT]
    joints[:, feet, 1] = 1.5
    joints[10:13, feet, 1] = 2.1

    add_trail(server, 1, joints)

    (name, pieces, color), *_ = drawn
    assert name == "/people/person_1/trail/line"
    assert color == person_color(1)
    assert pieces[1:, 0].tolist() == pieces[:-1, 1].tolist()
    assert pieces[..., 1] == pytest.approx(1.55, abs=0.01)
    assert pieces[0, 0, 0] < 0.2
    assert pieces[-1, 1, 0] > 2.8
