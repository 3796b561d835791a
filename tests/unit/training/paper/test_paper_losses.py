"""The terms of the loss: values by hand, and gradients against numerical ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from human3r.training.paper.config import LossSettings
from human3r.training.paper.criterion import LossTerms, total_loss
from human3r.training.paper.losses import (
    bce_loss,
    camera_loss,
    confidence_loss,
    focal_loss,
    mask_in_square,
    person_l1,
    projected_l1,
    regression_loss,
    rgb_loss,
    scene_scale,
)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_focal_loss_of_one_positive_and_one_negative_at_one_half():
    score, target = torch.tensor([0.5, 0.5]).view(1, 1, 1, 2), torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)

    # Both halves are 0.25 ln 2: (0.25 + 0.25) ln 2 = 0.34657.
    assert focal_loss(score, target).item() == pytest.approx(0.5 * math.log(2), abs=1e-6)


def test_focal_loss_without_people_is_divided_by_one_and_views_are_averaged():
    score = torch.full((2, 2, 1, 3), 0.5)
    target = torch.zeros(2, 2, 1, 3)
    target[0, 0, 0, 0] = target[1, 0, 0, 1] = 1

    first = 6 * 0.25 * math.log(2) / 2
    second = 6 * 0.25 * math.log(2)
    assert focal_loss(score, target).item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_confidence_loss_at_confidence_one_is_twice_the_mean_error():
    truth = _random(2, 4, 3, 5, 3)
    prediction = truth + torch.tensor([0.3, 0.0, 0.4], dtype=torch.float64)
    ones, valid = torch.ones(2, 4, 3, 5, dtype=torch.float64), torch.ones(2, 4, 3, 5, dtype=torch.bool)

    loss = confidence_loss((prediction, prediction), (truth, truth), (ones, ones), valid, torch.full((2,), 2.0))

    assert loss.item() == pytest.approx(2 * 0.5 / 2.0)


def test_best_confidence_is_the_price_over_the_error():
    error, price = 0.05, 0.2
    truth = torch.zeros(1, 1, 1, 1, 3, dtype=torch.float64)
    prediction = truth + torch.tensor([error, 0.0, 0.0])
    valid = torch.ones(1, 1, 1, 1, dtype=torch.bool)

    def loss(confidence: float) -> float:
        values = torch.full((1, 1, 1, 1), confidence, dtype=torch.float64)
        return confidence_loss((prediction,), (truth,), (values,), valid, torch.ones(1)).item()

    assert loss(price / error) < min(loss(price / error * 1.01), loss(price / error * 0.99))


def test_views_are_weighted_equally_and_clips_by_valid_pixels():
    truth = torch.zeros(2, 2, 1, 4, 3)
    prediction = truth.clone()
    prediction[0, 0, ..., 0] = 1.0
    valid = torch.ones(2, 2, 1, 4, dtype=torch.bool)
    valid[1, 0, 0, 1:] = False

    # View 0: four pixels with error 1 and one with error 0, pooled over both clips; view 1: no error.
    assert regression_loss((prediction,), (truth,), valid).item() == pytest.approx((4 / 5 + 0) / 2)


def test_scene_scale_is_the_weighted_mean_distance_and_has_a_floor():
    near, far = torch.zeros(1, 1, 1, 2, 3), torch.zeros(1, 1, 1, 2, 3)
    near[..., 2], far[..., 2] = 1.0, 3.0
    confidence = torch.full((1, 1, 1, 2), math.e)
    tripled = torch.full((1, 1, 1, 2), math.e**3)
    valid = torch.ones(1, 1, 1, 2, dtype=torch.bool)

    assert scene_scale((near, far), (confidence, tripled), valid).item() == pytest.approx((1 * 1 + 3 * 3) / 4)
    assert scene_scale((near,), (confidence,), ~valid).item() == pytest.approx(1e-3)
    # Without confidence every pixel has the least weight, so the mean is plain.
    flat = torch.ones(1, 1, 1, 2)
    assert scene_scale((near, far), (flat, flat), valid).item() == pytest.approx(2.0, rel=1e-4)


def test_scale_invariant_error_ignores_a_common_factor():
    truth, valid = _random(2, 3, 2, 2, 3), torch.ones(2, 3, 2, 2, dtype=torch.bool)

    assert regression_loss((3.7 * truth,), (truth,), valid, is_scale_invariant=True).item() == pytest.approx(
        0, abs=1e-9
    )


def test_camera_loss_divides_by_the_scale_and_leaves_out_clips_without_surface():
    translation, quaternion = torch.zeros(2, 2, 3), torch.zeros(2, 2, 4)
    truth = translation + torch.tensor([0.0, 3.0, 4.0])
    turned = quaternion + torch.tensor([0.0, 0.5, 0.0, 0.0])

    both = camera_loss(translation, quaternion, truth, turned, torch.tensor([2.0, 10.0]))
    one = camera_loss(translation, quaternion, truth, turned, torch.tensor([2.0, 1e-3]))

    assert both.item() == pytest.approx((5 / 2 + 5 / 10) / 2 + 0.5)
    assert one.item() == pytest.approx(5 / 2 + 0.5)


def test_person_term_is_a_mean_per_view_and_an_empty_view_counts_as_zero():
    prediction, truth = torch.zeros(3, 2, 3), torch.ones(3, 2, 3)
    truth[2] = 4.0

    assert person_l1(prediction, truth, torch.tensor([0, 0, 2]), 4).item() == pytest.approx((1 + 0 + 4 + 0) / 4)
    assert person_l1(prediction[:0], truth[:0], torch.zeros(0, dtype=torch.long), 4).item() == 0


def test_projected_term_counts_only_points_that_truly_lie_inside():
    K = torch.tensor([[100.0, 0, 50], [0, 100, 40], [0, 0, 1]])[None]
    true = torch.tensor([[[0.0, 0, 2], [5.0, 0, 2], [0.0, 0, -2]]])
    moved = true + torch.tensor([0.1, 0.0, 0.0])

    # Only the first point is inside: 0.1 m at 2 m is 5 pixels in x and 0 in y.
    assert projected_l1(moved, true, K, (80, 100), torch.tensor([1]), 2).item() == pytest.approx(5 / 2 / 2)


def test_mask_of_the_square_is_padded_with_zeros_and_max_pooled():
    mask = torch.zeros(1, 32, 64)
    mask[:, :, 0] = 1

    square = mask_in_square(mask, 96)

    assert square.shape == (1, 96, 96)
    assert not square[:, :24].any()
    assert not square[:, 72:].any()
    assert square[0, 48, :2].tolist() == [1, 1]
    assert set(square.unique().tolist()) == {0.0, 1.0}


def test_color_term_is_the_mean_square():
    image = torch.zeros(1, 2, 3, 4, 5)
    assert rgb_loss(torch.full((1, 2, 4, 5, 3), 0.5), image).item() == pytest.approx(0.25)


def test_projected_terms_start_after_the_body_terms():
    def terms(vertices: float) -> LossTerms:
        values = dict.fromkeys(LossTerms.__dataclass_fields__, torch.tensor(0.0))
        return LossTerms(**values | {"vertices": torch.tensor(vertices), "joints_uv": torch.tensor(50.0)})

    assert total_loss(terms(0.9), LossSettings()).item() == pytest.approx(0.9 + 0.01 * 50)
    assert total_loss(terms(1.1), LossSettings()).item() == pytest.approx(1.1)


def test_weights_are_the_published_ones():
    ones = LossTerms(**dict.fromkeys(LossTerms.__dataclass_fields__, torch.tensor(0.5)))

    expected = 0.5 * (1 + 1 + 1 + 0.1 + 1 + 1 + 0.1 + 1 + 1 + 1 + 1 + 1 + 0.01 + 0.01)
    assert total_loss(ones, LossSettings()).item() == pytest.approx(expected)


_VIEW = torch.tensor([0, 2, 2])
_VALID = torch.rand(2, 3, 2, 4, generator=torch.Generator().manual_seed(5)) > 0.3
_TRUTH = _random(2, 3, 2, 4, 3, seed=1)
_K = torch.tensor([[30.0, 0, 15], [0, 30, 10], [0, 0, 1]], dtype=torch.float64).expand(3, 3, 3)
_IN_FRONT = _random(3, 6, 3, seed=2) * 0.2 + torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64)
_PROBABILITY = torch.sigmoid(_random(2, 3, 4, 4, seed=3))
_TARGET = (_random(2, 3, 4, 4, seed=4) > 0.8).double()
_SCALE = torch.tensor([0.7, 1.9], dtype=torch.float64)

GRADIENTS: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "confidence": (
        lambda points, raw: confidence_loss((points,), (_TRUTH,), (1 + raw.exp(),), _VALID, _SCALE),
        (_random(2, 3, 2, 4, 3), _random(2, 3, 2, 4)),
    ),
    "regression": (
        lambda points: regression_loss((points,), (_TRUTH,), _VALID, is_scale_invariant=True),
        (_random(2, 3, 2, 4, 3),),
    ),
    "camera": (
        lambda t, q: camera_loss(t, q, _random(2, 3, 3, seed=6), _random(2, 3, 4, seed=7), _SCALE),
        (_random(2, 3, 3), _random(2, 3, 4)),
    ),
    "rgb": (lambda rgb: rgb_loss(rgb, _random(2, 3, 3, 2, 4, seed=8)), (_random(2, 3, 2, 4, 3),)),
    "focal": (lambda score: focal_loss(score, _TARGET), (_PROBABILITY,)),
    "bce": (lambda score: bce_loss(score, _TARGET), (_PROBABILITY,)),
    "person": (lambda values: person_l1(values, _random(3, 5, 3, seed=9), _VIEW, 4), (_random(3, 5, 3),)),
    "projected": (
        lambda points: projected_l1(points, _IN_FRONT, _K, (20, 30), _VIEW, 4),
        (_IN_FRONT + 0.05 * _random(3, 6, 3, seed=10),),
    ),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient_equals_the_numerical_one(name: str):
    function, inputs = GRADIENTS[name]

    assert torch.autograd.gradcheck(function, [values.clone().requires_grad_() for values in inputs])
