"""A rendered clip with exact ground truth, and its compact layout on disk.

One clip is one folder: ``rgb_NN.jpg``, ``depth_NN.png`` (16 bit, logarithmic), ``people_NN.png`` (8 bit instance ids)
per frame, and ``clip.npz`` with everything else. This module does not render; training code needs nothing else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from human3r.atomic import whole_or_absent_folder
from human3r.errors import FormatError

DEPTH_NEAR_M = 0.05
DEPTH_FAR_M = 250.0
"""Range of the stored depth. 65,534 logarithmic steps in between: a relative error of at most 6.5e-5."""
LAYOUT_VERSION = 1


@dataclass(frozen=True)
class ClipPeople:
    """``P`` bodies over ``T`` frames as SMPL-X parameters in world (axis-angle, flat hand mean), and their joints."""

    global_orient: np.ndarray
    """``T P 3`` radians, world."""
    transl: np.ndarray
    """``T P 3`` meters, world."""
    body_pose: np.ndarray
    """``T P 21 3``"""
    left_hand_pose: np.ndarray
    """``T P 15 3``"""
    right_hand_pose: np.ndarray
    """``T P 15 3``"""
    jaw_pose: np.ndarray
    """``T P 3``"""
    betas: np.ndarray
    """``P 10`` one shape per person."""
    expression: np.ndarray
    """``T P 10``"""
    joints_world: np.ndarray
    """``T P 55 3`` meters, SMPL-X order."""
    joints_uv_px: np.ndarray
    """``T P 55 2`` projections, also outside of the image; NaN behind the camera."""
    is_joint_visible: np.ndarray
    """``T P 55`` bool: inside the image, and the pixel there belongs to this person."""
    visible_fraction: np.ndarray
    """``T P`` visible pixels over the pixels of the person alone in an unbounded image (0 = hidden or outside)."""


@dataclass(frozen=True)
class SyntheticClip:
    """``T`` frames of one scene. World is the first camera of the clip; OpenCV axes; meters; seconds."""

    image: np.ndarray
    """``T H W 3`` uint8 RGB."""
    depth: np.ndarray
    """``T H W`` float32 camera z in meters at the pixel's center; 0 where the pixel shows only sky."""
    person_index: np.ndarray
    """``T H W`` uint8: 0 is no person, ``p + 1`` is row ``p`` of ``people``. Hair and clothes belong to the person."""
    K: np.ndarray
    """``T 3 3`` float64 intrinsics, pixels."""
    T_world_camera: np.ndarray
    """``T 4 4`` float64; the first is the identity."""
    T_gravity_world: np.ndarray
    """``4 4`` float64: to the scene's own frame, y up, the floor at y = 0."""
    time_s: np.ndarray
    """``T`` float64, from 0."""
    people: ClipPeople
    seed: int
    split: str
    scene: str
    """Kind of scene, e.g. ``home`` or ``street``; for statistics only."""
    is_static_camera: bool

    def __len__(self) -> int:
        return self.image.shape[0]

    @property
    def person_mask(self) -> np.ndarray:
        """``T H W`` bool."""
        return self.person_index > 0


_PER_FRAME_PEOPLE = tuple(field.name for field in fields(ClipPeople) if field.name != "betas")


def encode_depth(depth: np.ndarray) -> np.ndarray:
    """Map meters to uint16 on a logarithmic scale; 0 (no surface) and anything beyond the range stay 0."""
    span = np.log(DEPTH_FAR_M / DEPTH_NEAR_M)
    is_valid = (depth >= DEPTH_NEAR_M) & (depth <= DEPTH_FAR_M)
    steps = np.log(np.where(is_valid, depth, DEPTH_NEAR_M) / DEPTH_NEAR_M) / span * 65534
    return np.where(is_valid, np.round(steps) + 1, 0).astype(np.uint16)


def decode_depth(codes: np.ndarray) -> np.ndarray:
    """Undo :func:`encode_depth`; returns float32 meters, 0 where there is no surface."""
    span = np.float32(np.log(DEPTH_FAR_M / DEPTH_NEAR_M) / 65534)
    depth = np.float32(DEPTH_NEAR_M) * np.exp((codes.astype(np.float32) - 1) * span)
    return np.where(codes > 0, depth, np.float32(0))


