"""Pairs of the frozen detector's keypoints and the truth of rendered people: real detector errors, not simulated ones.

``python -m human3r.training.lifter.rendered CLIPS OUTPUT`` runs MoveNet on rendered clips exactly as inference does and
stores its keypoints with the SMPL-X truth in the camera frame. It can be resumed; run again, it adds new frames.
"""

from __future__ import annotations

import argparse
import io
import logging
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation

from human3r.assets.shards import read_module
from human3r.atomic import write_bytes
from human3r.bodies.joints import COCO17_JOINTS
from human3r.errors import FormatError, run_main
from human3r.models.compact.build import fast_dtype
from human3r.models.compact.convnets.convolution import fuse_convolutions
from human3r.models.compact.people.detection.human_prior import MoveNetPrior, find_people
from human3r.models.compact.people.detection.keypoints import DecodeOptions, ImageKeypoints
from human3r.models.compact.people.detection.person_crops import PersonCropDetector
from human3r.models.compact.people.lifting.body_points import MIRRORED_KEYPOINTS
from human3r.models.compact.people.lifting.keypoint_encoder import VALID_SCORE
from human3r.models.config import CompactConfig
from human3r.skeleton import NUM_BODY_JOINTS
from human3r.training.clip import SyntheticClip, clip_folders, read_clip, read_times
from human3r.video.preprocess import prepare_compact

_LOG = logging.getLogger(__name__)
_HEAD = 15
_FRAMES_PER_PART = 150
_FAR = 0.35
"""A detection belongs to another person if its trusted keypoints are farther away (median) than this share of the
person's size. Source: of 7,307 matches half are nearer than .05, and 4 % farther than .2."""


@dataclass(frozen=True)
class RenderedPeople:
    """``N`` detections of rendered people; camera frame, meters, radians."""

    clip: np.ndarray
    """``N`` name of the clip's folder."""
    frame: np.ndarray
    """``N`` int16, frame of the clip."""
    person: np.ndarray
    """``N`` int16, row of the clip's people."""
    keypoints_px: np.ndarray
    """``N 17 2`` float32 (x, y) in network pixels."""
    scores: np.ndarray
    """``N 17`` float32."""
    image_size: np.ndarray
    """``N 2`` int16 (height, width), network pixels."""
    focal_px: np.ndarray
    """``N 2`` float32 (fx, fy), network pixels."""
    rotvecs: np.ndarray
    """``N 22 3`` float32 local rotations, root in the camera frame."""
    betas: np.ndarray
    """``N 10`` float32"""
    root_camera: np.ndarray
    """``N 3`` float32 pelvis."""
    visible: np.ndarray
    """``N`` float32 share of the person's pixels that the image shows."""

    def __len__(self) -> int:
        return len(self.frame)


def read_rendered(folder: Path) -> RenderedPeople:
    """Read every part below a folder.

    Raises:
        FormatError: There is none.
    """
    parts = [part for part in map(_read_part, _part_paths(folder)) if len(part) > 1]
    if not parts:
        raise FormatError(f"{folder} has no pairs.", "Make them with python -m human3r.training.lifter.rendered.")
    names = [item.name for item in fields(RenderedPeople)]
    return RenderedPeople(**{name: np.concatenate([part[name] for part in parts]) for name in names})


def detect_clips(clips: Path, output: Path, frames: int) -> int:
    """Run the detector on frames of clips that ``output`` does not have yet; returns how many.

    Args:
        clips: Folder of clips; those that appear meanwhile are left to the next call.
        frames: Maximum number per clip, evenly spread; a later call with more adds the others.
    """
    output.mkdir(parents=True, exist_ok=True)
    seen = {str(name) for path in _part_paths(output) for name in _read_part(path)["seen"]}
    wanted = [(folder, index) for folder in clip_folders(clips) for index in _spread(len(read_times(folder)), frames)]
    wanted = [(folder, index) for folder, index in wanted if _name(folder, index) not in seen]
    detectors = load_detectors()
    number = len(_part_paths(output))
    for start in range(0, len(wanted), _FRAMES_PER_PART):
        block = wanted[start : start + _FRAMES_PER_PART]
        rows = [row for folder, index in block for row in detect_frame(folder, index, *detectors)]
        _write_part(output / f"part_{number:05d}.npz", rows, [_name(*frame) for frame in block])
        number += 1
        _LOG.info("%d of %d frames, %d people in the last %d", start + len(block), len(wanted), len(rows), len(block))
    return len(wanted)


def _spread(length: int, frames: int) -> list[int]:
    return sorted({int(index) for index in np.linspace(0, length - 1, min(frames, length)).round()})


def _name(folder: Path, frame: int) -> str:
    return f"{folder.name}:{frame}"


