"""Estimates of lens, scale and floor of a finished clip with uncertainties and their evidence: entries of ``meta``.

Deviations are calibrated on rendered clips with truth. For released networks, whose
scale is not corrected, only the errors of estimates common to all clips are known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from human3r.refinement.world.depth_correction import NUM_BENDS
from human3r.refinement.world.shots import Shot, describe_shots, settled

_LENS_SIGMA = 0.11
"""Logarithmic error of a focal length of unknown deviation. Source: root mean square over 54 rendered clips."""
_LENS_GROWTH = 1.1
"""Factor on the network's deviation of the focal length. Source: 54 rendered clips, 69 % within one deviation."""
_BODY_SIGMA = 0.12
"""Logarithmic error of a person's distance besides that of the lens, of size and pose. The scene's scale does not move
people, who have their own size. Source: 188 rendered clips, 63 % within one deviation, both halves alike."""
_SCALE_SIGMA = 0.13
"""Logarithmic error of the scale of a scene without standing people. Source: 73 rendered clips, 67 % within one
deviation, both halves alike."""


def describe(
    shots: Sequence[Shot], T_world_shot: Sequence[np.ndarray], is_card: Sequence[bool], focal_sigma: np.ndarray
) -> dict[str, object]:
    """Return ``shots``, one entry each, and ``lens``, ``scale``, ``floor``, ``distances`` of the first with people.

    The other arguments are those of ``describe_shots``; ``focal_sigma`` is that of the network for all frames.
    """
    entries = describe_shots(shots, T_world_shot, is_card)
    ends = np.cumsum([len(shot.cameras.time_s) for shot in shots])
    for entry, shot, of_frames in zip(entries, shots, np.split(focal_sigma, ends[:-1]), strict=True):
        last = settled(of_frames)
        lens = _LENS_GROWTH * float(np.median(last)) if np.isfinite(last).all() else _LENS_SIGMA
        entry.update(_known(shot, lens))
    anchor = next((number for number, shot in enumerate(shots) if len(shot.people)), 0)
    names = ("lens", "scale", "floor", "distances", "is_static_camera")
    return {"shots": entries, **{name: entries[anchor][name] for name in names}}


def _known(shot: Shot, lens: float) -> dict[str, object]:
    fit, cameras = shot.fit, shot.cameras
    T_gravity_world = shot.T_gravity_world.astype(np.float64)
    camera_m = float(T_gravity_world[1, :3] @ cameras.T_world_camera[0, :3, 3] + T_gravity_world[1, 3])
    focal_px = float(np.median(cameras.K[:, 0, 0]))
    sigma = _SCALE_SIGMA if fit is None else fit.log_scale_sigma
    value = 1.0 if fit is None else float(np.exp(fit.log_scale))
    # Depth grows with the focal length.
    scale_sigma = float(np.hypot(sigma, lens))
    distance = float(np.hypot(lens, _BODY_SIGMA))
    height_sigma = sigma * abs(camera_m) if fit is None else fit.height_sigma
    of_floor = ["feet", "points"] if fit is None else [one for one in ("contact", "plane") if one in fit.witnesses]
    return {
        "lens": {
            **_entry(focal_px, focal_px * lens, ["image", "edges", "rotation"]),
            "focal_px": focal_px,
            "depth_growth": np.broadcast_to(shot.depth_growth, len(cameras.time_s)).round(4).tolist(),
        },
        "scale": {
            **_entry(value, value * scale_sigma, ["depth"] if fit is None else list(fit.witnesses)),
            "bend": [0.0] * NUM_BENDS if fit is None else fit.bend.tolist(),
        },
        **({} if shot.view_depth is None else {"views": shot.view_depth.to_meta()}),
        "floor": _entry(camera_m, height_sigma, of_floor),
        "distances": {"standard_deviation": distance, "summary": f"distances ±{100 * distance:.0f} %"},
    }


def _entry(value: float, deviation: float, witnesses: list[str]) -> dict[str, object]:
    return {"value": value, "standard_deviation": float(deviation), "witnesses": witnesses}
