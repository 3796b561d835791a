"""Fusion of focal lengths of images, frames and anchors."""

from __future__ import annotations

import math

import torch

from human3r.models.compact.camera.focal_posterior import FocalPosterior, no_focal_evidence

IMAGE_PX, INFORMATION = torch.tensor(400.0), torch.tensor(1 / 0.17**2)
TRUTH = math.log(300.0)


def after_frames(*information: float) -> FocalPosterior:
    """Return the posterior after frames of one anchor with the true focal length."""
    posterior = no_focal_evidence(IMAGE_PX)
    for amount in information:
        posterior = posterior.updated(torch.tensor(TRUTH), torch.tensor(amount))
    return posterior


def test_without_motion_the_focal_length_of_the_image_is_kept() -> None:
    torch.testing.assert_close(no_focal_evidence(IMAGE_PX).fused_with(IMAGE_PX, INFORMATION), IMAGE_PX)


def test_frames_of_an_anchor_have_the_information_of_the_best_one() -> None:
    torch.testing.assert_close(after_frames(20.0, 50.0, 30.0).information(), after_frames(50.0).information())


def test_estimates_are_weighted_by_information() -> None:
    expected = (TRUTH + math.log(400.0)) / 2

    between = after_frames(float(INFORMATION)).fused_with(IMAGE_PX, INFORMATION)

    torch.testing.assert_close(between.log(), torch.tensor(expected))


def test_a_new_anchor_keeps_a_bounded_share_of_the_information() -> None:
    posterior = after_frames(200.0)
    kept = posterior.for_new_anchor()
    for _ in range(200):
        posterior = posterior.for_new_anchor().updated(torch.tensor(TRUTH), torch.tensor(200.0))

    assert after_frames().information() < kept.information() < after_frames(200.0).information()
    torch.testing.assert_close(kept.past_mean, torch.tensor(TRUTH))
    assert float(posterior.for_new_anchor().information()) < 1300
