"""Consistency of one reconstruction: identities, sizes, motion, feet and floor, camera. NumPy only, no model.

All figures are computed from the saved result alone; each indicates one kind of error, none proves a pose right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from human3r.geometry.ground import BARE_SOLE_M
from human3r.geometry.rigid import transform_points
from human3r.refinement.world.standing import is_standing
from human3r.results.reconstruction import Reconstruction
from human3r.skeleton import NUM_BODY_JOINTS, body_size, bone_vectors

_PELVIS, _FEET = 0, (10, 11)
_OFF_FLOOR_M = 0.05
_RESTART_S = 2.0
"""Longest gap after which an identity at the same position probably continues another."""
_BORDER_SHARE = 0.04
"""Distance from the image border, in long sides, within which people enter or leave."""
_JUMP_BODIES = 0.6
"""Pelvis motion between two frames, in body heights, above which an identity probably switched."""


@dataclass(frozen=True)
class Consistency:
    """Figures of one clip; NaN where undefined."""

    frames: int
    people: float
    """Observations per frame."""
    identities: int
    restarts: int
    """Identities that continue another one."""
    jumps: int
    """Implausibly long steps of one identity."""
    size_m: float
    """Head to ankle along the bones, median over identities, meters."""
    size_spread_mm: float
    """Standard deviation of that length within an identity, largest of all identities."""
    acceleration: float
    """Mean over people, frames and joints, meters per second squared, world."""
    acceleration_pelvis_aligned: float
    """The same without the motion of the pelvis."""
    acceleration_median: float
    """Median over people and frames of the mean over joints."""
    depth_wobble_percent: float
    """Root mean square second difference of the logarithm of the pelvis' distance, percent."""
    floor_spread_m: float
    """Standard deviation, over standing identities, of the median height of the lower sole."""
    off_floor_percent: float
    """Observations of standing people whose lower sole is more than 5 cm off the floor."""
    slip_m_s: float
    """Speed of the slower foot of people who stand or walk, median; one foot should always be at rest."""
    camera_shift_mm: float
    """Largest distance from the first camera; an error only for static cameras."""
    camera_turn_deg: float


def measure(result: Reconstruction) -> Consistency:
    """Measure one reconstruction."""
    joints = result.joints_world[:, :NUM_BODY_JOINTS].astype(np.float64)
    order = np.lexsort((result.person_frame, result.person_track))
    track, frame = result.person_track[order], result.person_frame[order]
    joints, pixels = joints[order], result.joints_image_px[order, :NUM_BODY_JOINTS].astype(np.float64)
    follows = (track[1:] == track[:-1]) & (frame[1:] == frame[:-1] + 1)
    sizes = body_size(torch.from_numpy(bone_vectors(joints))).numpy()
    of_track = [sizes[track == identity] for identity in np.unique(track)]
    shift, turn = _camera_motion(result.T_world_camera)
    return Consistency(
        frames=len(result.time_s),
        people=len(track) / max(len(result.time_s), 1),
        identities=len(of_track),
        restarts=_restarts(result, track, frame, pixels),
        jumps=_jumps(pixels, follows),
        size_m=_median([float(np.median(values)) for values in of_track]),
        size_spread_mm=1000 * max((float(np.std(values)) for values in of_track), default=np.nan),
        camera_shift_mm=1000 * shift,
        camera_turn_deg=turn,
        **_motion(result, joints, frame, follows),
        **_floor(result, joints, track, frame, follows),
    )


