"""Miniatures of the people benchmarks: a few frames of walkers with truth, in the layout of each data set."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from human3r.evaluation.benchmarks.bedlam import STRIDE
from human3r.evaluation.miniatures.body_files import GENDER_BETA
from human3r.evaluation.miniatures.staged_people import (
    SIZE,
    K,
    Walk,
    cameras,
    parameters_in_camera,
    picture,
    smplx_rotations,
    vertices_world,
    walk,
)
from human3r.training.paper.data.layout import TEST_SCENES, LabeledFrame, LabeledPeople, write_frame

NUM_FRAMES = 6


def _own_betas(person: Walk, gender: str) -> np.ndarray:
    """Shape coefficients that give a gendered substitute the walker's shape."""
    betas = person.betas.copy()
    betas[0] -= GENDER_BETA[gender]
    return betas


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)


def _dump(path: Path, content: object, protocol: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))


def _draw(people: Iterable[Walk], frame: int, T_world_camera: np.ndarray) -> np.ndarray:
    return picture([vertices_world(person, frame) for person in people], T_world_camera)


def write_3dpw(root: Path) -> None:
    """Two people; one frame has no valid person, another only the woman."""
    name, people = "downtown_miniature_00", (walk(NUM_FRAMES, -1.0), walk(NUM_FRAMES, 1.0, phase=1.5))
    genders = ("male", "female")
    T_world_camera = cameras(NUM_FRAMES)
    is_valid = np.ones((2, NUM_FRAMES), np.int64)
    is_valid[:, 2] = 0
    is_valid[0, 4] = 0
    for frame in range(NUM_FRAMES):
        shown = [person for person, valid in zip(people, is_valid[:, frame], strict=True) if valid]
        pixels = _draw(shown, frame, T_world_camera[frame])
        _save(root / "imageFiles" / name / f"image_{frame:05d}.jpg", pixels)
    content = {
        "sequence": name,
        "poses": [person.axis_angle.reshape(NUM_FRAMES, 72) for person in people],
        "trans": [person.transl for person in people],
        "betas": [_own_betas(person, gender) for person, gender in zip(people, genders, strict=True)],
        "genders": [gender[0] for gender in genders],
        "campose_valid": list(is_valid),
        "cam_poses": np.linalg.inv(T_world_camera),
        "cam_intrinsics": K,
        "img_frame_ids": np.arange(NUM_FRAMES),
    }
    _dump(root / "sequenceFiles" / "test" / f"{name}.pkl", content, protocol=2)


def write_emdb(root: Path) -> None:
    """One sequence of each subset; the second frame of both is bad."""
    for name, gender in (("P1/14_miniature", "male"), ("P0/09_miniature", "female")):
        person, T_world_camera = walk(NUM_FRAMES), cameras(NUM_FRAMES)
        for frame in range(NUM_FRAMES):
            _save(root / name / "images" / f"{frame:05d}.jpg", _draw([person], frame, T_world_camera[frame]))
        content = {
            "name": name.replace("/", "_"),
            "gender": gender,
            "emdb1": name.startswith("P1"),
            "emdb2": name.startswith("P0"),
            "n_frames": NUM_FRAMES,
            "good_frames_mask": np.arange(NUM_FRAMES) != 1,
            "camera": {
                "intrinsics": K,
                "extrinsics": np.linalg.inv(T_world_camera),
                "width": SIZE[1],
                "height": SIZE[0],
            },
            "smpl": {
                "poses_root": person.axis_angle[:, 0],
                "poses_body": person.axis_angle[:, 1:].reshape(NUM_FRAMES, 69),
                "betas": _own_betas(person, gender),
                "trans": person.transl,
            },
        }
        _dump(root / name / f"{name.replace('/', '_')}_data.pkl", content, protocol=4)


def write_rich(root: Path) -> None:
    """One video of a static camera; the frames that are labeled begin at 3."""
    video, first = "test/Room_000_walking/cam_01", 3
    person, T_world_camera = walk(NUM_FRAMES), cameras(1, is_static=True)[0]
    for frame in range(NUM_FRAMES):
        _save(root / video / f"{first + frame:05d}_01.jpeg", _draw([person], frame, T_world_camera))
    parameters = {
        "global_orient": person.axis_angle[:, 0],
        "body_pose": person.axis_angle[:, 1:22].reshape(NUM_FRAMES, 63),
        "transl": person.transl,
        "betas": np.tile(_own_betas(person, "male"), (NUM_FRAMES, 1)),
    }
    label = {
        "gender": "male",
        "frame_id": torch.arange(first, first + NUM_FRAMES),
        "gt_smplx_params": {name: torch.from_numpy(values).float() for name, values in parameters.items()},
    }
    torch.save({video: label}, root / "rich_test_labels.pt")
    camera = (torch.from_numpy(np.linalg.inv(T_world_camera)).float(), torch.from_numpy(K).float())
    torch.save({"Room_1": camera}, root / "cam2params.pt")


def write_bedlam(root: Path) -> None:
    """Two scored frames of two people and a third one behind the camera; the frames between are copies."""
    folder = root / "Test" / f"{TEST_SCENES[0]}_seq_000000"
    people = (walk(2, -1.0), walk(2, 1.0, phase=1.5))
    T_world_camera = cameras(2)
    for place in range(2):
        pixels = _draw(people, place, T_world_camera[place])
        for number in range(1, STRIDE if place == 0 else 1):
            _save(folder / "rgb" / f"{place * STRIDE + number:05d}.png", pixels)
        posed = [parameters_in_camera(person, place, T_world_camera[place]) for person in (*people, people[0])]
        transl = np.stack([moved for _, moved in posed])
        transl[2, 2] -= 9.0
        labels = LabeledPeople(
            pose=np.stack([smplx_rotations(axis_angle) for axis_angle, _ in posed]),
            betas=np.stack([np.append(person.betas, 0.0) for person in (*people, people[0])]),
            transl=transl,
        )
        nothing = np.zeros(SIZE)
        frame = LabeledFrame(pixels, nothing, nothing > 0, K, T_world_camera[place], labels)
        write_frame(folder, f"{place * STRIDE:05d}", frame)
