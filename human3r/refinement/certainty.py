"""Estimates of lens, scale and floor of a finished clip with uncertainties and their evidence: entries of ``meta``.

Deviations are calibrated on rendered clips with truth. For released networks, whose
scale is not corrected, only the errors of estimates common to all clips are known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from human3r.refinement.shots import Shot, describe_shots

_LENS_SIGMA = 0.11
"""Logarithmic error of a focal length. Source: root mean square over 54 rendered clips."""
_SCALE_SIGMA = 0.22
"""Logarithmic error of the scale of a scene without standing people."""
_SCALE_GROWTH = 1.3
"""Factor on the estimated deviation of the scale. Source: 54 rendered clips; with it and the deviation of the lens 74 %
of the errors of scale and distance are within one deviation."""


def describe(shots: Sequence[Shot], T_world_shot: Sequence[np.ndarray], is_card: Sequence[bool]) -> dict[str, object]:
    """Return ``shots``, one entry each, and ``lens``, ``scale``, ``floor``, ``distances`` of the first with people.

    The arguments are those of ``describe_shots``.
    """
    entries = describe_shots(shots, T_world_shot, is_card)
    for entry, shot in zip(entries, shots, strict=True):
        entry.update(_known(shot))
    anchor = next((number for number, shot in enumerate(shots) if len(shot.people)), 0)
    names = ("lens", "scale", "floor", "distances", "is_static_camera")
    return {"shots": entries, **{name: entries[anchor][name] for name in names}}


def _known(shot: Shot) -> dict[str, object]:
    fit, cameras = shot.fit, shot.cameras
    T_gravity_world = shot.T_gravity_world.astype(np.float64)
    camera_m = float(T_gravity_world[1, :3] @ cameras.T_world_camera[0, :3, 3] + T_gravity_world[1, 3])
    focal_px = float(np.median(cameras.K[:, 0, 0]))
    sigma = _SCALE_SIGMA if fit is None else _SCALE_GROWTH * fit.log_scale_sigma
    value = 1.0 if fit is None else float(np.exp(fit.log_scale))
    distance = float(np.hypot(sigma, _LENS_SIGMA))
    height_sigma = sigma * abs(camera_m) if fit is None else fit.height_sigma
    return {
        "lens": {
            **_entry(focal_px, focal_px * _LENS_SIGMA, ["image", "edges", "rotation"]),
            "focal_px": focal_px,
        },
        "scale": {
            **_entry(value, value * sigma, ["depth"] if fit is None else list(fit.witnesses)),
            "bend": [0.0, 0.0, 0.0] if fit is None else fit.bend.tolist(),
        },
        "floor": _entry(camera_m, height_sigma, ["feet", "points"] if fit is None else ["contact", "plane"]),
        "distances": {"standard_deviation": distance, "summary": f"distances ±{100 * distance:.0f} %"},
    }


def _entry(value: float, deviation: float, witnesses: list[str]) -> dict[str, object]:
    return {"value": value, "standard_deviation": float(deviation), "witnesses": witnesses}
