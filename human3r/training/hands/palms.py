"""Measure the palms of rendered people whose wrists are turned at random.

    python -m human3r.training.hands.palms runs/hands --scenes 32

Every picture is a stream of one frame, with wrists that turn with the hands that are found and without.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from human3r.bodies import load_body
from human3r.bodies.hands import WristTurns, limit_turns
from human3r.bodies.placement import joints_at_head
from human3r.errors import run_main
from human3r.geometry.camera import project
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.loading.model import load_model
from human3r.inference.session import Session
from human3r.skeleton import NUM_BODY_JOINTS, Joint, forward_kinematics
from human3r.training.hands.rendered_hands import SIDES, Photograph, open_hand_studio, photograph
from human3r.training.synthetic.generate import Studio, default_furniture

_DISTANCE_M, _BODY_SHARE = (1.2, 2.2), 0.55
_MAX_HEAD_PX = 60.0
"""Distance of the projected head from the true one, up to which a body is that of the rendered person."""
_TURN_DEG, _TURN_SIGMA_DEG = (-80.0, -3.0, 0.0), (45.0, 12.0, 28.0)
"""Means and standard deviations of twist, deviation and flexion."""
_SHOWN_AT_ONCE_S = 1e-6
"""Time constants for single pictures: nothing fades in."""


def turn_wrists(rng: np.random.Generator, rotations: np.ndarray) -> np.ndarray:
    """Turn wrists at random within the ranges of their joints, other turns in every frame: a ``TurnWrists``."""
    elbows, wrists = (torch.tensor(np.stack([SIDES[side][part] for side in (0, 1)])) for part in (0, 1))
    turns = np.deg2rad(rng.normal(_TURN_DEG, _TURN_SIGMA_DEG, (len(rotations), 2, 3)))
    local = torch.from_numpy(rotations).float()
    limited = limit_turns(torch.from_numpy(turns).float())
    local[:, elbows], local[:, wrists] = WristTurns(load_body()).turned(local[:, elbows], limited, torch.ones(()))
    return local.double().numpy()


def measure(studio: Studio, model: LoadedModel, seeds: range) -> dict[str, np.ndarray]:
    """Return, for N visible hands: ``is_found``, and degrees between estimated and true ``palm`` in the camera and
    rotation of the ``wrist``, ``N 2`` each: as the network gave it, and with the hand."""
    hands = model.profile.hands
    assert hands is not None
    hands = replace(hands, fade_s=_SHOWN_AT_ONCE_S, filter_s=_SHOWN_AT_ONCE_S)
    models = [replace(model, profile=replace(model.profile, hands=options)) for options in (None, hands)]
    rows: list[tuple[bool, np.ndarray, np.ndarray]] = []
    for seed in seeds:
        for picture in photograph(studio, seed, True, _DISTANCE_M, _BODY_SHARE):
            sides = [side for side in (0, 1) if picture.shows_hand(side)]
            if sides:
                rows += _compare(picture, sides, models)
        sys.stdout.write(f"scene {seed}: {len(rows)} hands\n")
        sys.stdout.flush()
    names = ("is_found", "palm", "wrist")
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _compare(
    picture: Photograph, sides: list[int], models: list[LoadedModel]
) -> list[tuple[bool, np.ndarray, np.ndarray]]:
    local, is_found = [], np.zeros(2, bool)
    for model in models:
        session = Session(model)
        prediction = session.step(picture.image, 0.0)
        people = prediction.people
        joints = joints_at_head(model.body, people.joint_rotations, people.head_camera, people.betas, people.expression)
        heads = project(joints[:, Joint.HEAD], prediction.camera.K).numpy()
        away = np.linalg.norm(heads - picture.joints_px[Joint.HEAD], axis=1)
        if len(away) == 0 or away.min() > _MAX_HEAD_PX:
            return []
        local.append(people.joint_rotations[away.argmin(), :NUM_BODY_JOINTS])
        states = session.snapshot().hand_state
        if states is not None:
            is_found = states.is_found[away.argmin(), :, 0].numpy()
    true = torch.from_numpy(picture.rotations[:NUM_BODY_JOINTS]).float()
    turns = torch.stack([*local, true])
    in_camera = forward_kinematics(turns, torch.zeros_like(turns[..., 0]))[0]
    wrists = [SIDES[side][1] for side in sides]
    palm, wrist = _degrees(in_camera[:, wrists]), _degrees(turns[:, wrists])
    return [(bool(is_found[side]), palm[:, row], wrist[:, row]) for row, side in enumerate(sides)]


def _degrees(rotations: torch.Tensor) -> np.ndarray:
    """Return the angles ``2 n`` of estimated rotations, the first two of ``3 n 3 3``, to the true ones, the third."""
    between = (rotations[:2].mT @ rotations[2]).reshape(-1, 3, 3).numpy()
    return np.rad2deg(Rotation.from_matrix(between).magnitude()).reshape(2, -1)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder that keeps the furniture that was read")
    parser.add_argument("--scenes", type=int, default=32, help="rooms with a person and eight pictures each (32)")
    parser.add_argument("--motion", type=Path, default=None, help="motion files; default: those of pybullet")
    options = parser.parse_args(arguments)
    studio = open_hand_studio(default_furniture(), options.motion, options.folder / "furniture", turn_wrists)
    errors = measure(studio, load_model("compact"), range(options.scenes))
    for name, kept in (("found", errors["is_found"]), ("not found", ~errors["is_found"])):
        sys.stdout.write(f"{kept.sum()} hands whose wrists are {name}; degrees without and with them\n")
        for quantity in ("palm", "wrist") if kept.any() else ():
            angles = errors[quantity][kept].T
            parts = [
                f"{one.mean():.1f} (median {np.median(one):.1f}, beyond 90: {(one > 90).mean():.0%})" for one in angles
            ]
            sys.stdout.write(f"  {quantity:6s} {parts[0]}  ->  {parts[1]}\n")
    return 0


if __name__ == "__main__":
    run_main(main)
