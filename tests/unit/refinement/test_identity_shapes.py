"""Other shapes and distances: the picture stays, sizes are what was asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from human3r.bodies import SmplxBody, load_body
from human3r.records import BodyParameters
from human3r.refinement.identity_shapes import body_sizes, scaled_betas, with_shapes
from human3r.results.person_table import PERSON_ROW, PersonTable
from human3r.results.posing import parameters_of_rows

_CAMERA = np.array([[0.3, -0.2, 0.1]] * 2)


@pytest.fixture(scope="module")
def body() -> SmplxBody:
    return load_body(None)


@pytest.fixture(scope="module")
def people(body: SmplxBody) -> PersonTable:
    generator = torch.Generator().manual_seed(3)
    sizes = {"body_pose": (21, 3), "left_hand_pose": (15, 3), "right_hand_pose": (15, 3), "betas": (10,)}
    sizes |= {"expression": (10,)}
    values = {
        name: 0.2 * torch.randn(2, *sizes.get(name, (3,)), generator=generator)
        for name in BodyParameters.__dataclass_fields__
    }
    values["transl"] = torch.tensor([[0.5, 0.1, 4.0], [-1.0, 0.3, 7.0]])
    columns = {name: value.numpy() for name, value in values.items()}
    joints = body.joints(BodyParameters(**values)).numpy()
    return replace(PersonTable.from_rows(np.zeros(2, PERSON_ROW)), joints_world=joints, **columns)


def _pixels(joints: np.ndarray) -> np.ndarray:
    camera = joints - _CAMERA[:, None]
    return 500 * camera[..., :2] / camera[..., 2:]


def test_sizes_change_by_the_factor_that_was_asked_for(body: SmplxBody, people: PersonTable) -> None:
    factor = np.array([0.8, 1.1])

    changed = scaled_betas(body, people.betas, factor)

    np.testing.assert_allclose(body_sizes(body, changed) / body_sizes(body, people.betas), factor, rtol=2e-3)


def test_a_smaller_body_comes_nearer_and_looks_the_same(body: SmplxBody, people: PersonTable) -> None:
    betas = scaled_betas(body, people.betas, np.array([0.85, 0.85]))

    changed = with_shapes(people, body, _CAMERA, betas)

    ratio = (changed.joints_world - _CAMERA[:, None])[:, 0, 2] / (people.joints_world - _CAMERA[:, None])[:, 0, 2]
    np.testing.assert_allclose(ratio, 0.85, atol=0.01)
    moved = np.abs(_pixels(changed.joints_world)[:, :22] - _pixels(people.joints_world)[:, :22])
    assert moved.max() < 4.0


def test_the_parameters_still_give_the_joints(body: SmplxBody, people: PersonTable) -> None:
    changed = with_shapes(people, body, _CAMERA, people.betas + 0.5, np.array([0.05, -0.05]))

    joints = body.joints(parameters_of_rows(changed))
    np.testing.assert_allclose(joints.numpy(), changed.joints_world, atol=1e-4)


def test_the_same_shape_changes_nothing(body: SmplxBody, people: PersonTable) -> None:
    changed = with_shapes(people, body, _CAMERA, people.betas)

    np.testing.assert_allclose(changed.joints_world, people.joints_world, atol=1e-4)


def test_zero_rows_are_handled(body: SmplxBody, people: PersonTable) -> None:
    empty = people.select(np.zeros(0, np.int64))

    assert len(with_shapes(empty, body, _CAMERA[:0], empty.betas).transl) == 0
