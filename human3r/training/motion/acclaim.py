"""Reader of Acclaim skeletons and motions (ASF + AMC), as the CMU database publishes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.errors import FormatError
from human3r.training.motion.source import SourceMotion, chain

CMU_FPS = 120.0
"""AMC files carry no rate; those of the CMU database were captured at 120 frames per second (its FAQ)."""


def read_acclaim(amc_path: Path, asf_path: Path) -> SourceMotion:
    """Read one AMC motion with the ASF skeleton it belongs to.

    Raises:
        FormatError: One of the two files is not Acclaim text.
    """
    try:
        bones = _read_bones(asf_path)
        frames = _read_frames(amc_path)
        return _assemble(amc_path.stem, bones, frames)
    except (ValueError, IndexError, KeyError) as error:
        raise FormatError(
            f"{amc_path.name} does not fit the skeleton {asf_path.name}.", "Keep each AMC beside its subject's ASF."
        ) from error


def _read_bones(path: Path) -> dict[str, dict[str, list[str]]]:
    """Return every bone's lines by keyword; ``parent`` is added from the hierarchy; the root comes first."""
    bones: dict[str, dict[str, list[str]]] = {"root": {"axis": ["0", "0", "0"], "parent": [""]}}
    section, bone = "", {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].startswith(":"):
            section = words[0]
        elif section == ":bonedata":
            if words[0] == "begin":
                bone = {}
            elif words[0] == "end":
                bones[bone["name"][0]] = bone
            else:
                bone[words[0]] = words[1:]
        elif section == ":hierarchy" and words[0] not in ("begin", "end"):
            for child in words[1:]:
                bones[child]["parent"] = [words[0]]
    return bones


def _read_frames(path: Path) -> list[dict[str, list[float]]]:
    frames: list[dict[str, list[float]]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if not words or words[0][0] in "#:":
            continue
        if len(words) == 1 and words[0].isdigit():
            frames.append({})
        else:
            frames[-1][words[0]] = [float(word) for word in words[1:]]
    return frames


def _assemble(name: str, bones: dict[str, dict[str, list[str]]], frames: list[dict[str, list[float]]]) -> SourceMotion:
    order = ["root"]
    while len(order) < len(bones):
        order += [bone for bone in bones if bone not in order and bones[bone]["parent"][0] in order]
    parents = tuple(order.index(bones[bone]["parent"][0]) if bone != "root" else -1 for bone in order)
    rest = np.zeros((len(order), 3))
    local = np.tile(np.eye(3), (len(frames), len(order), 1, 1))
    for index, bone in enumerate(order):
        facts = bones[bone]
        parent = bones[order[parents[index]]] if index else {}
        if index:
            reach = float(parent["length"][0]) if "length" in parent else 0.0
            direction = np.array(parent.get("direction", ["0", "0", "0"]), dtype=np.float64)
            rest[index] = rest[parents[index]] + reach * direction
        degrees = np.zeros((len(frames), 3))
        axes = facts.get("dof", []) if index else ["rx", "ry", "rz"]
        for column, axis in enumerate(axes):
            source_column = column + (0 if index else 3)
            degrees[:, "xyz".index(axis[1])] = [frame[bone][source_column] for frame in frames] if axes else 0.0
        frame_of_bone = Rotation.from_euler("xyz", [float(value) for value in facts["axis"][:3]], degrees=True)
        motion = Rotation.from_euler("xyz", degrees, degrees=True)
        local[:, index] = (frame_of_bone * motion * frame_of_bone.inv()).as_matrix()
    root_position = np.array([frame["root"][:3] for frame in frames])
    return SourceMotion(name, tuple(order), rest, chain(parents, local), root_position, CMU_FPS)
