"""Fit lifted people to their keypoints: a few Gauss-Newton steps with the network's output as prior.

Unknowns are a small rotation of every joint about the axes of the camera and a translation of the pelvis (69 per
person), and the ten betas on request. The Jacobian is analytic: a descendant point of joint j moves by omega x (point -
joint).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from human3r.geometry.rigid import axis_angle_from_rotation, rotation_from_axis_angle
from human3r.models.compact.people.lifting.body_points import KEYPOINT_JOINTS, OFFSET_CARRIERS, BodyPoints
from human3r.models.compact.people.lifting.keypoint_encoder import VALID_SCORE, PersonKeypoints
from human3r.models.compact.people.lifting.lifter import LiftedPeople
from human3r.skeleton import BODY_PARENTS, NUM_BODY_JOINTS, Joint, bone_vectors, parent_rotations

_NUM_TURNS = 3 * NUM_BODY_JOINTS
_NUM_UNKNOWNS = _NUM_TURNS + 3
"""Without betas."""
_KNEES_AND_ANKLES = slice(13, 17)
_BENT_LEGS = (Joint.LEFT_HIP, Joint.RIGHT_HIP, Joint.LEFT_KNEE, Joint.RIGHT_KNEE)


@dataclass(frozen=True)
class RefineConfig:
    """Weights of the keypoints against the network's prediction."""

    steps: int = 2
    """A third step changes nothing measurable."""
    keypoint_sigma_m: float = 0.015
    """Error of a keypoint with a high score, at the person's distance; table in the training notes."""
    max_rotation_sigma: float = 0.25
    """Upper bound of a rotation's prior, radians: looser priors trade depth for a better fit in the image."""
    min_rotation_sigma: float = 0.03
    max_log_depth_sigma: float = 0.12
    beta_sigma: float | None = None
    """Prior of every beta; None keeps the betas."""
    across_sigma_m: float = 0.15
    """Prior of the pelvis across the line of sight; loose, because the keypoints determine it."""
    border_share: float = 0.045
    """Within this share of the long image side from the border a keypoint may belong to a joint outside."""
    border_blur: float = 5.0
    """Factor on the error of a keypoint at the border."""
    robust: float = 4.0
    """Scale of the Geman-McClure loss in sigmas: 6 cm. The lifter's own projections are 4 cm off on average, so smaller
    scales reject keypoints that are right; larger ones follow exchanged sides (table in the training notes)."""


@dataclass(frozen=True)
class UnseenLegs:
    """How hips and knees bend where no knee and no ankle is seen; angles in degrees."""

    standing: float = 12.0
    seated: float = 82.0
    middle: float = 48.0
    """Mean flexion of the hips from which people are seated."""
    width: float = 8.0
    """Of the transition."""
    seen: tuple[float, float] = (0.2, 0.3)
    """Best scores of knees and ankles up to which this applies fully, and from which not at all."""


def decide_legs(lifted: LiftedPeople, scores: Tensor, options: UnseenLegs | None = None) -> LiftedPeople:
    """Return the people with legs that nobody sees either stretched or seated.

    The lifter gives the mean over both, a half-seated pose that few people have. Source: of simulated people with
    unseen legs 34 % come out bent by 30 to 65 degrees, so decided 16 % (true: 21 %), at the same mean error.

    Args:
        lifted: P people.
        scores: ``P 17`` of their keypoints.
        options: Angles.
    """
    options = options or UnseenLegs()
    legs = lifted.joint_rotations[:, _BENT_LEGS]
    # The thigh points along -y of its axes; the rotation is relative to the pelvis.
    flexion = torch.atan2(-legs[:, :2, 2, 1], legs[:, :2, 1, 1]).mean(1).rad2deg()
    is_seated = torch.sigmoid((flexion - options.middle) / options.width)
    factor = (options.standing + (options.seated - options.standing) * is_seated) / flexion.clamp_min(1.0)
    # Legs that are straight already stay: a larger angle would also spread them.
    factor = torch.where(flexion < options.middle, factor.clamp(max=1.0), factor)
    none, certain = options.seen
    share = ((certain - scores[:, _KNEES_AND_ANKLES].amax(1)) / (certain - none)).clamp(0, 1)
    factor = 1 + share * (factor - 1)
    bent = rotation_from_axis_angle(factor[:, None, None] * axis_angle_from_rotation(legs))
    rotations = lifted.joint_rotations.clone()
    rotations[:, _BENT_LEGS] = torch.where((share > 0)[:, None, None, None], bent, legs)
    return replace(lifted, joint_rotations=rotations)


