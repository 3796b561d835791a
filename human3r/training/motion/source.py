"""Output of the readers: an animated skeleton with the names, axes and units of its file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from human3r.skeleton import forward_kinematics


@dataclass(frozen=True)
class SourceMotion:
    """A skeleton in motion, as its file describes it.

    Rotations are those that take the file's rest pose to the posed skeleton, in the file's own world axes: all are the
    identity in the rest pose.
    """

    name: str
    """Stem of the file."""
    joint_names: tuple[str, ...]
    """``J`` names, parents before children."""
    rest_positions: np.ndarray
    """``J 3`` rest pose, file units and axes."""
    global_rotations: np.ndarray
    """``T J 3 3``"""
    root_position: np.ndarray
    """``T 3`` file units and axes."""
    fps: float
    """Frames per second."""


def chain(parents: tuple[int, ...], local_rotations: np.ndarray) -> np.ndarray:
    """Multiply local rotations ``T J 3 3`` along the parents into global ones."""
    local = torch.from_numpy(local_rotations)
    return forward_kinematics(local, torch.zeros_like(local[..., 0]), parents)[0].numpy()
