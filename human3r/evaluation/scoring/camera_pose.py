"""Camera paths: ATE and RPE of one sequence after a similarity alignment.

Source: TUM RGB-D benchmark (Sturm et al., IROS 2012), as run by MonST3R and CUT3R; the sums are in ``metrics``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from human3r.errors import FormatError
from human3r.evaluation.metrics import ate, rpe
from human3r.evaluation.protocol import PATH_SERIES, Protocol, Recording, ScoreGroup, Trajectory
from human3r.geometry.alignment import fit_similarity
from human3r.records import FramePrediction


def score_camera_pose(
    recording: Recording, protocol: Protocol, predictions: Iterator[FramePrediction]
) -> tuple[ScoreGroup, ...]:
    """Score the camera path of one sequence.

    Raises:
        FormatError: Fewer than three cameras can be compared.
    """
    assert recording.read_trajectory is not None
    truth = recording.read_trajectory()
    predicted = np.stack([prediction.camera.T_world_camera.double().numpy() for prediction in predictions])
    rows, true_rows = match_cameras(image_times(recording), truth, protocol.association_s)
    is_finite = np.isfinite(truth.T_world_camera[true_rows]).all((1, 2))
    rows, true_rows = rows[is_finite], true_rows[is_finite]
    if len(rows) < 3:
        raise FormatError(f"{recording.name} has {len(rows)} images with a true camera; at least 3 are needed.")
    return (camera_group(predicted[rows], truth.T_world_camera[true_rows], rows),)


def camera_group(predicted: np.ndarray, truth: np.ndarray, frame: np.ndarray | None = None) -> ScoreGroup:
    """Score ``T 4 4`` cameras; every sequence counts once.

    Args:
        predicted: ``T 4 4``.
        truth: ``T 4 4``.
        frame: ``T`` rows of the images; None numbers them.
    """
    translation_m, rotation_deg = rpe(predicted, truth)
    values = {"ate_m": ate(predicted, truth), "rpe_translation_m": translation_m, "rpe_rotation_deg": rotation_deg}
    frame = np.arange(len(truth)) if frame is None else frame
    return ScoreGroup("camera", 1.0, values, {"frame": tuple(frame.tolist())} | _series(predicted, truth))


def _series(predicted: np.ndarray, truth: np.ndarray) -> dict[str, tuple[float, ...]]:
    """Describe the aligned path for plots: position on the x-z plane (from above), and position error."""
    positions, true_positions = predicted[:, :3, 3], truth[:, :3, 3]
    aligned = fit_similarity(positions, true_positions).apply(positions)
    path = (true_positions[:, 0], true_positions[:, 2], aligned[:, 0], aligned[:, 2])
    columns: dict[str, np.ndarray] = dict(zip(PATH_SERIES, path, strict=True))
    columns["error_m"] = np.linalg.norm(aligned - true_positions, axis=-1)
    return {name: tuple(np.round(column, 6).tolist()) for name, column in columns.items()}


def image_times(recording: Recording) -> np.ndarray:
    """Return ``T`` seconds of the images: their file names where these are times, else their count."""
    try:
        return np.array([float(path.stem) for path in recording.images])
    except ValueError:
        return np.arange(float(len(recording.images)))


def match_cameras(time_s: np.ndarray, truth: Trajectory, tolerance_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return corresponding rows (predicted, true): by index if the numbers agree, else by time.

    Raises:
        FormatError: The numbers differ and the true cameras have no time.
    """
    if len(time_s) == len(truth.T_world_camera):
        return np.arange(len(time_s)), np.arange(len(time_s))
    if truth.time_s is None:
        raise FormatError(
            f"There are {len(time_s)} images and {len(truth.T_world_camera)} true cameras without a time.",
            "Expected one camera per image.",
        )
    return associate(time_s, truth.time_s, tolerance_s)


def associate(first_s: np.ndarray, second_s: np.ndarray, tolerance_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Pair time stamps one to one, closest pairs first; returns rows of both in the order of the first.

    Source: TUM RGB-D benchmark tools, association of files by time.
    """
    order = np.argsort(second_s, kind="stable")
    after = np.searchsorted(second_s[order], first_s)
    candidates = []
    for row, time in enumerate(first_s):
        for place in range(max(after[row] - 2, 0), min(after[row] + 2, len(order))):
            difference = abs(second_s[order[place]] - time)
            if difference <= tolerance_s:
                candidates.append((difference, row, int(order[place])))
    used_first, used_second, pairs = set(), set(), []
    for _, row, other in sorted(candidates):
        if row not in used_first and other not in used_second:
            used_first.add(row)
            used_second.add(other)
            pairs.append((row, other))
    table = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
