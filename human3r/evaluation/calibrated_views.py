"""``python -m human3r.evaluation.calibrated_views VIDEOS CALIBRATION``: errors of a person seen by calibrated cameras.

Ground truth is triangulated from the keypoints of the tallest person in all videos. Data: the demonstration in PyPI's
``pose2sim``, ``Demo_SinglePerson/videos`` and ``Demo_SinglePerson/calibration/Calib.qca.txt`` (Qualisys' format;
synchronous videos in the order of the cameras).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from human3r.bodies.joints import COCO17_JOINTS
from human3r.errors import FormatError, run_main
from human3r.evaluation.consistency.fit import PriorKeypoints
from human3r.evaluation.consistency.run import find_inputs, reconstruct_beside_prior
from human3r.evaluation.metrics import mpjpe, pa_mpjpe
from human3r.geometry.rigid import inverse_transform_points
from human3r.inference.loading.model import load_model
from human3r.results.reconstruction import Reconstruction

_BODY_KEYPOINTS = slice(5, 17)
_HIPS = (6, 7)
"""Of these twelve keypoints."""
_MIN_SCORE = 0.35
_MIN_VIEWS = 3
_SUBPIXELS = 64.0
"""Units of Qualisys' intrinsics per pixel."""


@dataclass(frozen=True)
class CalibratedCamera:
    """One camera of a calibration file."""

    K: np.ndarray
    """``3 3`` pixels of the video."""
    distortion: np.ndarray
    """``2`` radial coefficients."""
    T_world_camera: np.ndarray
    """``4 4`` meters."""

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Undistort ``... 2`` pixels: their ``... 2`` positions on the plane z = 1."""
        distorted = (pixels - self.K[:2, 2]) / self.K[[0, 1], [0, 1]]
        rays = distorted
        for _ in range(8):
            squared = (rays**2).sum(-1, keepdims=True)
            rays = distorted / (1 + self.distortion[0] * squared + self.distortion[1] * squared**2)
        return rays


def read_calibration(path: Path) -> list[CalibratedCamera]:
    """Read a calibration in Qualisys' XML.

    Raises:
        FormatError: Another format.
    """
    try:
        # Expat 2.4 and later refuses exponential entity expansion, and never follows external entities.
        cameras = ElementTree.parse(path).getroot().iter("camera")  # noqa: S314
        return [_camera(camera) for camera in cameras]
    except (ElementTree.ParseError, AttributeError, KeyError, ValueError, OSError) as error:
        raise FormatError(f"{path} is not a calibration by Qualisys ({error!r}).", "Give a .qca.txt file.") from error


def _camera(element: ElementTree.Element) -> CalibratedCamera:
    placed, seen = (element.find(name).attrib for name in ("transform", "intrinsic"))  # type: ignore[union-attr]
    rotation = np.array([[float(placed[f"r{row}{column}"]) for column in (1, 2, 3)] for row in (1, 2, 3)])
    T_world_camera = np.eye(4)
    # The file stores the transpose, for cameras with -z forward and y up.
    T_world_camera[:3, :3] = rotation.T @ np.diag([1.0, -1.0, -1.0])
    T_world_camera[:3, 3] = [float(placed[axis]) / 1000 for axis in "xyz"]
    K = np.eye(3)
    for row, axis in enumerate("UV"):
        K[row, row] = float(seen[f"focalLength{axis}"]) / _SUBPIXELS
        K[row, 2] = float(seen[f"centerPoint{axis}"]) / _SUBPIXELS - 0.5
    return CalibratedCamera(K, np.array([float(seen[f"radialDistortion{order}"]) for order in (1, 2)]), T_world_camera)


def tallest_person(prior: PriorKeypoints, num_frames: int) -> np.ndarray:
    """Return ``T 17 3`` (x, y, score) of the tallest person in each frame; score 0 if there is none."""
    chosen = np.zeros((num_frames, 17, 3))
    heights = np.zeros(num_frames)
    for frame, keypoints, score in zip(prior.frame, prior.keypoints_px, prior.score, strict=True):
        trusted = keypoints[score > _MIN_SCORE, 1]
        height = float(np.ptp(trusted)) if len(trusted) > 3 else 0.0
        if height > heights[frame]:
            heights[frame] = height
            chosen[frame] = np.concatenate([keypoints, score[:, None]], axis=1)
    return chosen


def triangulate(cameras: list[CalibratedCamera], seen: np.ndarray) -> np.ndarray:
    """Triangulate ``T 17 3`` world points; NaN where fewer than three cameras see the keypoint.

    Linear least squares over the views, weighted by score. Source: Hartley and Zisserman, sec. 12.2.

    Args:
        cameras: ``C``.
        seen: ``C T 17 3`` from ``tallest_person``.
    """
    rows, counts = [], (seen[..., 2] > _MIN_SCORE).sum(0)
    for camera, view in zip(cameras, seen, strict=True):
        projection = np.linalg.inv(camera.T_world_camera)[:3]
        rays, weight = camera.rays(view[..., :2]), view[..., 2] * (view[..., 2] > _MIN_SCORE)
        rows.append(weight[..., None, None] * (rays[..., None] * projection[2] - projection[:2]))
    solved = np.linalg.svd(np.concatenate(rows, axis=-2))[2][..., -1, :]
    return np.where((counts >= _MIN_VIEWS)[..., None], solved[..., :3] / solved[..., 3:], np.nan)


@dataclass(frozen=True)
class ViewScore:
    """Errors of one view."""

    mpjpe_mm: float
    """After aligning the hips."""
    pa_mpjpe_mm: float
    root_m: float
    """Distance between the hips' centers."""
    log_focal: float
    """Mean logarithm of estimated over true focal length."""


