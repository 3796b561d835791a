"""From predictions of the network to records of the source frame: which are usable, and their pixels. Stateless."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from human3r.geometry.camera import intrinsics, intrinsics_in_source, pixels_in_source
from human3r.models.parts import PER_PERSON, NetworkPrediction, RecurrentState
from human3r.records import Camera, People
from human3r.video.preprocess import PreparedImage

_DEFAULT_FOCAL = 0.87
"""Focal length over the longer side before the first usable frame: 60 degrees."""
_MIN_FOCAL = 0.05
"""Focal length over the longer side below which it is degenerate: a view of 169 degrees."""


def people_of(network: NetworkPrediction, track_id: Tensor, prepared: PreparedImage) -> People:
    """Return the network's people with heads in pixels of the source frame."""
    size = (prepared.image_uint8.shape[0], prepared.image_uint8.shape[1])
    return People(
        track_id=track_id,
        score=network.score,
        head_uv_px=pixels_in_source(network.head_uv_px, size, prepared.source_rect_px),
        joint_rotations=network.joint_rotations,
        betas=network.betas,
        expression=network.expression,
        head_camera=network.head_camera,
    )


def keypoints_of(network: NetworkPrediction, prepared: PreparedImage) -> Tensor | None:
    """Return ``FramePrediction.keypoints``."""
    if network.keypoints is None:
        return None
    size = (prepared.image_uint8.shape[0], prepared.image_uint8.shape[1])
    pixels = pixels_in_source(network.keypoints[..., :2], size, prepared.source_rect_px)
    return torch.cat([pixels, network.keypoints[..., 2:]], dim=-1)


def default_intrinsics(prepared: PreparedImage) -> Tensor:
    """Return ``3 3`` intrinsics of a source frame before anything is known."""
    return intrinsics(_DEFAULT_FOCAL * max(prepared.source_size), prepared.source_size)


def source_intrinsics(
    focal_px: Tensor, network_size: tuple[int, int], prepared: PreparedImage, last_camera: Camera | None
) -> Tensor:
    """Return ``3 3`` intrinsics of the source frame; a degenerate focal length is replaced by the last good one."""
    focal = float(focal_px)
    if focal < _MIN_FOCAL * max(network_size):
        return default_intrinsics(prepared) if last_camera is None else last_camera.K
    return intrinsics_in_source(intrinsics(focal, network_size), network_size, prepared.source_rect_px)


def with_square_pixels(K: Tensor, source_rect_px: tuple[float, float, float, float]) -> Tensor:
    """Return ``3 3`` intrinsics with one focal length, and the principal point in the center of the picture.

    Networks see frames squeezed to multiples of their patches, and their principal point lies on a whole pixel.
    """
    x0, y0, x1, y1 = source_rect_px
    square = K.clone()
    square[0, 0] = square[1, 1] = (K[0, 0] * K[1, 1]).sqrt()
    square[0, 2], square[1, 2] = (x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2
    return square


def through_other_lens(prediction: NetworkPrediction, K_from: Tensor, K_to: Tensor) -> NetworkPrediction:
    """Move points and people aside, at their depth, so that ``K_to`` shows them where ``K_from`` did."""
    shear = (torch.linalg.inv(K_to) @ K_from).T.to(prediction.pointmap_camera)
    return replace(
        prediction,
        pointmap_camera=prediction.pointmap_camera @ shear,
        head_camera=prediction.head_camera @ shear.to(prediction.head_camera),
    )


def is_usable(prediction: NetworkPrediction, state: RecurrentState) -> bool:
    """Return whether camera, focal length and state are finite; one host synchronization."""
    parts = (prediction.T_segment_camera, prediction.focal_px, state.state_tokens, state.memory_slots)
    is_finite = torch.stack([torch.isfinite(part).all() for part in parts]).all()
    x, y, z = prediction.pointmap_camera.unbind(-1)
    is_finite &= torch.isfinite(x + y + z).count_nonzero() > 0.5 * z.numel()
    return bool(is_finite)


def without_broken_people(prediction: NetworkPrediction) -> NetworkPrediction:
    """Drop people with numbers that are not finite."""
    values = {name: getattr(prediction, name) for name in PER_PERSON}
    if values["score"].shape[0] == 0:
        return prediction
    is_finite = torch.stack([torch.isfinite(value).flatten(1).all(1) for value in values.values() if value.ndim > 1])
    is_kept = is_finite.all(0) & torch.isfinite(values["score"])
    if bool(is_kept.all()):
        return prediction
    return prediction.select_people(is_kept)
