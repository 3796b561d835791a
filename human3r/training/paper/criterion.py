"""Loss terms by name and validation metrics from predictions and ground truth."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from human3r.bodies import SmplxBody
from human3r.geometry.camera import unproject
from human3r.geometry.rigid import quaternion_from_rotation, transform_points
from human3r.models.config import PaperConfig
from human3r.records import TensorRecord
from human3r.skeleton import Joint
from human3r.training.paper.config import LossSettings, VariantSettings
from human3r.training.paper.data.dataset import TrueClips
from human3r.training.paper.data.people_truth import (
    Assignment,
    Bodies,
    assign_heads,
    pose_predicted,
    pose_truth,
    true_heads,
)
from human3r.training.paper.losses import (
    bce_loss,
    camera_loss,
    confidence_loss,
    focal_loss,
    mask_in_square,
    person_l1,
    projected_l1,
    regression_loss,
    rgb_loss,
    scene_scale,
)
from human3r.training.paper.network import ClipInput, ClipPredictions, true_world
from human3r.training.paper.rays import ray_maps


@dataclass(frozen=True)
class Targets(TensorRecord):
    """Ground truth of B clips in the form that the loss terms use."""

    pointmap_camera: Tensor
    """``B N H W 3`` meters."""
    pointmap_world: Tensor
    """``B N H W 3`` meters, frame of the first view."""
    valid: Tensor
    """``B N H W`` bool: there is a surface."""
    T_world_camera: Tensor
    """``B N 4 4``, world is the first view's camera."""
    heads: Tensor
    """``B N M 3`` meters, camera frame."""
    assignment: Assignment


