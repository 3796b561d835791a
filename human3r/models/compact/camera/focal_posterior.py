"""Focal length from the images of a rotating camera, fused with the estimate from each single image.

Under rotation the image center moves less than its sides, by an amount that depends on the field of view. As with
canonical depth, a longer focal length explains the same image by a deeper scene: only z is scaled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from human3r.models.compact.camera.motion import Lens, Surface
from human3r.models.parts import ScenePoints
from human3r.records import TensorRecord

_NOISE_SHARE = 0.5
"""Share of the information of a frame's equations that counts, because errors of neighboring blocks are correlated."""
_DEPTH_NOISE_PX = 25.0
"""Parallax (pixels per unit of log depth) at which depth errors within blocks equal the image noise."""
_PAST_SHARE = 0.5
"""Share of an anchor's information that later anchors keep, because they share its errors."""
_MAX_INFORMATION = 1 / 0.03**2
"""Of all earlier anchors, because of lens distortion and rolling shutters."""
_MIN_INFORMATION = 1.0
_MAX_STEP, _MAX_OFFSET = 0.2, 0.6
FOCAL_COLUMN = 8
"""Index among the unknowns of a frame, after six of motion and two of brightness."""


@dataclass(frozen=True)
class FocalPosterior(TensorRecord):
    """Two Gaussians over the log focal length (network pixels): of past anchors and of the current one."""

    past_mean: Tensor
    """Scalar, as are the others."""
    past_information: Tensor
    anchor_mean: Tensor
    anchor_information: Tensor
    """Of the best frame, not the sum: errors of the frames of one anchor are correlated."""

    def information(self) -> Tensor:
        """Return the sum of both."""
        return self.past_information + self.anchor_information

    def fused_with(self, focal_px: Tensor, information: Tensor) -> Tensor:
        """Return the mean focal length given an estimate ``focal_px`` of the single image with its information."""
        log_focal = focal_px.log()
        rhs = self.past_information * (self.past_mean - log_focal)
        rhs = rhs + self.anchor_information * (self.anchor_mean - log_focal)
        return focal_px * (rhs / (information + self.information())).exp()

    def updated(self, mean: Tensor, information: Tensor) -> FocalPosterior:
        """Return the posterior after a frame, which is weighted by how much it raises the maximum information."""
        best = torch.maximum(self.anchor_information, information)
        share = (best - self.anchor_information) / best.clamp(min=1e-9)
        return replace(self, anchor_mean=self.anchor_mean + share * (mean - self.anchor_mean), anchor_information=best)

    def for_new_anchor(self) -> FocalPosterior:
        """Return the posterior at the start of a new anchor."""
        kept = _PAST_SHARE * self.anchor_information
        total = self.past_information + kept
        mean = self.past_mean + kept / total.clamp(min=1e-9) * (self.anchor_mean - self.past_mean)
        none = torch.zeros_like(total)
        return FocalPosterior(mean, total.clamp(max=_MAX_INFORMATION), none, none)


@dataclass(frozen=True)
class FocalEstimate(TensorRecord):
    """Focal length in the fit of one frame."""

    offset: Tensor
    """Scalar log ratio to the focal length of the lens."""
    prior: Tensor
    """Scalar information of the prior of 0 on the offset, divided by ``trust``."""
    trust: Tensor
    """Scalar factor on the information of the frame's equations."""

    def focus(self, surface: Surface, lens: Lens) -> tuple[Surface, Lens]:
        """Return surface and lens under this focal length."""
        ratio = self.offset.exp()
        return stretched(surface, ratio), replace(lens, focal_px=lens.focal_px * ratio)

    def with_prior(self, hessian: Tensor, rhs: Tensor) -> tuple[Tensor, Tensor]:
        """Add the prior to the ``9 9`` equations of a step."""
        column = torch.zeros_like(rhs)
        column[FOCAL_COLUMN] = 1.0
        return hessian + torch.diag(self.prior * column), rhs - self.prior * self.offset * column

    def moved(self, step: Tensor) -> FocalEstimate:
        """Return the estimate after a step (``9``)."""
        offset = self.offset + step[FOCAL_COLUMN].clamp(-_MAX_STEP, _MAX_STEP)
        return replace(self, offset=offset.clamp(-_MAX_OFFSET, _MAX_OFFSET))

    def likelihood(self, lens: Lens, marginal: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and information of the log focal length from the frame alone.

        ``marginal`` is the ``9 9`` Hessian of the last step, prior included, with the depth marginalized out.
        """
        gain = (1 / torch.linalg.inv(marginal)[FOCAL_COLUMN, FOCAL_COLUMN] - self.prior).clamp(min=0)
        # Without information, removing the prior would amplify rounding errors.
        is_informative = self.trust * gain > _MIN_INFORMATION
        offset = (self.offset * (self.prior + gain) / gain.clamp(min=1e-6)).clamp(-_MAX_OFFSET, _MAX_OFFSET)
        return lens.focal_px.log() + offset * is_informative, self.trust * gain * is_informative


def no_focal_evidence(focal_px: Tensor) -> FocalPosterior:
    """Return the posterior before any motion."""
    none = torch.zeros_like(focal_px)
    return FocalPosterior(none, none, none, none)


def start_focal(posterior: FocalPosterior, image_information: Tensor, parallax: Tensor) -> FocalEstimate:
    """Return the initial estimate of a frame: the posterior so far; ``parallax`` as in ``DepthEstimate``."""
    trust = _NOISE_SHARE / (1 + parallax / _DEPTH_NOISE_PX**2)
    return FocalEstimate(torch.zeros_like(trust), (image_information + posterior.information()) / trust, trust)


def stretched(surface: Surface, ratio: Tensor) -> Surface:
    """Return the surface of the same image under a focal length ``ratio`` times as long."""
    return replace(surface, points=(surface.points.T * stretch(ratio)[:, None]).T)


def with_focal(points: ScenePoints, focal_px: Tensor) -> ScenePoints:
    """Return the points of the same image under another focal length."""
    pointmap = points.pointmap_camera * stretch(focal_px / points.focal_px)
    return replace(points, pointmap_camera=pointmap, focal_px=focal_px)


def stretch(ratio: Tensor) -> Tensor:
    """Return the factors on (x, y, z) for a focal length ``ratio`` times as long."""
    one = torch.ones_like(ratio)
    return torch.stack([one, one, ratio])
