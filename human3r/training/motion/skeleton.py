"""A standard rest skeleton for use without a body model."""

from __future__ import annotations

import numpy as np

STANDARD_REST_JOINTS = np.array(
    [
        [0.000, 0.000, 0.000],
        [0.060, -0.095, 0.000],
        [-0.060, -0.095, 0.000],
        [0.000, 0.110, -0.020],
        [0.116, -0.480, 0.000],
        [-0.116, -0.480, 0.000],
        [0.000, 0.250, -0.015],
        [0.074, -0.880, -0.032],
        [-0.074, -0.880, -0.032],
        [0.000, 0.305, 0.000],
        [0.100, -0.935, 0.090],
        [-0.100, -0.935, 0.090],
        [0.000, 0.470, -0.030],
        [0.080, 0.400, -0.015],
        [-0.080, 0.400, -0.015],
        [0.000, 0.560, 0.005],
        [0.175, 0.410, -0.025],
        [-0.175, 0.410, -0.025],
        [0.417, 0.339, -0.065],
        [-0.417, 0.339, -0.065],
        [0.665, 0.361, -0.070],
        [-0.665, 0.361, -0.070],
    ]
)
"""``22 3`` meters from the pelvis: an adult of 1.7 m in SMPL-X's rest pose for use without a body model. Limb
directions are those described for SMPL-X: upper arms 16 degrees below level, thighs 8 outwards, shins 6 inwards."""

SOLE_BELOW_FOOT_M = 0.03
"""Height of the foot joint (ball of the foot) over the sole, meters; for the rest skeleton above."""
