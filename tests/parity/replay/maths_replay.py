"""Replays recorded formulas: rotary positions, poses, activations, rotations, focal lengths, detection, assignment."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from human3r.geometry import camera, rigid
from human3r.models.layers.attention import rotate
from human3r.models.layers.rope import Rotary
from human3r.models.paper import heads
from human3r.models.paper.dinov2 import resize_positions, squeezed_sigmoid
from human3r.models.paper.letterbox import letterbox_points_to_image
from human3r.models.paper.prompts import image_cells, locate_heads, suppress_non_maxima
from human3r.tracking.assignment import log_optimal_transport
from tests.parity.replay.released_functions import chain_segments, field_of_view_intrinsics, median_focal_from_pointmap
from tests.parity.replay.rows import (
    EXACT,
    FOCAL_TOLERANCE,
    FUNCTION_TOLERANCE,
    NEAR_PI_TOLERANCE,
    ROTARY_TOLERANCE,
    RowCollector,
)

Found = dict[str, tuple[Tensor, float]]
"""Tensor and tolerance by name."""
Tensors = Mapping[str, Tensor]

_ROPE_BASE = 100.0
_PATCH, _HUMAN_PATCH = 16, 14
_THRESHOLD = 0.3
_SCORE_GAIN = 10
"""The recording scales the logits, so that the ends of the range are met."""
_NEAR_PI = 3.0
"""Radians."""


def replay_maths(tensors: Tensors, collector: RowCollector) -> None:
    """Compare every tensor of the file with what our functions make of its inputs."""
    found: Found = {}
    given: set[str] = set()
    for replay, inputs in _REPLAYS:
        found |= replay(tensors)
        given.update(name for name in tensors if re.fullmatch(inputs, name))
    collector.compare_all(tensors, found, given)


def _cases(tensors: Tensors, pattern: str) -> list[str]:
    """Return the distinct prefixes of names that match."""
    return sorted({match[0] for match in map(re.compile(pattern).match, tensors) if match})


def _rotary(tensors: Tensors) -> Found:
    found: Found = {}
    for case in _cases(tensors, r"rope2d/D\d+/"):
        tokens, positions = tensors[f"{case}tokens"], tensors[f"{case}positions"]
        table = Rotary(tokens.shape[-1], _ROPE_BASE).table
        for name, has_half_rounding in (("out", False), ("out_half_kernel", True)):
            rotated = [
                rotate(tokens[index : index + 1], table(row), has_half_rounding) for index, row in enumerate(positions)
            ]
            found[case + name] = (torch.cat(rotated), ROTARY_TOLERANCE)
    return found


def _poses(tensors: Tensors) -> Found:
    translation, quaternion = heads.decode_camera(tensors["pose/raw7"])
    T = rigid.rigid_transform(rigid.rotation_from_quaternion(quaternion), translation)
    recorded = tensors["pose/c2w"]
    half = len(recorded) // 2
    relative = rigid.invert_rigid(recorded[:half]) @ recorded[half:]
    length = len(tensors["pose/matrix_cumprod"])
    encoding = torch.cat((recorded[:, :3, 3], rigid.quaternion_from_rotation(recorded[:, :3, :3])), dim=-1)
    return {
        "pose/encoded_t_qwxyz": (torch.cat((translation, quaternion), dim=-1), FUNCTION_TOLERANCE),
        "pose/c2w": (T, FUNCTION_TOLERANCE),
        "pose/c2w_to_encoding": (encoding, FUNCTION_TOLERANCE),
        "pose/relative_t": (relative[:, :3, 3], FUNCTION_TOLERANCE),
        "pose/relative_q": (rigid.quaternion_from_rotation(relative[:, :3, :3]), FUNCTION_TOLERANCE),
        "pose/matrix_cumprod": (chain_segments(recorded[:length], [True] * length), FUNCTION_TOLERANCE),
    }


def _geometry(tensors: Tensors) -> Found:
    found: Found = {}
    for name in _cases(tensors, r"geo/geotrf_c2w\d+"):
        T = tensors["pose/c2w"][int(name.removeprefix("geo/geotrf_c2w"))]
        found[name] = (rigid.transform_points(T, tensors["geo/pts"]), FUNCTION_TOLERANCE)
    sides = [int(name.removeprefix("geo/K_pseudo_")) for name in _cases(tensors, r"geo/K_pseudo_\d+")]
    for side in sides:
        found[f"geo/K_pseudo_{side}"] = (field_of_view_intrinsics(side)[None], FUNCTION_TOLERANCE)
    if sides and "geo/proj_in" in tensors:
        K = field_of_view_intrinsics(max(sides))
        found["geo/proj_out"] = (camera.project(tensors["geo/proj_in"], K), FUNCTION_TOLERANCE)
    return found


def _activations(tensors: Tensors) -> Found:
    raw = tensors["heads/fmap"]
    points, confidence = heads.split_points(raw)
    colors = heads.bounded_colors(raw[:, :3]).permute(0, 2, 3, 1)
    return {
        "heads/pts3d": (points[None], FUNCTION_TOLERANCE),
        "heads/conf": (confidence[None], FUNCTION_TOLERANCE),
        "heads/rgb": (colors, FUNCTION_TOLERANCE),
        "heads/score": (squeezed_sigmoid(_SCORE_GAIN * raw), FUNCTION_TOLERANCE),
        "heads/transl": (heads.exponential_points(tensors["heads/transl_raw"]), FUNCTION_TOLERANCE),
    }


def _rotations(tensors: Tensors) -> Found:
    from_six = rigid.rotation_from_6d(tensors["rot/sixd"])
    from_vector = rigid.rotation_from_axis_angle(tensors["rot/rv_in"])
    vectors, roundtrip = tensors["rot/rotvec"], tensors["rot/rv_roundtrip"]

    def tolerance(expected: Tensor) -> float:
        return NEAR_PI_TOLERANCE if bool((expected.norm(dim=-1) > _NEAR_PI).any()) else FUNCTION_TOLERANCE

    return {
        "rot/rotmat": (from_six, FUNCTION_TOLERANCE),
        "rot/rotvec": (rigid.axis_angle_from_rotation(tensors["rot/rotmat"]), tolerance(vectors)),
        "rot/rv_to_mat": (from_vector, FUNCTION_TOLERANCE),
        "rot/rv_roundtrip": (rigid.axis_angle_from_rotation(tensors["rot/rv_to_mat"]), tolerance(roundtrip)),
    }


def _focal_lengths(tensors: Tensors) -> Found:
    found: Found = {}
    for case in _cases(tensors, r"focal/\d+/"):
        pointmap = tensors[f"{case}pts3d"][0]
        found[f"{case}weiszfeld"] = (camera.focal_from_pointmap(pointmap)[None], FOCAL_TOLERANCE)
        found[f"{case}median"] = (median_focal_from_pointmap(pointmap)[None], FOCAL_TOLERANCE)
    return found


def _detection(tensors: Tensors) -> Found:
    score = suppress_non_maxima(tensors["det/scores"])
    cells = (score[:, 0] >= _THRESHOLD).nonzero()
    found: Found = {"det/nms": (score, FUNCTION_TOLERANCE), "det/idx_b_h_w": (cells, EXACT)}
    if tuple(cells.shape) != tuple(tensors["det/idx_b_h_w"].shape):
        return found
    located = locate_heads(cells[:, 1:], tensors["det/offset"], _HUMAN_PATCH)
    found["det/loc_xy"] = (located, FUNCTION_TOLERANCE)
    for name in _cases(tensors, r"det/loc_in_\d+x\d+"):
        height, width = (int(side) for side in name.removeprefix("det/loc_in_").split("x"))
        inside = letterbox_points_to_image(located, score.shape[-1] * _HUMAN_PATCH, (height, width))
        found[name] = (inside, FUNCTION_TOLERANCE)
        found[f"det/patch_xy_{_PATCH}"] = (image_cells(inside, _PATCH).flip(-1), EXACT)
    return found


def _assignment(tensors: Tensors) -> Found:
    return {
        f"{case}log_ot": (log_optimal_transport(tensors[f"{case}scores"][0])[None], FUNCTION_TOLERANCE)
        for case in _cases(tensors, r"ot/\d+/")
    }


def _positions(tensors: Tensors) -> Found:
    embedding = tensors["dino_pos/pos_embed"]
    grid = round((embedding.shape[1] - 1) ** 0.5)
    found: Found = {}
    for name in _cases(tensors, r"dino_pos/interp_\d+"):
        side = int(name.removeprefix("dino_pos/interp_")) // _HUMAN_PATCH
        found[name] = (resize_positions(embedding, grid, side, 0.1), FUNCTION_TOLERANCE)
    return found


_REPLAYS: tuple[tuple[Callable[[Tensors], Found], str], ...] = (
    (_rotary, r"rope2d/D\d+/(tokens|positions)"),
    (_poses, r"pose/raw7"),
    (_geometry, r"geo/(pts|proj_in)"),
    (_activations, r"heads/(fmap|transl_raw)"),
    (_rotations, r"rot/(sixd|rv_in)"),
    (_focal_lengths, r"focal/\d+/(pts3d|true_f_noise)"),
    (_detection, r"det/(scores|offset)"),
    (_assignment, r"ot/\d+/scores"),
    (_positions, r"dino_pos/pos_embed"),
)
"""Replays and the names of their inputs."""
