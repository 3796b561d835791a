"""Camera path of the whole network on held-out rendered clips, next to the baseline of a static camera."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from human3r.geometry.rigid import invert_rigid
from human3r.models.human3r import Human3R
from human3r.training.scene.batches import build_sample, network_size
from human3r.training.synthetic.clip import read_clip


@torch.inference_mode()
def camera_scores(network: Human3R, folders: list[Path]) -> dict[str, float]:
    """Return errors of position (meters; also with one scale per clip) and rotation (degrees), by kind of camera."""
    rows: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    for folder in folders:
        clip = read_clip(folder)
        sample = build_sample(clip, network_size(clip.image.shape[1:3], 1.0))
        state, path = network.initial_state(), []
        for index in range(len(clip)):
            prediction, state = network.step(network.encode(sample.image[index : index + 1]), state)
            path.append(prediction.T_segment_camera)
        rows[clip.is_static_camera].append(path_errors(torch.stack(path), sample.T_world_camera))
    scores = {}
    for is_static, group in rows.items():
        kind = "static" if is_static else "moving"
        scores[f"{kind}_clips"] = float(len(group))
        for name in group[0] if group else ():
            scores[f"{kind}_{name}"] = sum(row[name] for row in group) / len(group)
    return scores


def path_errors(predicted: Tensor, truth: Tensor) -> dict[str, float]:
    """Compare two ``T 4 4`` paths that start at the identity."""
    p, t = predicted[:, :3, 3], truth[:, :3, 3]
    scale = (p * t).sum() / p.square().sum().clamp(min=1e-9)
    relative = (invert_rigid(truth) @ predicted)[:, :3, :3]
    cosine = ((relative.diagonal(dim1=1, dim2=2).sum(-1) - 1) / 2).clamp(-1, 1)
    truth_cosine = ((truth[:, :3, :3].diagonal(dim1=1, dim2=2).sum(-1) - 1) / 2).clamp(-1, 1)
    return {
        "ate_m": float((p - t).norm(dim=-1).mean()),
        "ate_scaled_m": float((scale * p - t).norm(dim=-1).mean()),
        "zero_motion_ate_m": float(t.norm(dim=-1).mean()),
        "path_m": float(t.diff(dim=0).norm(dim=-1).sum()),
        "rotation_deg": math.degrees(float(cosine.arccos().mean())),
        "zero_motion_rotation_deg": math.degrees(float(truth_cosine.arccos().mean())),
    }
