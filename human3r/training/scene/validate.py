"""Scores on held-out rendered clips, next to trivial baselines."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from human3r.models.compact.people.prompter import prior_focal_px
from human3r.models.human3r import Human3R
from human3r.training.clip import read_clip
from human3r.training.scene.batches import SceneSample, build_sample, network_size
from human3r.training.scene.network import run_clip

_CONSTANT_DEPTH_M = 4.0
"""Depth of the constant baseline."""


@torch.inference_mode()
def validate(network: Human3R, folders: list[Path]) -> dict[str, float]:
    """Return mean scores over clips: depth AbsRel (metric, one scale per clip), focal error, mask IoU, baselines."""
    rows = []
    for folder in folders:
        clip = read_clip(folder)
        sample = build_sample(clip, network_size(clip.image.shape[1:3], 1.0))
        prediction = run_clip(network, sample.image)
        log_focal = prediction.maps.log_focal.mean()
        depth = (prediction.maps.log_depth + log_focal).exp()
        prior = prior_focal_px(sample.size)
        focal_error = (prior * log_focal.exp() / sample.focal_px.mean()).log().abs()
        rows.append(
            depth_scores(depth, sample, "")
            | depth_scores(torch.full_like(depth, _CONSTANT_DEPTH_M), sample, "constant_")
            | {
                "focal_error": float(focal_error),
                "prior_focal_error": float((prior / sample.focal_px.mean()).log().abs()),
                "mask_iou": mask_iou(prediction.mask_logits > 0, sample.person_mask > 0.5),
            }
        )
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def depth_scores(depth: Tensor, sample: SceneSample, prefix: str) -> dict[str, float]:
    """Return AbsRel as it is, with one scale per clip, and with one scale per frame."""
    valid = sample.depth > 0
    ratio = torch.where(valid, depth / sample.depth.clamp(min=1e-3), torch.nan)
    per_frame = ratio.flatten(1).nanmedian(dim=1).values[:, None, None]
    versions = {"metric": ratio, "clip": ratio / ratio[valid].median(), "frame": ratio / per_frame}
    return {f"{prefix}absrel_{name}": float((value[valid] - 1).abs().mean()) for name, value in versions.items()}


def mask_iou(predicted: Tensor, truth: Tensor) -> float:
    """Return intersection over union of two boolean maps; 1 where both are empty."""
    union = (predicted | truth).sum()
    return float((predicted & truth).sum() / union) if bool(union) else 1.0
