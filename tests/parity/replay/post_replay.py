"""Replays what the reference makes of a run: chained cameras, focal lengths, posed bodies, exported parameters."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from human3r.bodies.joints import extended_joints
from human3r.bodies.placement import bodies_in_world, head_centered
from human3r.bodies.smplx import SmplxBody
from human3r.geometry.camera import intrinsics, project
from human3r.geometry.rigid import invert_rigid, transform_points
from human3r.models.paper.letterbox import letterbox_map_to_image
from human3r.models.paper.prompts import suppress_non_maxima
from human3r.records import BodyParameters
from tests.parity.replay.activations import View
from tests.parity.replay.network_replay import RunResult
from tests.parity.replay.released_functions import chain_segments
from tests.parity.replay.rows import (
    EXACT,
    FOCAL_TOLERANCE,
    OUTPUT_TOLERANCE,
    RowCollector,
    tensor_error,
)

_STRIDE = 50
"""Every 50th vertex was kept."""


def replay_post(
    tensors: Mapping[str, Tensor],
    result: RunResult,
    body: SmplxBody,
    source_size: tuple[int, int] | None,
    collector: RowCollector,
) -> None:
    """Compare every tensor of a ``_post`` file.

    Args:
        tensors: The file.
        result: The replayed run.
        body: The synthetic body.
        source_size: (height, width) that the exported intrinsics are scaled to; None keeps the network's.
        collector: Receives the rows.
    """
    T_world_camera = _cameras(result)
    found = _camera_file(result, T_world_camera, source_size)
    for index, view in enumerate(result.views):
        for name, values in (_frame(view, T_world_camera[index]) | _people(view, T_world_camera[index], body)).items():
            found[f"f{index}/{name}"] = values
    collector.compare_all(tensors, {name: (values, _tolerance(name, values)) for name, values in found.items()})


def replay_parameter_files(
    files: Mapping[str, Mapping], result: RunResult, body: SmplxBody, collector: RowCollector
) -> None:
    """Compare the exported parameter files, one per identity and frame, path by path."""
    found: dict[str, dict[str, Tensor]] = {}
    for index, (view, track_ids) in enumerate(zip(result.views, result.track_ids, strict=True)):
        parameters = _parameters(view, body)
        for row, track_id in enumerate(track_ids):
            found[f"{track_id:02d}/smplx_params/{index:05d}.json"] = _exported(parameters, row)
    different = sorted(found.keys() ^ files.keys())
    collector.check("files", not different, f"{len(different)} differ, first {different[:1]}")
    for path in found.keys() & files.keys():
        for name in files[path].keys() | found[path].keys():
            values, expected = found[path].get(name), files[path].get(name)
            if values is None or expected is None:
                collector.fail(name, f"{path} has it on one side only")
                continue
            recorded = torch.tensor(expected)
            if tensor_error(values, recorded, True) == 0:
                collector.check(name, True)
            else:
                collector.compare(name, values, recorded, OUTPUT_TOLERANCE)


def _tolerance(name: str, values: Tensor) -> float:
    if not values.is_floating_point():
        return EXACT
    return FOCAL_TOLERANCE if name == "focal" or "K" in name else OUTPUT_TOLERANCE


def _cameras(result: RunResult) -> Tensor:
    return chain_segments(torch.stack([view.prediction.T_segment_camera for view in result.views]), result.has_reset)


def _camera_file(result: RunResult, T_world_camera: Tensor, source_size: tuple[int, int] | None) -> dict[str, Tensor]:
    focal = torch.stack([view.prediction.focal_px for view in result.views])
    height, width = result.views[0].tokens.image_size
    source_height, source_width = source_size or (height, width)
    scale = torch.tensor([source_width / width, source_height / height, 1.0])[:, None]
    K = torch.stack([intrinsics(value.cpu(), (height, width)) for value in focal])
    T_camera_world = invert_rigid(T_world_camera)
    return {
        "focal": focal,
        "c2w": T_world_camera,
        "cameras.K": scale * K,
        "cameras.R_world2cam": T_camera_world[:, :3, :3],
        "cameras.t_world2cam": T_camera_world[:, :3, 3],
        "cameras.frame_idx": torch.arange(len(focal)),
    }


def _frame(view: View, T_world_camera: Tensor) -> dict[str, Tensor]:
    prediction, size = view.prediction, view.tokens.image_size
    score = suppress_non_maxima(view.tokens.human.score)  # type: ignore[attr-defined]
    return {
        "K_inference": intrinsics(prediction.focal_px, size),
        "msk_unpadded": prediction.person_mask[None],
        "scores_unpadded": letterbox_map_to_image(score[:, 0], size),
        "pts3d_world": transform_points(T_world_camera, prediction.pointmap_camera)[None],
    }


def _parameters(view: View, body: SmplxBody) -> BodyParameters:
    people = view.prediction.to("cpu")
    return head_centered(body, people.joint_rotations, people.head_camera, people.betas, people.expression)


def _people(view: View, T_world_camera: Tensor, body: SmplxBody) -> dict[str, Tensor]:
    people = view.prediction.to("cpu")
    K = intrinsics(people.focal_px, view.tokens.image_size)
    mesh = body(_parameters(view, body))
    joints, vertices = extended_joints(body, mesh), mesh.vertices[:, ::_STRIDE]
    in_world = bodies_in_world(
        people.joint_rotations, people.head_camera, people.betas, people.expression, T_world_camera.cpu(), body
    )[0]
    world = body(in_world)
    return {
        "smpl_j3d": joints,
        "smpl_j2d": project(joints, K),
        "smpl_v3d_s50": vertices,
        "smpl_v2d_s50": project(vertices, K),
        "smpl_transl": people.head_camera,
        "smpl_transl_pelvis": mesh.joints[:, :1],
        "world_j3d": extended_joints(body, world),
        "world_v3d_s50": world.vertices[:, ::_STRIDE],
    }


def _exported(parameters: BodyParameters, row: int) -> dict[str, Tensor]:
    """Return one person under the names of the reference's export; camera frame."""
    return {
        "betas": parameters.betas[row],
        "root_pose": parameters.global_orient[row],
        "body_pose": parameters.body_pose[row],
        "jaw_pose": parameters.jaw_pose[row],
        "leye_pose": parameters.leye_pose[row],
        "reye_pose": parameters.reye_pose[row],
        "lhand_pose": parameters.left_hand_pose[row],
        "rhand_pose": parameters.right_hand_pose[row],
        "trans": parameters.transl[row],
    }
