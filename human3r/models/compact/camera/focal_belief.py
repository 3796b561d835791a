"""What the images of a turning camera say about its focal length, beside what each picture alone says.

A turn by some angle moves the middle of the picture less than its sides, and by how much less depends on the field of
view. A longer lens shows the same picture of a scene that is deeper, as canonical depth has it: only z is stretched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from human3r.models.compact.camera.motion import Lens, Surface
from human3r.models.parts import ScenePoints
from human3r.records import TensorRecord

_NOISE_SHARE = 0.5
"""Of the information that the equations of a frame claim: neighbouring blocks err alike."""
_DEPTH_NOISE_PX = 25.0
"""Parallax (pixels per logarithm of the depth) at which errors of the depth within blocks are as large as the noise of
the pictures; beyond it they rule."""
_SETTLED_SHARE = 0.5
"""Of an anchor's information that its successors keep: they inherit its errors, too."""
_MAX_INFORMATION = 1 / 0.03**2
"""Of all earlier anchors: lenses distort, and shutters roll."""
_MIN_INFORMATION = 1.0
_MAX_STEP, _MAX_OFFSET = 0.2, 0.6
FOCAL_COLUMN = 8
"""Of the equations of motion: six of motion and two of light come first."""


@dataclass(frozen=True)
class FocalBelief(TensorRecord):
    """Two Gaussians over the logarithm of the focal length (network pixels), each with mean and information."""

    settled_mean: Tensor
    """Scalar, of earlier anchors."""
    settled_information: Tensor
    gathered_mean: Tensor
    """Scalar, of the present anchor. Its frames repeat each other's errors: the best of them counts, not their sum."""
    gathered_information: Tensor

    def information(self) -> Tensor:
        """Return the information of all anchors."""
        return self.settled_information + self.gathered_information

    def with_picture(self, focal_px: Tensor, information: Tensor) -> Tensor:
        """Return the focal length that all agree on where the picture alone says ``focal_px``, and how surely."""
        seen = focal_px.log()
        said = self.settled_information * (self.settled_mean - seen)
        said = said + self.gathered_information * (self.gathered_mean - seen)
        return focal_px * (said / (information + self.information())).exp()

    def gather(self, mean: Tensor, information: Tensor) -> FocalBelief:
        """Return the belief after a frame, which counts by what it adds to the best so far."""
        best = torch.maximum(self.gathered_information, information)
        share = (best - self.gathered_information) / best.clamp(min=1e-9)
        return replace(
            self, gathered_mean=self.gathered_mean + share * (mean - self.gathered_mean), gathered_information=best
        )

    def settle(self) -> FocalBelief:
        """Return the belief with which a new anchor starts."""
        kept = _SETTLED_SHARE * self.gathered_information
        total = self.settled_information + kept
        mean = self.settled_mean + kept / total.clamp(min=1e-9) * (self.gathered_mean - self.settled_mean)
        none = torch.zeros_like(total)
        return FocalBelief(mean, total.clamp(max=_MAX_INFORMATION), none, none)


@dataclass(frozen=True)
class FocalEstimate(TensorRecord):
    """A focal length that is being fitted to one frame."""

    offset: Tensor
    """Scalar: its logarithm less that of the lens."""
    prior: Tensor
    """Scalar information on the offset being 0, in units of the frame's own."""
    trust: Tensor
    """Scalar: how much a unit of the frame's information is worth."""

    def focus(self, surface: Surface, lens: Lens) -> tuple[Surface, Lens]:
        """Return surface and lens as they are with this focal length."""
        ratio = self.offset.exp()
        return stretched(surface, ratio), replace(lens, focal_px=lens.focal_px * ratio)

    def with_prior(self, normal: Tensor, aim: Tensor) -> tuple[Tensor, Tensor]:
        """Add the prior to the ``9 9`` equations of a step."""
        column = torch.zeros_like(aim)
        column[FOCAL_COLUMN] = 1.0
        return normal + torch.diag(self.prior * column), aim - self.prior * self.offset * column

    def moved(self, step: Tensor) -> FocalEstimate:
        """Return the estimate after a step of ``9`` numbers."""
        offset = self.offset + step[FOCAL_COLUMN].clamp(-_MAX_STEP, _MAX_STEP)
        return replace(self, offset=offset.clamp(-_MAX_OFFSET, _MAX_OFFSET))

    def evidence(self, lens: Lens, reduced: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and information of what the frame alone says about the logarithm of the focal length.

        Args:
            lens: The lens that the offset is from.
            reduced: ``9 9`` equations of the last step, prior included, with the depth eliminated.
        """
        gained = (1 / torch.linalg.inv(reduced)[FOCAL_COLUMN, FOCAL_COLUMN] - self.prior).clamp(min=0)
        # Where the frame says next to nothing, dividing the prior out again would magnify rounding.
        is_heard = self.trust * gained > _MIN_INFORMATION
        alone = (self.offset * (self.prior + gained) / gained.clamp(min=1e-6)).clamp(-_MAX_OFFSET, _MAX_OFFSET)
        return lens.focal_px.log() + alone * is_heard, self.trust * gained * is_heard


def no_evidence(focal_px: Tensor) -> FocalBelief:
    """Return what is known before any motion."""
    none = torch.zeros_like(focal_px)
    return FocalBelief(none, none, none, none)


def start_focal(belief: FocalBelief, picture_information: Tensor, parallax: Tensor) -> FocalEstimate:
    """Return the estimate that a frame starts from: what is believed; ``parallax`` as in ``DepthEstimate``."""
    trust = _NOISE_SHARE / (1 + parallax / _DEPTH_NOISE_PX**2)
    return FocalEstimate(torch.zeros_like(trust), (picture_information + belief.information()) / trust, trust)


def stretched(surface: Surface, ratio: Tensor) -> Surface:
    """Return the surface that a lens ``ratio`` times as long sees in the same picture."""
    return replace(surface, points=(surface.points.T * stretch(ratio)[:, None]).T)


def points_through(points: ScenePoints, focal_px: Tensor) -> ScenePoints:
    """Return the points as they are if the same picture was taken with that focal length."""
    pointmap = points.pointmap_camera * stretch(focal_px / points.focal_px)
    return replace(points, pointmap_camera=pointmap, focal_px=focal_px)


def stretch(ratio: Tensor) -> Tensor:
    """Return the factors on (x, y, z) that a lens ``ratio`` times as long asks for."""
    one = torch.ones_like(ratio)
    return torch.stack([one, one, ratio])
