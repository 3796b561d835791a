"""Frames of a clip and clips of an epoch; both depend on seed, epoch and index only.

Source: Human3R (arXiv 2510.06219), supplement, and its released configuration: clips of 4 frames, strides of 1 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from human3r.errors import InputError
from human3r.training.paper.config import DataSettings
from human3r.training.paper.data.layout import list_sequences

NUM_VIEWS = 4
MAX_STRIDE = 4
MIN_FRAMES = 3
"""Frames, the first included, that a clip needs at least; with three of them two are shown twice."""
_SUBSET_SEED, _ORDER_SEED = 777, 788
"""Added to the epoch. Source: the released code."""


@dataclass(frozen=True)
class ClipStart:
    """Where a clip may begin."""

    sequence: str
    frames: tuple[str, ...]
    """Names of the frames from the start to the end of the sequence."""


@dataclass(frozen=True)
class ClipRequest:
    """One clip to prepare; equal requests give equal clips."""

    start: int
    """Row of the list of starts."""
    image_size: tuple[int, int]
    """(height, width)"""
    seed: tuple[int, ...]
    """Of every random choice inside the clip."""
    is_augmented: bool


def list_starts(root: Path, split: str, excluded: tuple[str, ...] = ()) -> list[ClipStart]:
    """Return every frame of a split at which a clip may start.

    Raises:
        InputError: There is none.
    """
    starts = []
    for sequence, frames in list_sequences(root, split).items():
        if any(fnmatchcase(sequence, pattern) for pattern in excluded):
            continue
        starts += [ClipStart(sequence, tuple(frames[first:])) for first in range(len(frames) - MIN_FRAMES + 1)]
    if not starts:
        raise InputError(
            f"There are no sequences of {MIN_FRAMES} frames or more in {split!r} of {root.name!r}.",
            "Make them with 'python -m human3r.training.paper preprocess' or 'python -m human3r synth'.",
        )
    return starts


def stride_choices(num_after: int) -> range:
    """Return the strides that a clip may have with ``num_after`` (more than 3) frames after its first one."""
    largest = min(MAX_STRIDE, 2 * num_after // 3)
    return range(1, min(num_after // (NUM_VIEWS - 1), largest) + 1)


def choose_frames(num_after: int, rng: np.random.Generator) -> list[int]:
    """Return the offsets of the four frames of a clip with ``num_after`` (2 or more) frames after its first one."""
    if num_after >= NUM_VIEWS:
        stride = int(rng.choice(np.asarray(stride_choices(num_after))))
        return [stride * view for view in range(NUM_VIEWS)]
    if num_after == NUM_VIEWS - 1:
        return list(range(NUM_VIEWS))
    first = int(rng.integers(num_after))
    return [first, first + 1, first, first + 1]


def plan_epoch(num_starts: int, epoch: int, seed: int, batch: int, data: DataSettings) -> list[list[ClipRequest]]:
    """Return the batches of an epoch; an incomplete last batch is dropped.

    Args:
        num_starts: Length of the list of starts; a short list is repeated.
        epoch: From 0.
        data: Sizes, their weights and the length of an epoch.
    """
    subset_rng = np.random.default_rng(epoch + _SUBSET_SEED)
    rounds = -(-data.clips_per_epoch // num_starts)
    subset = np.tile(subset_rng.permutation(num_starts), rounds)[: data.clips_per_epoch]
    rng = np.random.default_rng(epoch + _ORDER_SEED)
    order = rng.permutation(subset)
    weights = np.asarray(data.image_size_weights, np.float64)
    batches = []
    for first in range(0, len(order) - batch + 1, batch):
        height, width = data.image_sizes[int(rng.choice(len(weights), p=weights / weights.sum()))]
        rows = enumerate(order[first : first + batch], first)
        batches.append([ClipRequest(int(start), (height, width), (seed, epoch, row), True) for row, start in rows])
    return batches


def plan_validation(num_starts: int, batch: int, data: DataSettings) -> list[list[ClipRequest]]:
    """Return the batches of a validation: the same clips every time, without augmentation."""
    order = np.random.default_rng(_VALIDATION_SEED).permutation(num_starts)[: data.validation_clips]
    height, width = data.validation_size
    requests = [ClipRequest(int(start), (height, width), (_VALIDATION_SEED, int(start)), False) for start in order]
    return [requests[first : first + batch] for first in range(0, len(requests), batch)]


_VALIDATION_SEED = 42
