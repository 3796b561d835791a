"""Where the viewer may stand: beside the scene, where the camera stood, or above.

Turns a result into the query strings by which viser's client takes its first view. Positions are in the recording's
frame, which is y-up with the floor at y = 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from human3r import Reconstruction

_FRUSTUM_SCALE_M = 0.2
"""Scale at which recordings draw the filming camera."""
_BEFORE_FRUSTUM = 1.15
"""The camera view stands so much in front of the drawn picture, which would hide the scene: part of its distance."""
_TOP_FIELD_OF_VIEW_RAD = 0.8
_LEAST_HALF_WIDTH_M = 2.0
_PELVIS = 0


def view_queries(result: Reconstruction) -> dict[str, str]:
    """Return view name to query string; the first one is the recording's own view, which needs none."""
    return {"World": "", "Camera": _camera_view(result), "Top": _top_view(result)}


def _camera_view(result: Reconstruction) -> str:
    T = result.T_gravity_world.astype(np.float64) @ result.T_world_camera[0]
    right_down_forward = T[:3, :3].T
    height, width = (float(side) for side in result.image_size)
    half_height = height / 2 / float(result.K[0, 1, 1])
    # viser keeps the volume of a frustum, so that its picture is further away for narrow views.
    # Source: viser 1.1.1, CameraFrustumVariants.tsx
    picture_m = _FRUSTUM_SCALE_M / np.cbrt(half_height * half_height * width / height / 3)
    position = T[:3, 3] + _BEFORE_FRUSTUM * picture_m * right_down_forward[2]
    field_of_view_rad = 2 * np.arctan(half_height)
    return _query(position, position + 3 * right_down_forward[2], -right_down_forward[1], field_of_view_rad)


def _top_view(result: Reconstruction) -> str:
    T = result.T_gravity_world.astype(np.float64)
    subject = result.joints_world[:, _PELVIS] if len(result.joints_world) else result.T_world_camera[:, :3, 3]
    subject = subject @ T[:3, :3].T + T[:3, 3]
    low, high = np.quantile(subject, 0.02, axis=0), np.quantile(subject, 0.98, axis=0)
    centre = (low + high) / 2
    half_width = max(_LEAST_HALF_WIDTH_M, float(np.linalg.norm((high - low)[[0, 2]])))
    forward = T[:3, :3] @ result.T_world_camera[0, :3, 2]
    up = np.array([forward[0], 0.0, forward[2]])
    if np.linalg.norm(up) < 1e-3:  # the camera itself looks straight down
        up = np.array([0.0, 0.0, -1.0])
    height = 1.5 * half_width / np.tan(_TOP_FIELD_OF_VIEW_RAD / 2)
    # A hair off the vertical: straight down, the client's orbit control has no sideways.
    position = centre + np.array([0.0, height, 0.0]) - 0.01 * height * up / np.linalg.norm(up)
    return _query(position, centre, up, _TOP_FIELD_OF_VIEW_RAD)


def _query(position: np.ndarray, look_at: np.ndarray, up: np.ndarray, field_of_view_rad: float) -> str:
    def listed(vector: np.ndarray) -> str:
        return ",".join(f"{value:.4f}" for value in vector)

    return (
        f"&initialCameraPosition={listed(position)}&initialCameraLookAt={listed(look_at)}"
        f"&initialCameraUp={listed(up)}&initialCameraFov={field_of_view_rad:.4f}"
    )