class Refiner(nn.Module):
    """Gauss-Newton over rotations and pelvis. No parameters."""

    _carried: Tensor
    _lengthened: Tensor

    def __init__(self, config: RefineConfig | None = None) -> None:
        super().__init__()
        self.config = config or RefineConfig()
        self.register_buffer("_carried", _carried_points(), persistent=False)
        self.register_buffer("_lengthened", _lengthened_points(), persistent=False)

    @torch.no_grad()
    def forward(self, lifted: LiftedPeople, people: PersonKeypoints, points: BodyPoints) -> LiftedPeople:
        """Return the people with refined rotations, pelvis and perhaps betas; predicted errors stay."""
        local, root, betas = lifted.joint_rotations, lifted.root_camera, lifted.betas
        rest, faces = points.rest(betas)
        prior = self._prior(lifted)
        change = torch.zeros_like(prior)
        for _ in range(self.config.steps):
            posed = points.pose(local, rest, faces)
            keypoints = posed.keypoints + root[:, None]
            residual, weight, depth = self._residuals(keypoints, people)
            jacobian = self._jacobian(keypoints, posed.joints + root[:, None], depth)
            if self.config.beta_sigma is not None:
                moves = self._moves_by_shape(posed.rotations, points)
                jacobian = torch.cat([jacobian, _projected(moves, keypoints, depth)], dim=-1)
            weighted = jacobian * weight.flatten(1)[..., None]
            normal = weighted.transpose(1, 2) @ jacobian + torch.diag_embed(prior)
            right = (weighted.transpose(1, 2) @ residual.flatten(1)[..., None])[..., 0] - prior * change
            # cholesky_ex neither raises nor waits for the device; people for whom it fails are left unchanged.
            factor, failed = torch.linalg.cholesky_ex(normal)
            update = torch.cholesky_solve(right[..., None], factor)[..., 0].clamp(-0.5, 0.5)
            update = torch.where((failed == 0)[:, None], update, torch.zeros_like(update)).nan_to_num(0.0)
            change = change + update
            local = _rotate_joints(local, posed.rotations, update[:, :_NUM_TURNS].unflatten(1, (NUM_BODY_JOINTS, 3)))
            root = _shift(root, update[:, _NUM_TURNS:_NUM_UNKNOWNS])
            if self.config.beta_sigma is not None:
                betas = betas + update[:, _NUM_UNKNOWNS:]
                rest, faces = points.rest(betas)
        return LiftedPeople(local, betas, root, lifted.rotation_sigma, lifted.log_depth_sigma)

    def _prior(self, lifted: LiftedPeople) -> Tensor:
        """Return inverse variances: three per rotation, the pelvis across (2) and in log depth (1), perhaps betas."""
        config = self.config
        sigma = lifted.rotation_sigma.clamp(config.min_rotation_sigma, config.max_rotation_sigma)
        across = torch.full_like(lifted.root_camera[:, :2], config.across_sigma_m)
        depth = lifted.log_depth_sigma[:, None].clamp(0.02, config.max_log_depth_sigma)
        sigmas = [sigma.repeat_interleave(3, dim=1), across, depth]
        if config.beta_sigma is not None:
            sigmas.append(torch.full_like(lifted.betas, config.beta_sigma))
        return torch.cat(sigmas, dim=1).pow(-2)

    def _residuals(self, keypoints: Tensor, people: PersonKeypoints) -> tuple[Tensor, Tensor, Tensor]:
        """Return residuals ``P 17 2`` on the image plane, their weights of the same shape, and depths ``P 17``."""
        depth = keypoints[..., 2].clamp_min(0.2)
        residual = people.points - keypoints[..., :2] / depth[..., None]
        score = people.scores
        # The detector reports joints outside of the image at its border with high scores.
        low, high = people.borders.reshape(-1, 1, 2, 2).unbind(2)
        room = torch.minimum(people.points - low, high - people.points).amin(-1)
        at_border = 1 - (room / (self.config.border_share * (high - low).amax(-1))).clamp(0, 1)
        # Measured errors by score: .062 of a torso above .7, .092 at .4, .156 at .25; nothing below .2.
        blur = 1.0 + 2.5 * ((0.7 - score).clamp_min(0) / 0.5) ** 1.5
        sigma = self.config.keypoint_sigma_m * (blur + self.config.border_blur * at_border) / depth
        squared = (residual / sigma[..., None]).square().sum(-1) / self.config.robust**2
        weight = (score > VALID_SCORE) / (sigma.square() * (1 + squared).square())
        return residual, weight[..., None].expand_as(residual), depth

    def _jacobian(self, keypoints: Tensor, joints: Tensor, depth: Tensor) -> Tensor:
        """Return the ``P 34 69`` derivative of the projections; the pelvis moves in meters across and in log depth."""
        count = keypoints.shape[0]
        arm = (keypoints[:, :, None] - joints[:, None]) * self._carried[None, :, :, None]
        x, y, z = arm.unbind(-1)
        zero = torch.zeros_like(x)
        # Rows: motion of the point along x, y, z; columns: rotation about x, y, z (omega cross arm).
        moves = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], dim=-1).unflatten(-1, (3, 3))
        moves = moves.permute(0, 1, 3, 2, 4).reshape(count, 17, 3, 3 * NUM_BODY_JOINTS)
        shift = torch.eye(3, dtype=keypoints.dtype, device=keypoints.device).expand(count, 17, 3, 3)
        root = joints[:, 0]
        # One unit of log depth moves the pelvis along its ray by its distance.
        shift = torch.cat([shift[..., :2], root[:, None, :, None].expand(count, 17, 3, 1)], dim=-1)
        return _projected(torch.cat([moves, shift], dim=-1), keypoints, depth)

    def _moves_by_shape(self, rotations: Tensor, points: BodyPoints) -> Tensor:
        """Return the ``P 17 3 10`` motion of the keypoints, given global rotations ``P 22 3 3``, per beta."""
        bones = bone_vectors(points.joint_directions.permute(2, 0, 1)).permute(1, 2, 0)
        turned = parent_rotations(rotations) @ bones
        turned[:, 0] = 0
        moves = (self._lengthened @ turned.flatten(2)).unflatten(-1, turned.shape[-2:])
        faces = rotations[:, Joint.HEAD, None] @ points.face_directions
        return torch.cat([moves[:, : faces.shape[1]] + faces, moves[:, faces.shape[1] :]], dim=1)