def write_clip(folder: Path, clip: SyntheticClip, jpeg_quality: int = 90) -> None:
    """Write one clip as ``folder``; the folder appears complete or not at all."""
    with whole_or_absent_folder(folder) as partial:
        for index in range(len(clip)):
            Image.fromarray(clip.image[index]).save(partial / f"rgb_{index:02d}.jpg", quality=jpeg_quality)
            codes = Image.fromarray(encode_depth(clip.depth[index]))
            codes.save(partial / f"depth_{index:02d}.png", compress_level=4)
            Image.fromarray(clip.person_index[index]).save(partial / f"people_{index:02d}.png", compress_level=4)
        arrays = {f"people.{field.name}": getattr(clip.people, field.name) for field in fields(ClipPeople)}
        arrays |= {name: getattr(clip, name) for name in ("K", "T_world_camera", "T_gravity_world", "time_s")}
        about = {"layout": LAYOUT_VERSION, "num_frames": len(clip), "is_static_camera": bool(clip.is_static_camera)}
        about |= {"seed": int(clip.seed), "split": clip.split, "scene": clip.scene}
        np.savez_compressed(partial / "clip.npz", about=np.array(json.dumps(about)), **arrays)


def read_clip(folder: Path, frames: tuple[int, ...] | None = None) -> SyntheticClip:
    """Read a clip, or only the given frames of it (in that order; the first of them becomes the world).

    Raises:
        FormatError: The folder is not a clip of this layout.
    """
    try:
        with np.load(folder / "clip.npz", allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(str(arrays.pop("about")))
        if about["layout"] != LAYOUT_VERSION:
            raise FormatError(f"Clip {folder.name} has layout {about['layout']}, expected {LAYOUT_VERSION}.")
        wanted = tuple(range(about["num_frames"])) if frames is None else frames
        people = ClipPeople(**{field.name: arrays[f"people.{field.name}"] for field in fields(ClipPeople)})
        rows = list(wanted)
        clip = SyntheticClip(
            image=np.stack([_read_image(folder / f"rgb_{index:02d}.jpg") for index in wanted]),
            depth=np.stack([decode_depth(_read_image(folder / f"depth_{index:02d}.png")) for index in wanted]),
            person_index=np.stack([_read_image(folder / f"people_{index:02d}.png") for index in wanted]),
            K=arrays["K"][rows],
            T_world_camera=arrays["T_world_camera"][rows],
            T_gravity_world=arrays["T_gravity_world"],
            time_s=arrays["time_s"][rows],
            people=replace(people, **{name: getattr(people, name)[rows] for name in _PER_FRAME_PEOPLE}),
            seed=about["seed"],
            split=about["split"],
            scene=about["scene"],
            is_static_camera=about["is_static_camera"],
        )
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise FormatError(f"{folder} is not a clip: {error}.", "Generate it again.") from error
    return rebase_clip(clip)


def read_times(folder: Path) -> np.ndarray:
    """Return the times of a clip's frames, seconds from its first, without reading its images.

    Raises:
        FormatError: The folder is not a clip of this layout.
    """
    try:
        with np.load(folder / "clip.npz", allow_pickle=False) as archive:
            time_s = archive["time_s"]
    except (OSError, KeyError, ValueError) as error:
        raise FormatError(f"{folder} is not a clip: {error}.", "Generate it again.") from error
    return time_s - time_s[0]


def clip_folders(root: Path) -> list[Path]:
    """List the finished clips below ``root`` in a fixed order; safe while a generator still writes there."""
    return sorted(path.parent for path in root.glob("*/clip.npz") if not path.parent.name.startswith("."))


def rebase_clip(clip: SyntheticClip) -> SyntheticClip:
    """Make the first frame's camera the world, with people, joints and time to match."""
    T_old_new = clip.T_world_camera[0]
    if np.array_equal(T_old_new, np.eye(4)):
        return replace(clip, time_s=clip.time_s - clip.time_s[0])
    T_new_old = np.linalg.inv(T_old_new)
    return replace(
        clip,
        T_world_camera=T_new_old @ clip.T_world_camera,
        T_gravity_world=clip.T_gravity_world @ T_old_new,
        time_s=clip.time_s - clip.time_s[0],
        people=transform_people(clip.people, T_new_old),
    )


def transform_people(people: ClipPeople, T_new_old: np.ndarray) -> ClipPeople:
    """Move SMPL-X parameters and joints from one frame to another.

    SMPL-X rotates a body about its pelvis, so ``transl`` changes by the motion of the pelvis, not of the origin.
    """
    if people.transl.size == 0:
        return people
    R_new_old = T_new_old[:3, :3]
    joints = people.joints_world @ R_new_old.T + T_new_old[:3, 3]
    orient = Rotation.from_matrix(R_new_old) * Rotation.from_rotvec(people.global_orient.reshape(-1, 3))
    return replace(
        people,
        global_orient=orient.as_rotvec().reshape(people.global_orient.shape),
        transl=people.transl + (joints[..., 0, :] - people.joints_world[..., 0, :]),
        joints_world=joints,
    )


def _read_image(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)
