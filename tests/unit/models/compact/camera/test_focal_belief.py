"""What frames say about the focal length adds up carefully."""

from __future__ import annotations

import math

import torch

from human3r.models.compact.camera.focal_belief import FocalBelief, no_evidence

PICTURE_PX, INFORMATION = torch.tensor(400.0), torch.tensor(1 / 0.17**2)
TRUTH = math.log(300.0)


def gathered(*information: float) -> FocalBelief:
    """Return what is believed after frames of one anchor that all say the truth."""
    belief = no_evidence(PICTURE_PX)
    for amount in information:
        belief = belief.gather(torch.tensor(TRUTH), torch.tensor(amount))
    return belief


def test_without_evidence_the_picture_is_believed() -> None:
    torch.testing.assert_close(no_evidence(PICTURE_PX).with_picture(PICTURE_PX, INFORMATION), PICTURE_PX)


def test_frames_of_an_anchor_count_as_much_as_the_best_of_them() -> None:
    torch.testing.assert_close(gathered(20.0, 50.0, 30.0).information(), gathered(50.0).information())


def test_evidence_moves_the_focal_length_by_its_share() -> None:
    expected = (TRUTH + math.log(400.0)) / 2

    between = gathered(float(INFORMATION)).with_picture(PICTURE_PX, INFORMATION)

    torch.testing.assert_close(between.log(), torch.tensor(expected))


def test_a_new_anchor_keeps_part_of_the_evidence_and_never_too_much() -> None:
    belief = gathered(200.0)
    kept = belief.settle()
    for _ in range(200):
        belief = belief.settle().gather(torch.tensor(TRUTH), torch.tensor(200.0))

    assert gathered().information() < kept.information() < gathered(200.0).information()
    torch.testing.assert_close(kept.settled_mean, torch.tensor(TRUTH))
    assert float(belief.settle().information()) < 1300
