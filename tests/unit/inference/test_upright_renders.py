"""Rendered people who stand on their hands or lie on the floor do not turn the clip."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from human3r.inference.loading.model import load_model
from human3r.inference.upright import find_turn
from human3r.training.synthetic import generate
from human3r.training.synthetic.people import posed_people
from human3r.training.synthetic.people.acting import Action
from human3r.video.sources.source_frame import fit

pytestmark = pytest.mark.slow

_LEGS_APART, _ARMS_UP = 12.0, 80.0
_FIRST_SEED = 9000


def action_of(root_deg: float):
    """Return what every person does: arms over the head, legs a little apart, turned forward by an angle."""

    def draw(rng: np.random.Generator, motions: object, time_s: np.ndarray, *_: object, **__: object) -> Action:
        rotations = np.tile(np.eye(3), (len(time_s), 22, 1, 1))
        for left, right, angle in ((1, 2, _LEGS_APART), (16, 17, _ARMS_UP)):
            rotations[:, left] = Rotation.from_euler("z", angle, degrees=True).as_matrix()
            rotations[:, right] = Rotation.from_euler("z", -angle, degrees=True).as_matrix()
        rotations[:, 0] = Rotation.from_euler("x", root_deg, degrees=True).as_matrix()
        return Action("standing", "posed", rotations, np.tile([0.0, 0.9, 0.0], (len(time_s), 1)), False)

    return draw


@pytest.fixture(scope="module")
def model():
    return load_model("compact", device="cpu")


@pytest.mark.parametrize("root_deg", [180, -90], ids=["on their hands", "on their backs"])
def test_people_who_do_not_stand_on_their_feet_do_not_turn_the_clip(model, monkeypatch, root_deg: float) -> None:
    monkeypatch.setattr(posed_people, "draw_action", action_of(root_deg))
    monkeypatch.setattr(generate, "load_motions", lambda folder: [])
    monkeypatch.setattr(generate, "NUM_PEOPLE_SHARES", (0, 0.6, 0.4, 0, 0, 0, 0))
    studio = generate.open_studio(None, None, None, None)
    turns = []
    for seed in range(_FIRST_SEED, _FIRST_SEED + 6):
        images = next(generate.generate_shots(studio, seed, "val", 3, 1)).image
        turns.append(find_turn(model, [fit(image, (2 * image.shape[0], 2 * image.shape[1])) for image in images]))
    assert [turn.degrees for turn in turns] == [0] * 6
    if root_deg == 180:
        assert sum(turn.doubted_degrees == 180 for turn in turns) >= 3