def _motion(result: Reconstruction, joints: np.ndarray, frame: np.ndarray, follows: np.ndarray) -> dict[str, float]:
    """Return accelerations and depth wobble over all triples of consecutive frames."""
    names = ("acceleration", "acceleration_pelvis_aligned", "acceleration_median", "depth_wobble_percent")
    middle = np.flatnonzero(follows[1:] & follows[:-1]) + 1
    if len(middle) == 0:
        return dict.fromkeys(names, float("nan"))
    before, after = middle - 1, middle + 1
    step = (result.time_s[frame[after]] - result.time_s[frame[before]]) / 2
    step = np.maximum(step, 1e-3)[:, None]
    second = joints[after] - 2 * joints[middle] + joints[before]
    aligned = second - second[:, :1]
    whole = np.linalg.norm(second, axis=-1) / step**2
    inner = np.linalg.norm(aligned, axis=-1) / step**2
    positions = result.T_world_camera[frame, :3, 3]
    distance = np.log(np.maximum(np.linalg.norm(joints[:, _PELVIS] - positions, axis=1), 0.05))
    wobble = distance[after] - 2 * distance[middle] + distance[before]
    values = (whole.mean(), inner.mean(), np.median(whole.mean(1)), 100 * np.sqrt(np.mean(wobble**2)))
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _floor(
    result: Reconstruction, joints: np.ndarray, track: np.ndarray, frame: np.ndarray, follows: np.ndarray
) -> dict[str, float]:
    T = result.T_gravity_world.astype(np.float64)
    upright = transform_points(T, joints)
    soles = upright[:, _FEET, 1].min(axis=1) - BARE_SOLE_M
    stands = is_standing(upright)
    medians = [float(np.median(soles[stands & (track == one)])) for one in np.unique(track[stands])]
    both = follows & stands[1:] & stands[:-1]
    step = np.maximum(result.time_s[frame[1:]] - result.time_s[frame[:-1]], 1e-3)
    moved = np.linalg.norm(upright[1:, _FEET] - upright[:-1, _FEET], axis=-1).min(axis=1) / step
    return {
        "floor_spread_m": float(np.std(medians)) if medians else float("nan"),
        "off_floor_percent": 100 * float(np.mean(np.abs(soles[stands]) > _OFF_FLOOR_M)) if medians else float("nan"),
        "slip_m_s": _median(moved[both].tolist()),
    }


def _restarts(result: Reconstruction, track: np.ndarray, frame: np.ndarray, pixels: np.ndarray) -> int:
    identities = np.unique(track)
    first = np.array([np.flatnonzero(track == one)[0] for one in identities], dtype=int)
    last = np.array([np.flatnonzero(track == one)[-1] for one in identities], dtype=int)
    height, width = result.image_size
    margin = _BORDER_SHARE * max(height, width)
    count = 0
    for begin in first:
        x, y = pixels[begin, _PELVIS]
        if not (margin < x < width - margin and margin < y < height - margin):
            continue
        wait = result.time_s[frame[begin]] - result.time_s[frame[last]]
        body = _body_height(pixels[last])
        near = np.linalg.norm(pixels[last, _PELVIS] - pixels[begin, _PELVIS], axis=1) < body
        count += bool((near & (wait > 0) & (wait < _RESTART_S)).any())
    return count


def _jumps(pixels: np.ndarray, follows: np.ndarray) -> int:
    if len(pixels) < 2:
        return 0
    moved = np.linalg.norm(pixels[1:, _PELVIS] - pixels[:-1, _PELVIS], axis=1)
    return int((follows & (moved > _JUMP_BODIES * _body_height(pixels[:-1]))).sum())


def _body_height(pixels: np.ndarray) -> np.ndarray:
    return np.maximum(pixels[..., 1].max(1) - pixels[..., 1].min(1), 8.0)


def _camera_motion(T_world_camera: np.ndarray) -> tuple[float, float]:
    """Return the largest shift, meters, and turn, degrees, from the first camera."""
    shift = np.linalg.norm(T_world_camera[:, :3, 3] - T_world_camera[0, :3, 3], axis=1).max()
    relative = T_world_camera[0, :3, :3].T @ T_world_camera[:, :3, :3]
    # Chordal distance: exact for small angles in single precision, where the arc cosine of the trace is not.
    chord = np.linalg.norm(relative - np.eye(3), axis=(1, 2)) / (2 * np.sqrt(2))
    return float(shift), float(np.rad2deg(2 * np.arcsin(np.clip(chord, 0, 1))).max())


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else float("nan")
