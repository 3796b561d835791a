"""Named points of a posed body: SMPL-X's joint list, and COCO's 17 keypoints with or without a mesh.

COCO's face points are skin vertices in SMPL-X's fixed slots. They ride rigidly on the head joint and are linear in
shape and expression, so a skeleton is enough to place them.
"""

from __future__ import annotations

import torch
from smplx.lbs import blend_shapes
from smplx.vertex_ids import vertex_ids
from torch import Tensor, nn

from human3r.bodies.base import BodyMesh
from human3r.bodies.smplx import SmplxBody
from human3r.skeleton import Joint

COCO17_NAMES: tuple[str, ...] = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
)
"""COCO keypoints, COCO order; left is the body's own left."""

COCO17_JOINTS: tuple[int, ...] = (16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8)
"""SMPL-X joints of COCO's last twelve keypoints."""

_SLOTS = vertex_ids["smplx"]
COCO17_HEAD_VERTICES: tuple[int, ...] = tuple(_SLOTS[name] for name in ("nose", "leye", "reye", "lear", "rear"))
"""SMPL-X vertex slots of COCO's first five keypoints."""

_EXTRA_VERTICES: tuple[int, ...] = tuple(
    _SLOTS[name]
    for name in (
        *("nose", "reye", "leye", "rear", "lear"),
        *("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel"),
        *(f"{side}{finger}" for side in "lr" for finger in ("thumb", "index", "middle", "ring", "pinky")),
    )
)
"""The 21 vertices that the smplx package appends to the joints. Source: smplx, VertexJointSelector."""

COCO17_OFFSETS_M: tuple[tuple[float, float, float], ...] = (
    *((0.0, 0.0, 0.0),) * 5,
    *((-0.005, 0.022, -0.003), (0.005, 0.022, -0.003), (-0.013, 0.005, 0.009), (0.013, 0.005, 0.009)),
    *((-0.003, -0.005, 0.004), (0.003, -0.005, 0.004), (0.038, -0.005, 0.018), (-0.038, -0.005, 0.018)),
    *((0.002, -0.026, -0.002), (-0.002, -0.026, -0.002), (0.005, 0.017, 0.003), (-0.005, 0.017, 0.003)),
)
"""Where COCO annotators see the twelve body keypoints, relative to SMPL-X's joints (hips: 4 cm further out).

For ``CocoKeypoints``. Source: Anny 0.6.2's COCO keypoint regressor on the mean embedded body.
"""


def extended_joints(body: SmplxBody, mesh: BodyMesh) -> Tensor:
    """The smplx package's list of 127 points: 55 joints, 21 vertices, 51 static face landmarks: ``P 127 3``."""
    triangles = mesh.vertices[:, body.faces[body.landmark_faces]]
    landmarks = (triangles * body.landmark_weights[..., None]).sum(dim=-2)
    return torch.cat([mesh.joints, mesh.vertices[:, list(_EXTRA_VERTICES)], landmarks], dim=1)


def coco17(joints: Tensor, head_points: Tensor) -> Tensor:
    """Assemble COCO's 17 keypoints.

    Args:
        joints: ``P 55 3`` (or more joints, SMPL-X's first).
        head_points: ``P 5 3`` nose, left eye, right eye, left ear, right ear: the vertices ``COCO17_HEAD_VERTICES`` of
            a mesh, or ``CocoKeypoints.head_points``.

    Returns:
        ``P 17 3`` in the frame of the input.
    """
    return torch.cat([head_points, joints[:, list(COCO17_JOINTS)]], dim=1)


class CocoKeypoints(nn.Module):
    """COCO-17 from a posed skeleton, without the mesh.

    Args:
        body: The body model; only its tables are read, once.
        offsets: ``17 3`` constant offsets in metres, each in the rest axes of the joint that carries the keypoint (the
            head for the face), for detectors whose keypoints are not where the joints are. None means zero.
    """

    def __init__(self, body: SmplxBody, offsets: Tensor | None = None) -> None:
        super().__init__()
        slots = list(COCO17_HEAD_VERTICES)

        def keep(name: str, tensor: Tensor) -> None:
            self.register_buffer(name, tensor.detach().clone(), persistent=False)

        head = body.joint_template[Joint.HEAD]
        keep("template", body.template[slots] - head)
        keep("shape_directions", body.shape_directions[slots] - body.joint_shape_directions[Joint.HEAD])
        keep("expression_directions", body.expression_directions[slots] - body.joint_expression_directions[Joint.HEAD])
        keep("offsets", torch.zeros(17, 3) if offsets is None else offsets)
        keep("carriers", torch.tensor([Joint.HEAD] * 5 + list(COCO17_JOINTS)))

    def head_points(self, joints: Tensor, orientation: Tensor, betas: Tensor, expression: Tensor) -> Tensor:
        """Nose, eyes and ears, ``P 5 3``, riding on the posed head.

        Args:
            joints: ``P 55 3`` posed joints.
            orientation: ``P 55 3 3`` their global rotations, as ``SmplxBody.forward_kinematics`` gives them.
            betas: ``P 10``.
            expression: ``P 10``.
        """
        rest = self.template + blend_shapes(betas, self.shape_directions)
        rest = rest + blend_shapes(expression, self.expression_directions)
        return joints[:, Joint.HEAD, None] + rest @ orientation[:, Joint.HEAD].transpose(-1, -2)

    def forward(self, joints: Tensor, orientation: Tensor, betas: Tensor, expression: Tensor) -> Tensor:
        """All 17 keypoints, ``P 17 3``, in the frame of ``joints``; arguments as in ``head_points``."""
        points = coco17(joints, self.head_points(joints, orientation, betas, expression))
        return points + (orientation[:, self.carriers] @ self.offsets[..., None])[..., 0]
