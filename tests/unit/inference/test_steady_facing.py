"""People of a stream whom single frames turn around."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from human3r.bodies import SmplxBody, load_body
from human3r.inference.causal_filter import CausalFilterState, filter_people
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.session import Session
from human3r.inference.snapshot import RunSnapshot, read_snapshot, write_snapshot
from human3r.records import People
from human3r.results.store import StoreCheckpoint

_FRONT, _BACK, _SIDE = np.pi, 0.0, np.pi / 2
"""Turns about the vertical of a body whose z axis is its front, in a camera that looks along z."""


@pytest.fixture(scope="module")
def body() -> SmplxBody:
    return load_body(None)


def _person(turn: float) -> People:
    rotations = torch.eye(3).expand(1, 53, 3, 3).clone()
    rotations[:, 0] = roma.rotvec_to_rotmat(torch.tensor([0.0, turn, 0.0]))
    # Raises the left arm, and bends the left index finger.
    rotations[:, 16] = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, 0.5]))
    rotations[:, 22] = roma.rotvec_to_rotmat(torch.tensor([0.1, 0.2, -0.8]))
    return People(
        track_id=torch.tensor([4]),
        score=torch.ones(1),
        head_uv_px=torch.zeros(1, 2),
        joint_rotations=rotations,
        betas=torch.zeros(1, 10),
        expression=torch.zeros(1, 10),
        head_camera=torch.tensor([[0.0, 0.0, 4.0]]),
    )


def _keypoints(face: float) -> torch.Tensor:
    keypoints = torch.full((1, 17, 3), 0.8)
    keypoints[:, :5, 2] = face
    return keypoints


def _run(
    turns: list[float], body: SmplxBody, step_s: float, face: float | None, state: CausalFilterState | None = None
) -> tuple[list[People], CausalFilterState]:
    filtered = []
    for index, turn in enumerate(turns):
        keypoints = None if face is None else _keypoints(face)
        one, state = filter_people(_person(turn), index * step_s, state, body, None, keypoints)
        filtered.append(one)
    assert state is not None
    return filtered, state


def _away(people: People) -> float:
    """Return 1 for a back, -1 for a front."""
    return float(people.joint_rotations[0, 0, 2, 2])


def test_a_back_that_seems_a_front_for_two_frames_stays_a_back(body: SmplxBody) -> None:
    filtered, _ = _run([_BACK] * 10 + [_FRONT] * 2 + [_BACK] * 5, body, 0.1, face=0.5)

    assert min(map(_away, filtered)) > 0.99


def test_what_seemed_the_left_side_is_then_the_right_one(body: SmplxBody) -> None:
    seen = [_BACK] * 10 + [_FRONT]

    last = _run(seen, body, 0.1, face=0.5)[0][-1].joint_rotations[0]

    assert roma.rotmat_to_rotvec(last[17])[2] < -0.1
    finger = _person(_FRONT).joint_rotations[0, 22]
    expected = roma.rotmat_to_rotvec(finger) * torch.tensor([1.0, -1.0, -1.0])
    torch.testing.assert_close(roma.rotmat_to_rotvec(last[37]), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(last[22], torch.eye(3))


@pytest.mark.parametrize(("before", "after"), [(_FRONT, _BACK), (_BACK, _FRONT)])
def test_who_turned_around_between_two_frames_is_followed_two_frames_later(
    body: SmplxBody, before: float, after: float
) -> None:
    filtered, _ = _run([before] * 10 + [after] * 3, body, 0.2, face=0.8)

    assert _away(filtered[-1]) * np.cos(after) > 0.9


def test_who_turns_steadily_is_filtered_as_without_hysteresis(body: SmplxBody) -> None:
    turns = list(np.linspace(_FRONT, _BACK, 30))

    steady, free = _run(turns, body, 1 / 30, face=0.8)[0], _run(turns, body, 1 / 30, face=None)[0]

    for one, other in zip(steady, free, strict=True):
        assert torch.equal(one.joint_rotations, other.joint_rotations)


def test_who_is_seen_from_the_side_is_left_as_seen(body: SmplxBody) -> None:
    turns = [_SIDE] * 10 + [-_SIDE]

    steady, free = _run(turns, body, 0.1, face=0.5)[0], _run(turns, body, 0.1, face=None)[0]

    assert torch.equal(steady[-1].joint_rotations, free[-1].joint_rotations)


def test_a_resumed_stream_knows_who_faced_the_camera(body: SmplxBody, tiny: LoadedModel, tmp_path: Path) -> None:
    _, state = _run([_BACK] * 10, body, 0.1, face=0.5)
    session = replace(Session(tiny).snapshot(), filter_state=state)
    store = StoreCheckpoint(3, 2, (60, 80), (0.0, 0.0, 80.0, 60.0), None, {"one": np.ones((2, 3))})
    write_snapshot(tmp_path, RunSnapshot({}, session, store))
    resumed = read_snapshot(tmp_path, tiny.network.state_types)
    assert resumed is not None

    expected, found = (
        filter_people(_person(_FRONT), 1.0, one, body, None, _keypoints(0.5))[0]
        for one in (state, resumed.session.filter_state)
    )

    assert _away(expected) > 0.99
    assert torch.equal(found.joint_rotations, expected.joint_rotations)
