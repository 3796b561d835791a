"""Error metrics of the field as pure functions of arrays.

Every function takes arrays, lists or tensors in meters and returns floats; undefined values (no points, no motion) are
NaN, unequal shapes raise ``ValueError``. All arithmetic is float64.
"""

from human3r.evaluation.metrics.depth import DepthAlignment, DepthErrors, align_depth, depth_metrics
from human3r.evaluation.metrics.motion import (
    FOOT_VERTICES,
    HIPS,
    ate,
    foot_sliding,
    jitter,
    mpjpe,
    mrpe,
    pa_mpjpe,
    pve,
    rpe,
    rte,
    w_mpjpe,
    wa_mpjpe,
)

__all__ = [
    "FOOT_VERTICES",
    "HIPS",
    "DepthAlignment",
    "DepthErrors",
    "align_depth",
    "ate",
    "depth_metrics",
    "foot_sliding",
    "jitter",
    "mpjpe",
    "mrpe",
    "pa_mpjpe",
    "pve",
    "rpe",
    "rte",
    "w_mpjpe",
    "wa_mpjpe",
]