@dataclass(frozen=True)
class LossTerms(TensorRecord):
    """Scalars, without their weights; names as in ``LossSettings``."""

    confidence: Tensor
    camera: Tensor
    rgb: Tensor
    detection: Tensor
    mask: Tensor
    rotations: Tensor
    betas: Tensor
    head: Tensor
    joints_local: Tensor
    vertices_local: Tensor
    joints: Tensor
    vertices: Tensor
    joints_uv: Tensor
    vertices_uv: Tensor

    def named(self) -> dict[str, Tensor]:
        """Return the terms by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def total_loss(terms: LossTerms, settings: LossSettings) -> Tensor:
    """Return the weighted sum; projected terms count only while the vertex term is below ``uv_below_m``."""
    is_near = (terms.vertices.detach() < settings.uv_below_m).to(terms.vertices.dtype)
    total = torch.zeros_like(terms.confidence)
    for name, value in terms.named().items():
        weight = getattr(settings, name)
        if weight:
            total = total + weight * (is_near * value if name in ("joints_uv", "vertices_uv") else value)
    return total


def prepare_targets(
    clips: TrueClips, body: SmplxBody, parts: PaperConfig, variant: VariantSettings
) -> tuple[ClipInput, Targets]:
    """Return the network input and the loss targets of B clips."""
    size = (clips.image.shape[-2], clips.image.shape[-1])
    T_world_camera = true_world(clips.T_world_camera)
    pointmaps = [
        torch.stack([unproject(depth, K) for depth, K in zip(*clip, strict=True)])
        for clip in zip(clips.depth, clips.K, strict=True)
    ]
    pointmap_camera = torch.stack(pointmaps)
    heads = true_heads(body, clips.people)
    assignment = assign_heads(
        heads, clips.people.is_present, clips.K, size, parts.human_image_size, parts.human_patch_size,
        variant.truncated_heads,
    )  # fmt: skip
    targets = Targets(
        pointmap_camera=pointmap_camera,
        pointmap_world=_moved(T_world_camera, pointmap_camera),
        valid=clips.depth > 0,
        T_world_camera=T_world_camera,
        heads=heads,
        assignment=assignment,
    )
    rays = ray_maps(clips.K, T_world_camera, size) if bool(clips.has_ray.any()) else None
    return ClipInput(clips.image, rays, clips.has_ray, assignment.cells, assignment.is_owner), targets


def loss_terms(
    predictions: ClipPredictions,
    clips: TrueClips,
    targets: Targets,
    body: SmplxBody,
    settings: LossSettings,
    variant: VariantSettings,
) -> LossTerms:
    """Compare B clips; everything in the precision of the predictions."""
    truths = (targets.pointmap_camera, targets.pointmap_world)
    pointmaps = (predictions.pointmap_camera, predictions.pointmap_world)
    confidences = (predictions.confidence, predictions.confidence_world)
    scale = scene_scale(truths, confidences, targets.valid)
    true_translation = targets.T_world_camera[..., :3, 3]
    true_quat = quaternion_from_rotation(targets.T_world_camera[..., :3, :3])
    detect = focal_loss if variant.detection_loss == "focal" else bce_loss
    return LossTerms(
        confidence=confidence_loss(pointmaps, truths, confidences, targets.valid, scale, settings.confidence_price),
        camera=camera_loss(predictions.translation, predictions.quat_wxyz, true_translation, true_quat, scale),
        rgb=rgb_loss(predictions.rgb, clips.image),
        detection=detect(predictions.score, targets.assignment.score_target.to(predictions.score.dtype)),
        mask=bce_loss(predictions.mask, true_mask(clips, predictions, variant)),
        **_human_terms(predictions, clips, targets, body),
    )


def _human_terms(
    predictions: ClipPredictions, clips: TrueClips, targets: Targets, body: SmplxBody
) -> dict[str, Tensor]:
    selected = targets.assignment.is_owner
    num_views = selected.shape[1]
    size = (clips.image.shape[-2], clips.image.shape[-1])
    view = selected.nonzero()[:, 1]
    K = clips.K[:, :, None].expand(*selected.shape, 3, 3)[selected]
    predicted, true = posed_pairs(predictions, clips, targets, body)

    def l1(prediction: Tensor, truth: Tensor) -> Tensor:
        return person_l1(prediction, truth, view, num_views)

    def local(bodies: Bodies, points: Tensor) -> Tensor:
        return points - bodies.joints[:, Joint.PELVIS, None]

    return {
        "rotations": l1(predictions.joint_rotations[selected], clips.people.joint_rotations[selected]),
        "betas": l1(predictions.betas[selected], clips.people.betas[selected][:, :10]),
        "head": l1(predictions.head_camera[selected], targets.heads[selected]),
        "joints_local": l1(local(predicted, predicted.joints), local(true, true.joints)),
        "vertices_local": l1(local(predicted, predicted.vertices), local(true, true.vertices)),
        "joints": l1(predicted.joints, true.joints),
        "vertices": l1(predicted.vertices, true.vertices),
        "joints_uv": projected_l1(predicted.joints, true.joints, K, size, view, num_views),
        "vertices_uv": projected_l1(predicted.vertices, true.vertices, K, size, view, num_views),
    }


def true_mask(clips: TrueClips, predictions: ClipPredictions, variant: VariantSettings) -> Tensor:
    """Return the true person masks, 0 or 1, in the shape of the predicted ones."""
    if variant.mask_source == "image":
        return clips.person_mask
    square = mask_in_square(clips.person_mask.flatten(0, 1), predictions.mask.shape[-1])
    return square.view_as(predictions.mask)


def posed_pairs(
    predictions: ClipPredictions, clips: TrueClips, targets: Targets, body: SmplxBody
) -> tuple[Bodies, Bodies]:
    """Return the P supervised people, predicted and true, in the order of the slots."""
    selected = targets.assignment.is_owner
    true = pose_truth(body, clips.people, selected)
    betas = predictions.betas[selected]
    missing = body.shape_directions.shape[-1] - betas.shape[-1]
    predicted = pose_predicted(
        body,
        predictions.joint_rotations[selected],
        torch.cat((betas, betas.new_zeros(len(betas), missing)), dim=-1),
        predictions.expression[selected],
        predictions.head_camera[selected],
    )
    return predicted, true


def validation_terms(
    predictions: ClipPredictions,
    clips: TrueClips,
    targets: Targets,
    body: SmplxBody,
    settings: LossSettings,
    variant: VariantSettings,
) -> dict[str, float]:
    """Return the terms of a validation batch by name: dense and camera terms in meters, the rest as in training.

    ``total`` selects the best network.
    """
    terms = loss_terms(predictions, clips, targets, body, settings, variant)
    truths = (targets.pointmap_camera, targets.pointmap_world)
    pointmaps = (predictions.pointmap_camera, predictions.pointmap_world)
    pointmap_m = regression_loss(pointmaps, truths, targets.valid)
    camera_m = camera_loss(
        predictions.translation,
        predictions.quat_wxyz,
        targets.T_world_camera[..., :3, 3],
        quaternion_from_rotation(targets.T_world_camera[..., :3, :3]),
        torch.ones_like(predictions.translation[:, 0, 0]),
    )
    human = {
        name: value for name, value in terms.named().items() if name not in ("confidence", "camera", "rgb")
    }  # fmt: skip
    weighted = total_loss(LossTerms(**{**terms.named(), "confidence": pointmap_m, "camera": camera_m}), settings)
    values = {"total": weighted, "pointmap_m": pointmap_m, "camera_m": camera_m, "rgb": terms.rgb} | human
    values["pointmap_shape"] = regression_loss(pointmaps, truths, targets.valid, is_scale_invariant=True)
    return {name: float(value.detach()) for name, value in values.items()}


def _moved(T_world_camera: Tensor, points: Tensor) -> Tensor:
    """Return ``B N H W 3`` points in world."""
    return transform_points(T_world_camera[:, :, None], points)
