"""The file that ships: SMPL-X's layout and conventions, sound numbers, human sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from human3r.bodies import EMBEDDED_BODY_PATH, SmplxBody
from human3r.bodies.joints import COCO17_HEAD_VERTICES
from human3r.skeleton import JOINT_NAMES
from human3r.training.body.neutral import REGIONS_M

_INDEX = {name: row for row, name in enumerate(JOINT_NAMES)}
_NOBODY = torch.zeros(1, 10)


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with np.load(EMBEDDED_BODY_PATH, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _height(body: SmplxBody, betas: torch.Tensor) -> torch.Tensor:
    heights = body.rest_vertices(betas, torch.zeros_like(betas))[..., 1]
    return heights.amax(dim=1) - heights.amin(dim=1)


def _direction(body: SmplxBody, start: str, end: str) -> torch.Tensor:
    bone = body.joint_template[_INDEX[end]] - body.joint_template[_INDEX[start]]
    return bone / bone.norm()


def test_the_file_is_at_most_three_megabytes() -> None:
    assert EMBEDDED_BODY_PATH.stat().st_size <= 3_000_000


def test_the_body_is_ours_and_free(embedded_body: SmplxBody) -> None:
    assert (embedded_body.name, embedded_body.is_licensed) == ("human3r-body", False)


def test_the_layout_is_that_of_smplx(arrays: dict[str, np.ndarray]) -> None:
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes["v_template"] == (10475, 3)
    assert shapes["shapedirs"] == (10475, 3, 20)
    assert shapes["posedirs"] == (10475, 3, 486)
    assert shapes["dynamic_lmk_bary_coords"] == (79, 17, 3)
    assert shapes["f"] == shapes["ft"]
    assert arrays["kintree_table"].dtype == np.uint32
    assert arrays["kintree_table"][0, 0] == 2**32 - 1
    assert arrays["ft"].max() == len(arrays["vt"]) - 1


def test_skinning_weights_sum_to_exactly_one(arrays: dict[str, np.ndarray]) -> None:
    weights = arrays["weights"].astype(np.float64)
    assert (weights.sum(axis=1) == 1).all()
    assert weights.min() == 0


def test_every_joint_moves_some_skin(arrays: dict[str, np.ndarray]) -> None:
    assert (arrays["weights"].max(axis=0) > 0.4).all()


def test_the_joint_regressor_is_bounded(arrays: dict[str, np.ndarray]) -> None:
    assert np.abs(arrays["J_regressor"]).max() < 0.4


def test_hand_components_are_orthonormal(arrays: dict[str, np.ndarray]) -> None:
    for side in "lr":
        rows = arrays[f"hands_components{side}"]
        np.testing.assert_allclose(rows @ rows.T, np.eye(45), atol=1e-5)


def test_the_surface_is_closed_and_oriented(arrays: dict[str, np.ndarray]) -> None:
    faces = arrays["f"].astype(np.int64)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forward = set(map(tuple, edges.tolist()))
    assert len(forward) == len(edges)
    assert len(np.unique(faces)) == 10475
    open_edges = [edge for edge in forward if edge[::-1] not in forward]
    assert len(open_edges) < 0.005 * len(edges)


def test_random_people_have_human_heights(embedded_body: SmplxBody) -> None:
    betas = torch.randn(300, 10, generator=torch.Generator().manual_seed(0))
    heights = _height(embedded_body, betas)
    assert abs(heights.mean() - 1.70) < 0.03
    assert abs(heights.std() - 0.10) < 0.02


def test_the_first_coefficient_is_ten_centimeters_of_stature(embedded_body: SmplxBody) -> None:
    betas = torch.zeros(2, 10)
    betas[1, 0] = 1.0
    low, high = _height(embedded_body, betas)
    assert 0.08 < high - low < 0.12


def test_a_child_of_meter_twenty_is_within_reach(embedded_body: SmplxBody) -> None:
    betas = torch.zeros(1, 10)
    betas[0, 0], betas[0, 9] = -4.7, 4.0
    assert abs(_height(embedded_body, betas)[0] - 1.20) < 0.03
    child, adult = (
        embedded_body.rest_vertices(shape, _NOBODY)[0, :, 1].amax()
        - embedded_body.rest_joints(shape, _NOBODY)[0, 15, 1]
        for shape in (betas, torch.zeros(1, 10))
    )
    assert child / 1.20 > 1.1 * adult / 1.69


def test_the_mean_body_is_symmetric(embedded_body: SmplxBody) -> None:
    joints = embedded_body.joint_template
    for name, row in _INDEX.items():
        if name.startswith("left_"):
            mirrored = joints[_INDEX[name.replace("left_", "right_")]] * torch.tensor([-1.0, 1.0, 1.0])
            torch.testing.assert_close(joints[row], mirrored, atol=2e-3, rtol=0)


def test_limbs_rest_in_the_directions_of_smplx(embedded_body: SmplxBody) -> None:
    upper_arm = _direction(embedded_body, "left_shoulder", "left_elbow")
    forearm = _direction(embedded_body, "left_elbow", "left_wrist")
    thigh = _direction(embedded_body, "left_hip", "left_knee")
    shin = _direction(embedded_body, "left_knee", "left_ankle")
    angles = torch.rad2deg(
        torch.stack(
            [
                torch.atan2(-upper_arm[1], upper_arm[0]),
                torch.atan2(-upper_arm[2], upper_arm[0]),
                torch.atan2(forearm[1], forearm[0]),
                torch.atan2(thigh[0], -thigh[1]),
                torch.atan2(-shin[0], -shin[1]),
                torch.atan2(-shin[2], -shin[1]),
            ]
        )
    )
    torch.testing.assert_close(angles, torch.tensor([16.0, 9.0, 5.0, 8.0, 6.0, 4.5]), atol=1.0, rtol=0)


def test_hips_are_twelve_centimeters_apart(embedded_body: SmplxBody) -> None:
    hips = embedded_body.joint_template[[_INDEX["left_hip"], _INDEX["right_hip"]]]
    assert abs((hips[0] - hips[1]).norm() - 0.12) < 0.005


def test_the_head_slots_lie_on_the_head(embedded_body: SmplxBody) -> None:
    nose, left_eye, right_eye, left_ear, right_ear = embedded_body.template[list(COCO17_HEAD_VERTICES)]
    assert nose[2] > left_eye[2] > left_ear[2]
    assert left_ear[0] > left_eye[0] > nose[0].abs()
    assert right_ear[0] < right_eye[0] < -nose[0].abs()
    assert embedded_body.skinning_weights[list(COCO17_HEAD_VERTICES), 15].sum() > 2.9


def test_expressions_leave_the_skeleton_below_the_head_alone(embedded_body: SmplxBody) -> None:
    assert embedded_body.joint_expression_directions[:15].norm(dim=1).max() < 1e-3


def test_chest_and_groin_of_every_shape_are_smooth(embedded_body: SmplxBody) -> None:
    shapes = torch.cat([torch.zeros(1, 10), 2.5 * torch.eye(10), -2.5 * torch.eye(10)])
    vertices = embedded_body.rest_vertices(shapes, torch.zeros(len(shapes), 10)).numpy()
    faces = embedded_body.faces.numpy()
    for center, half_axes in REGIONS_M:
        inside = ((((vertices[0] - center) / half_axes) ** 2).sum(axis=1) < 0.8)[faces].all(axis=1)
        corners = vertices[:, faces[inside]]
        normals = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        # Sculpted ones turn by 70 degrees.
        mean = normals.mean(axis=1, keepdims=True)
        assert (normals * mean).sum(axis=-1).min() > np.cos(np.deg2rad(55)) * np.linalg.norm(mean, axis=-1).max()
