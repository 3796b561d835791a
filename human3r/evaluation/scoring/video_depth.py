"""Video depth: the valid pixels of a whole sequence are pooled, and one alignment is fitted to them.

Source: MonST3R (arXiv 2410.03825), CUT3R (arXiv 2501.12387); decoding and frames are the benchmarks'.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import torch

from human3r.errors import FormatError
from human3r.evaluation.metrics import depth_metrics
from human3r.evaluation.protocol import Protocol, Recording, ScoreGroup
from human3r.records import FramePrediction


def score_video_depth(
    recording: Recording, protocol: Protocol, predictions: Iterator[FramePrediction]
) -> tuple[ScoreGroup, ...]:
    """Score the depth of one sequence with every alignment of the protocol.

    Raises:
        FormatError: A depth file is damaged, or no pixel of the sequence is valid.
    """
    assert recording.read_depth is not None
    pools = [
        valid_depths(prediction, recording.read_depth(path), protocol.max_depth_m)
        for prediction, path in zip(predictions, recording.depths, strict=True)
    ]
    groups = depth_groups(pools, protocol)
    if not groups:
        raise FormatError(f"{recording.name} has no valid true depth.", "Check the depth images.")
    return groups


def valid_depths(
    prediction: FramePrediction, truth: np.ndarray, max_depth_m: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return predicted and true depth (``N`` float32 meters) of the valid pixels of one frame.

    The predicted camera z is enlarged bicubically to the size of ``truth`` (``H W`` meters, 0 invalid).
    """
    depth = prediction.pointmap_camera[None, None, ..., 2]
    depth = torch.nn.functional.interpolate(depth, truth.shape, mode="bicubic", align_corners=False)[0, 0].numpy()
    valid = (truth > 0) & np.isfinite(truth)
    if max_depth_m is not None:
        valid &= truth < max_depth_m
    return depth[valid].astype(np.float32), truth[valid].astype(np.float32)


def depth_groups(pools: list[tuple[np.ndarray, np.ndarray]], protocol: Protocol) -> tuple[ScoreGroup, ...]:
    """Score pooled (predicted, true) depths, one group per alignment; empty where no pixel is valid."""
    predicted = np.concatenate([pool[0] for pool in pools])
    truth = np.concatenate([pool[1] for pool in pools])
    if not len(truth):
        return ()
    groups = []
    for alignment in protocol.alignments:
        errors = asdict(depth_metrics(predicted, truth, alignment, protocol.max_depth_m, protocol.clip_prediction))
        series = _series(pools, errors["scale"], errors["shift"])
        groups.append(ScoreGroup(alignment, float(errors.pop("num_pixels")), errors, series))
    return tuple(groups)


def _series(pools: list[tuple[np.ndarray, np.ndarray]], scale: float, shift: float) -> dict[str, tuple[float, ...]]:
    """Describe each frame that has valid pixels: its image's row, and its AbsRel under the sequence's alignment."""
    frames = [frame for frame, pool in enumerate(pools) if len(pool[1])]
    errors = [float(np.mean(np.abs(scale * pools[f][0] + shift - pools[f][1]) / pools[f][1])) for f in frames]
    return {"frame": tuple(frames), "abs_rel": tuple(round(error, 5) for error in errors)}
