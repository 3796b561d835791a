"""Readers of the two physics humanoids: DeepMimic's text clips and AMP's arrays.

DeepMimic: y up, facing +x; 44 numbers per frame. AMP: axes and rest offsets of the file (z up, facing +x).
Source: DeepMimic (MIT) and IsaacGymEnvs (BSD-3) repositories, layout of their motion files.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.errors import FormatError
from human3r.training.motion.source import SourceMotion, chain, rest_positions

_DEEPMIMIC_JOINTS: tuple[tuple[str, int, tuple[float, float, float], int], ...] = (
    # name, parent, rest offset from the parent (meters, y up, facing +x, right = +z), number of values
    ("root", -1, (0.0, 0.0, 0.0), 4),
    ("chest", 0, (0.0, 0.236, 0.0), 4),
    ("neck", 1, (0.0, 0.224, 0.0), 4),
    ("right_hip", 0, (0.0, 0.0, 0.085), 4),
    ("right_knee", 3, (0.0, -0.422, 0.0), 1),
    ("right_ankle", 4, (0.0, -0.410, 0.0), 4),
    ("right_shoulder", 1, (-0.024, 0.244, 0.183), 4),
    ("right_elbow", 6, (0.0, -0.275, 0.0), 1),
    ("left_hip", 0, (0.0, 0.0, -0.085), 4),
    ("left_knee", 8, (0.0, -0.422, 0.0), 1),
    ("left_ankle", 9, (0.0, -0.410, 0.0), 4),
    ("left_shoulder", 1, (-0.024, 0.244, -0.183), 4),
    ("left_elbow", 11, (0.0, -0.275, 0.0), 1),
    ("right_wrist", 7, (0.0, -0.259, 0.0), 0),
    ("left_wrist", 12, (0.0, -0.259, 0.0), 0),
)


def read_deepmimic(path: Path) -> SourceMotion:
    """Read one DeepMimic humanoid clip.

    Raises:
        FormatError: The file is not JSON with 44 numbers per frame.
    """
    try:
        frames = np.array(json.loads(path.read_text(encoding="utf-8"))["Frames"], dtype=np.float64)
        if frames.ndim != 2 or frames.shape[1] != 44:
            raise ValueError(str(frames.shape))
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(
            f"{path.name} is not a DeepMimic humanoid clip.", "Give JSON with 44 numbers per frame."
        ) from error
    parents = tuple(joint[1] for joint in _DEEPMIMIC_JOINTS)
    local = np.tile(np.eye(3), (len(frames), len(parents), 1, 1))
    rest = rest_positions(parents, np.array([joint[2] for joint in _DEEPMIMIC_JOINTS]))
    column = 4
    for index, (_, _, _, width) in enumerate(_DEEPMIMIC_JOINTS):
        if width == 4:
            quat_wxyz = frames[:, column : column + 4]
            local[:, index] = Rotation.from_quat(quat_wxyz[:, [1, 2, 3, 0]]).as_matrix()
        elif width == 1:
            local[:, index] = Rotation.from_euler("z", frames[:, column : column + 1]).as_matrix().reshape(-1, 3, 3)
        column += width
    fps = 1.0 / max(float(np.median(frames[:, 0])), 1e-3)
    names = tuple(joint[0] for joint in _DEEPMIMIC_JOINTS)
    return SourceMotion(path.stem, names, rest, chain(parents, local), frames[:, 1:4], fps)


def read_amp(path: Path) -> SourceMotion:
    """Read one AMP clip.

    Arrays: ``rotation_xyzw``, ``is_local``, ``root_translation``, ``fps``, ``node_names``, ``parents`` and
    ``local_translation``.

    Raises:
        FormatError: An array is missing or has another shape.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            quat_xyzw = arrays["rotation_xyzw"].astype(np.float64)
            parents = tuple(int(parent) for parent in arrays["parents"])
            offsets = arrays["local_translation"].astype(np.float64)
            names = tuple(str(name) for name in arrays["node_names"])
            root_position = arrays["root_translation"].astype(np.float64)
            fps, is_local = float(arrays["fps"]), bool(arrays["is_local"])
        rotations = Rotation.from_quat(quat_xyzw.reshape(-1, 4)).as_matrix().reshape(*quat_xyzw.shape[:2], 3, 3)
        rest = rest_positions(parents, offsets)
        global_rotations = chain(parents, rotations) if is_local else rotations
    except (ValueError, KeyError, IndexError, OSError) as error:
        raise FormatError(f"{path.name} is not an AMP motion file.", "See the reader's list of arrays.") from error
    return SourceMotion(path.stem, names, rest, global_rotations, root_position, fps)
