"""Reader of Biovision hierarchies (BVH): any joint names, any channel order."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.errors import FormatError
from human3r.training.motion.source import SourceMotion, chain, rest_positions


@dataclass
class _Hierarchy:
    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[str]] = field(default_factory=list)


def read_bvh(path: Path) -> SourceMotion:
    """Read one BVH file.

    Raises:
        FormatError: The hierarchy or the frame table is not BVH.
    """
    tokens = path.read_text(encoding="utf-8", errors="replace").split()
    try:
        hierarchy, cursor = _parse_hierarchy(tokens)
        num_frames = int(tokens[cursor + 2])
        frame_time_s = float(tokens[cursor + 5])
        values = np.array(tokens[cursor + 6 :], dtype=np.float64).reshape(num_frames, -1)
    except (ValueError, IndexError) as error:
        raise FormatError(
            f"{path.name} is not a readable BVH file.", "Give BVH text with one frame per line."
        ) from error
    num_channels = sum(map(len, hierarchy.channels))
    if values.shape[1] != num_channels or frame_time_s <= 0 or not np.isfinite(values).all():
        raise FormatError(
            f"{path.name} has {values.shape[1]} values per frame; its hierarchy declares {num_channels} channels.",
            "Export the file again.",
        )
    local, root_position = _apply_channels(hierarchy, values)
    parents = tuple(hierarchy.parents)
    rest = rest_positions(parents, np.array(hierarchy.offsets))
    return SourceMotion(
        path.stem, tuple(hierarchy.names), rest, chain(parents, local), root_position, 1.0 / frame_time_s
    )


def _parse_hierarchy(tokens: list[str]) -> tuple[_Hierarchy, int]:
    """Parse up to the word MOTION; return the hierarchy and the index of that word's successor ``Frames:``."""
    hierarchy, stack, cursor, is_end_site = _Hierarchy(), [], 0, False
    while tokens[cursor] != "MOTION":
        word = tokens[cursor]
        if word in ("ROOT", "JOINT"):
            stack.append(len(hierarchy.names))
            hierarchy.parents.append(stack[-2] if len(stack) > 1 else -1)
            hierarchy.names.append(tokens[cursor + 1])
            hierarchy.offsets.append([0.0, 0.0, 0.0])
            hierarchy.channels.append([])
            cursor += 2
        elif word == "End":
            is_end_site = True
            cursor += 2
        elif word == "OFFSET":
            if not is_end_site:
                hierarchy.offsets[stack[-1]] = [float(value) for value in tokens[cursor + 1 : cursor + 4]]
            cursor += 4
        elif word == "CHANNELS":
            count = int(tokens[cursor + 1])
            hierarchy.channels[stack[-1]] = tokens[cursor + 2 : cursor + 2 + count]
            cursor += 2 + count
        elif word == "}":
            if is_end_site:
                is_end_site = False
            else:
                stack.pop()
            cursor += 1
        elif word in ("HIERARCHY", "{"):
            cursor += 1
        else:
            raise ValueError(word)
    return hierarchy, cursor


def _apply_channels(hierarchy: _Hierarchy, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    num_frames = values.shape[0]
    local = np.tile(np.eye(3), (num_frames, len(hierarchy.names), 1, 1))
    root_position = np.tile(np.array(hierarchy.offsets[0]), (num_frames, 1))
    column = 0
    for joint, channels in enumerate(hierarchy.channels):
        axes = "".join(name[0].upper() for name in channels if name.endswith("rotation"))
        angles = []
        for name in channels:
            if name.endswith("rotation"):
                angles.append(values[:, column])
            elif joint == 0:
                root_position[:, "XYZ".index(name[0].upper())] = values[:, column]
            column += 1
        if axes:
            # Upper-case axes are intrinsic in SciPy: the first channel is the outermost rotation, as BVH defines.
            local[:, joint] = Rotation.from_euler(axes, np.stack(angles, axis=1), degrees=True).as_matrix()
    return local, root_position