def _projected(moves: Tensor, keypoints: Tensor, depth: Tensor) -> Tensor:
    """Return ``P 34 U``: motions ``P 17 3 U`` of keypoints ``P 17 3`` on the image plane."""
    ray = keypoints[..., :2] / depth[..., None]
    return ((moves[:, :, :2] - ray[..., None] * moves[:, :, 2:]) / depth[..., None, None]).flatten(1, 2)


def _shift(root: Tensor, update: Tensor) -> Tensor:
    across = nn.functional.pad(update[:, :2], (0, 1))
    return (root + across) * update[:, 2:].exp()


def _rotate_joints(local: Tensor, rotations: Tensor, turns: Tensor) -> Tensor:
    """Rotate every joint by ``turns`` (``P 22 3``, camera axes) and return new local rotations."""
    if local.shape[0] == 0:
        return local
    own = rotation_from_axis_angle(turns)
    above = parent_rotations(rotations)
    turned = above.transpose(-1, -2) @ own @ above @ local
    first = (own[:, 0] @ local[:, 0])[:, None]
    return torch.cat([first, turned[:, 1:]], dim=1)


def _carried_points() -> Tensor:
    """Return ``17 22``: 1 where a rotation of the joint moves the keypoint."""
    pairs = zip(KEYPOINT_JOINTS, OFFSET_CARRIERS, strict=True)
    # The carrier of the offset is the joint itself or an ancestor of it.
    return _chains([carrier if joint == carrier else BODY_PARENTS[joint] for joint, carrier in pairs])


def _lengthened_points() -> Tensor:
    """Return ``17 22``: 1 where the bone that ends in the joint carries the keypoint."""
    chains = _chains(KEYPOINT_JOINTS)
    chains[:, Joint.PELVIS] = 0
    return chains


def _chains(joints: Sequence[int]) -> Tensor:
    """Return ``n 22``: 1 for each of the n joints and what it hangs from, up to the pelvis."""
    chains = torch.zeros(len(joints), NUM_BODY_JOINTS)
    for row, joint in enumerate(joints):
        while joint >= 0:
            chains[row, joint] = 1.0
            joint = BODY_PARENTS[joint]
    return chains
