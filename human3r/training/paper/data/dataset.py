"""Clips with their truth as tensors, ready for the network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from human3r.bodies.placement import from_smplx_order
from human3r.geometry.rigid import rotation_from_axis_angle
from human3r.records import TensorRecord
from human3r.skeleton import NUM_JOINT_ROTATIONS
from human3r.training.paper.config import DataSettings
from human3r.training.paper.data.clips import ClipRequest, ClipStart, choose_frames
from human3r.training.paper.data.color_jitter import jitter_colors
from human3r.training.paper.data.cropping import clean_depth, crop_frame
from human3r.training.paper.data.layout import NUM_TRUE_BETAS, LabeledPeople, read_frame

RecordT = TypeVar("RecordT", bound=TensorRecord)
_MIN_DEPTH_M = 0.01
"""People whose SMPL-X translation is nearer than this, or behind the camera, are left out."""


@dataclass(frozen=True)
class TruePeople(TensorRecord):
    """Up to M people per image, nearest first; empty slots hold a resting body. Camera frame, meters."""

    joint_rotations: Tensor
    """``B N M 53 3 3``"""
    betas: Tensor
    """``B N M 11``"""
    transl: Tensor
    """``B N M 3`` SMPL-X translation."""
    is_present: Tensor
    """``B N M`` bool."""


@dataclass(frozen=True)
class TrueClips(TensorRecord):
    """B clips of N views. One clip alone has no axis B."""

    image: Tensor
    """``B N 3 H W`` in [-1, 1]."""
    depth: Tensor
    """``B N H W`` camera z, meters; 0 where unknown."""
    person_mask: Tensor
    """``B N H W`` 0 or 1."""
    K: Tensor
    """``B N 3 3`` pixels."""
    T_world_camera: Tensor
    """``B N 4 4``"""
    has_ray: Tensor
    """``B N`` bool: the network receives the true rays of the view."""
    people: TruePeople


class ClipDataset(Dataset["TrueClips"]):
    """Prepares clips on request, without caching.

    Args:
        starts: Possible first frames.
    """

    def __init__(self, folder: Path, starts: list[ClipStart], data: DataSettings) -> None:
        self.folder = folder
        self.starts = starts
        self.data = data

    def __getitem__(self, request: ClipRequest) -> TrueClips:
        rng = np.random.default_rng(request.seed)
        start = self.starts[request.start]
        offsets = choose_frames(len(start.frames) - 1, rng)
        frames = []
        for offset in offsets:
            frame = read_frame(self.folder / start.sequence, start.frames[offset])
            enlargement = int(rng.integers(self.data.max_crop_enlargement + 1)) if request.is_augmented else 0
            frame = replace(frame, depth=clean_depth(frame.depth))
            frames.append(crop_frame(frame, request.image_size, enlargement))
        images = torch.from_numpy(np.stack([frame.image for frame in frames])).permute(0, 3, 1, 2).float() / 255
        if request.is_augmented and self.data.color_jitter:
            images = jitter_colors(images, rng)
        draws = torch.from_numpy(rng.random(len(frames)))
        has_ray = draws < (self.data.ray_probability if request.is_augmented else 0)
        has_ray[0] = False
        return TrueClips(
            image=((images - 0.5) / 0.5).contiguous(),
            depth=_stacked(frame.depth for frame in frames),
            person_mask=_stacked(frame.person_mask for frame in frames),
            K=_stacked(frame.K for frame in frames),
            T_world_camera=_stacked(frame.T_world_camera for frame in frames),
            has_ray=has_ray,
            people=_stack([slots_of(frame.people, self.data.max_people) for frame in frames]),
        )


def load_batches(dataset: ClipDataset, batches: list[list[ClipRequest]], workers: int) -> DataLoader[TrueClips]:
    """Return an iterable over prepared batches, in order, whatever the number of workers."""
    return DataLoader(
        dataset,
        batch_sampler=batches,  # type: ignore[arg-type]  # requests take the place of row numbers
        num_workers=workers,
        collate_fn=_stack,
        multiprocessing_context="spawn" if workers else None,
    )


def slots_of(people: LabeledPeople, num_slots: int) -> TruePeople:
    """Return ``M`` slots with the nearest people in front of the camera, by the depth of their SMPL-X translation."""
    depth = people.transl[:, 2]
    rows = np.argsort(depth, kind="stable")
    rows = rows[depth[rows] > _MIN_DEPTH_M][:num_slots]
    rotations = torch.eye(3).repeat(num_slots, NUM_JOINT_ROTATIONS, 1, 1)
    betas, transl = torch.zeros(num_slots, NUM_TRUE_BETAS), torch.zeros(num_slots, 3)
    count = len(rows)
    rotations[:count] = from_smplx_order(
        rotation_from_axis_angle(torch.as_tensor(people.pose[rows], dtype=torch.float32))
    )
    betas[:count] = torch.as_tensor(people.betas[rows], dtype=torch.float32)
    transl[:count] = torch.as_tensor(people.transl[rows], dtype=torch.float32)
    return TruePeople(rotations, betas, transl, torch.arange(num_slots) < count)


def _stacked(arrays: Iterable[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(list(arrays))).to(torch.float32)


def _stack(records: Sequence[RecordT]) -> RecordT:
    """Stack records of one type along a new first axis, including nested ones."""
    first = records[0]
    stacked: dict[str, Any] = {}
    for field in fields(first):
        values = [getattr(record, field.name) for record in records]
        stacked[field.name] = torch.stack(values) if isinstance(values[0], Tensor) else _stack(values)
    return type(first)(**stacked)