def load_detectors() -> tuple[MoveNetPrior, PersonCropDetector]:
    """Load the shipped detectors of people and of their keypoints, in the arithmetic of the program."""
    prior, crops = MoveNetPrior(CompactConfig()), PersonCropDetector(CompactConfig().max_cropped_people)
    for module, prefix in ((prior, "human_prior."), (crops, "prompter.crop_detector.")):
        module.load_state_dict(read_module(prefix))
        module.network.to(dtype=fast_dtype(), memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        fuse_convolutions(module.network)
    return prior.eval(), crops.eval()


@torch.no_grad()
def detect_frame(
    folder: Path, frame: int, prior: MoveNetPrior, crops: PersonCropDetector
) -> list[dict[str, np.ndarray]]:
    """Return one row (``RenderedPeople`` without its first axis) per detection that matches a person."""
    clip = read_clip(folder, (frame,))
    prepared = prepare_compact(clip.image[0])
    size = prepared.image_uint8.shape[:2]
    # The second, larger look adds only people whom the first does not see, for two thirds of its cost.
    found = find_people(prior.encode_base(prepared.image[None]), size, DecodeOptions())
    scale = np.array(size[::-1]) / prepared.source_size[::-1]
    joints_px = (clip.people.joints_uv_px[0][:, :NUM_BODY_JOINTS] + 0.5) * scale - 0.5
    about = {
        "clip": np.array(folder.name),
        "frame": np.int16(frame),
        "image_size": np.array(size, np.int16),
        "focal_px": (clip.K[0, [0, 1], [0, 1]] * scale).astype(np.float32),
    }
    rows = []
    pairs = match_detections(found, joints_px, clip.people.visible_fraction[0])
    found = crops(prepared.image, found)
    for row, person in pairs:
        seen = {
            "keypoints_px": found.keypoints_px[row].float().numpy(),
            "scores": found.keypoint_score[row].float().numpy(),
        }
        rows.append(about | seen | _truth(clip, person))
    return rows


def match_detections(found: ImageKeypoints, joints_px: np.ndarray, visible: np.ndarray) -> list[tuple[int, int]]:
    """Match detections to people.

    Args:
        joints_px: ``P 22 2`` true projections; NaN behind the camera.
        visible: ``P`` visible share; people of whom nothing is visible match no detection.

    Returns:
        Pairs (detection, person), each person once.
    """
    if not len(found) or not len(visible):
        return []
    cost = np.full((len(found), len(visible)), np.inf)
    keypoints, scores = found.keypoints_px.double().numpy(), found.keypoint_score.double().numpy()
    mirrored = np.array(MIRRORED_KEYPOINTS[5:]) - 5
    for person in np.flatnonzero(visible > 0):
        target = joints_px[person, COCO17_JOINTS]
        if not np.isfinite(target).all():
            continue
        size = max(float(np.ptp(joints_px[person][np.isfinite(joints_px[person]).all(-1)], axis=0).max()), 8.0)
        head = np.nan_to_num(joints_px[person, _HEAD], nan=1e6)
        for row in range(len(found)):
            trusted = scores[row, 5:] > VALID_SCORE
            points = keypoints[row, 5:]
            # Swapped sides are a detector error that training must see: it is still this person.
            sides = [np.linalg.norm(points - other, axis=-1) for other in (target, target[mirrored])]
            nearer = min(sides, key=lambda side, trusted=trusted: side[trusted].sum())[trusted]
            face = np.linalg.norm(keypoints[row, :5].mean(0) - head)
            cost[row, person] = np.median(np.append(nearer, face)) / size
    rows, people = linear_sum_assignment(np.minimum(cost, 10.0))
    return [(int(row), int(person)) for row, person in zip(rows, people, strict=True) if cost[row, person] < _FAR]


def _truth(clip: SyntheticClip, person: int) -> dict[str, np.ndarray]:
    people = clip.people
    R_camera_world = clip.T_world_camera[0, :3, :3].T
    root = (people.joints_world[0, person, :1] - clip.T_world_camera[0, :3, 3]) @ R_camera_world.T
    orient = Rotation.from_matrix(R_camera_world) * Rotation.from_rotvec(people.global_orient[0, person])
    return {
        "person": np.asarray(person, np.int16),
        "rotvecs": np.concatenate([orient.as_rotvec()[None], people.body_pose[0, person]]).astype(np.float32),
        "betas": people.betas[person].astype(np.float32),
        "root_camera": root[0].astype(np.float32),
        "visible": np.asarray(people.visible_fraction[0, person], np.float32),
    }


def _part_paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("part_*.npz"))


def _read_part(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _write_part(path: Path, rows: list[dict[str, np.ndarray]], seen: list[str]) -> None:
    """Write the rows and the processed frames, including those without people."""
    names = [item.name for item in fields(RenderedPeople)] if rows else []
    arrays: dict[str, Any] = {name: np.stack([row[name] for row in rows]) for name in names}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, seen=np.array(seen), **arrays)
    write_bytes(path, buffer.getvalue())


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m human3r.training.lifter.rendered", description=__doc__)
    parser.add_argument("clips", type=Path, help="folder of rendered clips")
    parser.add_argument("output", type=Path, help="folder for the pairs")
    parser.add_argument("--frames", type=int, default=3, help="maximum number of frames per clip")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    detect_clips(options.clips, options.output, options.frames)


if __name__ == "__main__":
    run_main(main)
