"""Losses of the scene heads: depth, its confidence and gradients, focal length, person mask.

Log depth is compared metrically and with one scale per clip removed. Sources: confidence loss of CUT3R
(arXiv 2501.12387), eq. 6; gradient matching of MegaDepth (arXiv 1804.00607), eq. 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from human3r.models.compact.people.prompter import prior_focal_px
from human3r.models.compact.scene.point_head import SceneMaps
from human3r.training.scene.batches import SceneSample
from human3r.training.scene.config import SceneTraining

_SKY_ERROR = 2.0
"""Error assigned to pixels without surface, which drives their confidence to its minimum."""
_SKY_LOG_M = math.log(60.0)
_NUM_GRADIENT_SCALES = 4


@dataclass(frozen=True)
class SceneLoss:
    """Terms of the loss, each without its weight."""

    metric: Tensor
    shape: Tensor
    confidence: Tensor
    gradient: Tensor
    focal: Tensor
    mask: Tensor
    sky: Tensor

    def total(self, config: SceneTraining) -> Tensor:
        """Return the weighted sum."""
        weighted = [getattr(config, f"{name}_weight") * value for name, value in vars(self).items()]
        return torch.stack(weighted).sum()


def canonical_log_depth(sample: SceneSample) -> Tensor:
    """Return ``T H W`` logarithm of the depth under the prior focal length; 0 where there is no surface."""
    prior = prior_focal_px(sample.size)
    canonical = sample.depth * (prior / sample.focal_px)[:, None, None]
    return torch.where(sample.depth > 0, canonical.clamp(min=0.05).log(), 0.0)


def scene_loss(
    maps: SceneMaps, mask_logits: Tensor, sample: SceneSample, config: SceneTraining, num_clips: int = 1
) -> SceneLoss:
    """Compare the predictions of clips with the ground truth; the frames of each clip are contiguous."""
    valid = sample.depth > 0
    target = canonical_log_depth(sample)
    error = (maps.log_depth - target) * valid
    count = valid.sum().clamp(min=1)
    metric = error.abs().sum() / count
    aligned = ((error - clip_offsets(error.detach(), valid, num_clips)) * valid).abs()
    # Detached: confidence learns the error of depth, but does not reduce the gradient of depth.
    confidence, residual = maps.confidence, aligned.detach()
    seen = confidence * residual * valid - config.confidence_price * confidence.log() * valid
    unseen = (_SKY_ERROR * confidence - config.confidence_price * confidence.log()) * ~valid
    pixels = valid.numel()
    focal_target = (sample.focal_px / prior_focal_px(sample.size)).log()
    return SceneLoss(
        metric=metric,
        shape=aligned.sum() / count,
        confidence=(seen.sum() + 0.3 * unseen.sum()) / pixels,
        gradient=gradient_loss(error, valid),
        focal=(maps.log_focal - focal_target).abs().mean(),
        mask=functional.binary_cross_entropy_with_logits(mask_logits, sample.person_mask),
        sky=((_SKY_LOG_M - maps.log_depth).clamp(min=0) * ~valid).sum() / pixels,
    )


def clip_offsets(error: Tensor, valid: Tensor, num_clips: int) -> Tensor:
    """Return ``F 1 1``: the median of each clip's logarithmic errors, which one scale per clip takes out."""
    hidden = error.masked_fill(~valid, torch.nan).view(num_clips, -1)
    # Every fourth pixel suffices for the median; sorting is slow.
    medians = hidden[:, ::4].nanmedian(dim=1).values.nan_to_num(0.0)
    return medians.repeat_interleave(error.shape[0] // num_clips)[:, None, None]


def gradient_loss(error: Tensor, valid: Tensor) -> Tensor:
    """Return the mean absolute slope of ``T H W`` errors over several scales, which aligns depth edges."""
    total = error.new_zeros(())
    for level in range(_NUM_GRADIENT_SCALES):
        step = 2**level
        coarse, kept = error[:, ::step, ::step], valid[:, ::step, ::step]
        for axis in (1, 2):
            both = kept.narrow(axis, 1, kept.shape[axis] - 1) & kept.narrow(axis, 0, kept.shape[axis] - 1)
            total = total + (coarse.diff(dim=axis).abs() * both).sum() / both.sum().clamp(min=1)
    return total / _NUM_GRADIENT_SCALES