def score_view(result: Reconstruction, camera: CalibratedCamera, truth_world: np.ndarray) -> ViewScore:
    """Score the person of a result who is nearest to the truth.

    Args:
        result: Result of this camera's video with every frame.
        truth_world: ``T 17 3`` from ``triangulate``.

    Raises:
        FormatError: The result has no people in frames with truth.
    """
    truth = inverse_transform_points(camera.T_world_camera, truth_world)[:, _BODY_KEYPOINTS]
    frames, T_world_camera = result.person_frame, result.T_world_camera[result.person_frame]
    joints = result.joints_world[:, COCO17_JOINTS] - T_world_camera[:, None, :3, 3]
    joints = joints @ T_world_camera[:, :3, :3]
    is_known = np.isfinite(truth[frames]).all((1, 2))
    if not is_known.any():
        raise FormatError(
            "No person was found in a frame with ground truth.", "Videos and calibration must be of the same scene."
        )
    off = np.linalg.norm((joints[:, _HIPS, :] - truth[frames][:, _HIPS, :]).mean(1), axis=-1)
    tracks = np.unique(result.person_track[is_known])
    nearest = min(tracks, key=lambda track: np.median(off[is_known & (result.person_track == track)]))
    rows = is_known & (result.person_track == nearest)
    return ViewScore(
        mpjpe_mm=mpjpe(joints[rows], truth[frames[rows]], _HIPS),
        pa_mpjpe_mm=pa_mpjpe(joints[rows], truth[frames[rows]]),
        root_m=float(off[rows].mean()),
        log_focal=float(np.log(result.K[:, 0, 0] / camera.K[0, 0]).mean()),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m human3r.evaluation.calibrated_views", description=__doc__)
    parser.add_argument("videos", type=Path, help="folder of one video per camera, named in the order of the cameras")
    parser.add_argument("calibration", type=Path, help="calibration of the cameras (.qca.txt)")
    options = parser.parse_args(arguments)
    cameras, videos = read_calibration(options.calibration), find_inputs([options.videos])
    if len(cameras) != len(videos):
        raise FormatError(f"There are {len(videos)} videos and {len(cameras)} cameras.", "Give one video each.")
    model = load_model("compact", device="cpu")
    found = [reconstruct_beside_prior(video, model) for video in videos]
    num_frames = min(len(result.frame_index) for result, _ in found)
    seen = np.stack([tallest_person(prior, len(result.frame_index))[:num_frames] for result, prior in found])
    truth = triangulate(cameras, seen)
    sys.stdout.write("| video | MPJPE, mm | PA-MPJPE, mm | hips, m | focal length, log |\n|---|---|---|---|---|\n")
    for video, camera, (result, _) in zip(videos, cameras, found, strict=True):
        score = score_view(result, camera, truth)
        sys.stdout.write(
            f"| {video.stem} | {score.mpjpe_mm:.0f} | {score.pa_mpjpe_mm:.0f} | {score.root_m:.2f} "
            f"| {score.log_focal:+.3f} |\n"
        )
    return 0


if __name__ == "__main__":
    run_main(main)
