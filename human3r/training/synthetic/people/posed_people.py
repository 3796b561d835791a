"""People in a scene: shape, action, position, posed and dressed meshes with SMPL-X ground truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from human3r.bodies import SmplxBody
from human3r.training.motion import STANDARD_REST_JOINTS, Motion
from human3r.training.synthetic.people.acting import Action, draw_action
from human3r.training.synthetic.people.wardrobe import BodyTemplate, Outfit, body_template, dress
from human3r.training.synthetic.places.scene import Scene
from human3r.training.synthetic.places.surfaces import cloth_surface, trim_surface
from human3r.training.synthetic.rendering.mesh import Mesh, join_meshes
from human3r.training.synthetic.rendering.textures import TextureBank

MIN_DISTANCE_M = 0.55
"""Between the pelvises of two people."""


DrawFingers = Callable[[np.random.Generator, int], np.ndarray]
"""From a generator and T to ``T 30 3`` rotation vectors of the joints of the left and the right hand."""
TurnWrists = Callable[[np.random.Generator, np.ndarray], np.ndarray]
"""From a generator and local rotations ``T 55 3 3`` to those with other wrists."""


@dataclass(frozen=True)
class Actor:
    """One person over the ``T`` frames of a clip; everything in the scene frame."""

    action: Action
    betas: np.ndarray
    """``10``"""
    expression: np.ndarray
    """``10``, constant."""
    rotations: np.ndarray
    """``T 55 3 3`` local rotations, SMPL-X order (root, body, jaw, eyes, left hand, right hand)."""
    transl: np.ndarray
    """``T 3`` as SMPL-X takes it."""
    joints: np.ndarray
    """``T 55 3``"""
    vertices: np.ndarray
    """``T V 3`` float32, dressed."""
    mesh: Mesh
    """Topology and materials; the vertices are those of the first frame."""
    seat: Mesh | None
    """Static seat of a seated person."""


class Cast:
    """Makes actors for one body model."""

    def __init__(
        self,
        body: SmplxBody,
        motions: list[Motion],
        draw_fingers: DrawFingers | None = None,
        turn_wrists: TurnWrists | None = None,
    ) -> None:
        """Prepare the dressing; hands are mildly curled and do not move, and wrists are those of the motion, if not
        drawn otherwise."""
        self._body, self._motions, self._draw_fingers = body, motions, draw_fingers or _curled_fingers
        self._turn_wrists = turn_wrists
        self._template: BodyTemplate = body_template(body)

    def make(
        self,
        rng: np.random.Generator,
        scene: Scene,
        others: list[Actor],
        time_s: np.ndarray,
        focus: np.ndarray,
        is_validation: bool,
    ) -> Actor | None:
        """Make one person near ``focus`` (x, z) without collisions; None if no free position is found."""
        betas = draw_shape(rng)
        for attempt in range(8):
            action = draw_action(rng, self._motions, time_s, is_validation, held_share=0.35 + 0.08 * attempt)
            path = self._scaled_path(action, betas)
            placed = _find_place(rng, scene, others, path[:, [0, 2]], focus)
            if placed is not None:
                return self.perform(rng, action, betas, placed, scene.bank)
        return None

    def perform(
        self,
        rng: np.random.Generator,
        action: Action,
        betas: np.ndarray,
        placed: tuple[float, np.ndarray],
        bank: TextureBank,
    ) -> Actor:
        """Dress and pose a body; ``placed`` is (heading about y in radians, start position (x, z))."""
        heading, spot = placed
        outfit = dress(rng, self._template, bank)
        expression = rng.normal(0, 0.6, 10)
        rotations = self._full_rotations(rng, action)
        turn = Rotation.from_euler("y", heading).as_matrix()
        rotations[:, 0] = turn @ rotations[:, 0]
        pelvis = self._scaled_path(action, betas) @ turn.T + [spot[0], 0, spot[1]]
        joints, vertices, bare_low = self._pose(rotations, betas, expression, outfit)
        low = bare_low + pelvis[:, 1]
        lift = np.full(len(low), -low.min()) if action.is_airborne else -low
        if action.kind == "seated":
            # The seat is static: its height fits the first frame.
            lift = np.full(len(low), lift[0])
        pelvis = pelvis + np.stack([0 * lift, lift, 0 * lift], -1)
        joints, vertices = joints + pelvis[:, None], vertices + pelvis[:, None].astype(np.float32)
        seat = _seat(rng, vertices[0], joints[0], bank) if action.kind == "seated" else None
        faces = self._template.faces
        no_normals = np.zeros((len(faces), 3, 3), np.float32)
        mesh = Mesh(vertices[0], faces, no_normals, outfit.uv, outfit.face_material, outfit.materials)
        transl = pelvis - self._rest_joints(betas, expression)[0]
        return Actor(action, betas, expression, rotations, transl, joints, vertices, mesh, seat)

    def _rest_joints(self, betas: np.ndarray, expression: np.ndarray) -> np.ndarray:
        tensors = [torch.from_numpy(values[None].astype(np.float32)) for values in (betas, expression)]
        return self._body.rest_joints(*tensors)[0].double().numpy()

    def _scaled_path(self, action: Action, betas: np.ndarray) -> np.ndarray:
        """Scale the captured path of the pelvis to the length of this person's legs."""
        rest = self._rest_joints(betas, np.zeros(10))
        length = rest[0, 1] - rest[7, 1]
        standard = STANDARD_REST_JOINTS[0, 1] - STANDARD_REST_JOINTS[7, 1]
        return action.root_position * (length / standard)

    def _full_rotations(self, rng: np.random.Generator, action: Action) -> np.ndarray:
        count = len(action.joint_rotations)
        rotations = np.tile(np.eye(3), (count, 55, 1, 1))
        rotations[:, :22] = action.joint_rotations
        rotations[:, 22] = Rotation.from_euler("x", max(0.0, rng.normal(0, 0.08))).as_matrix()
        vectors = self._draw_fingers(rng, count)
        rotations[:, 25:] = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(count, 30, 3, 3)
        return rotations if self._turn_wrists is None else self._turn_wrists(rng, rotations)

    def _pose(
        self, rotations: np.ndarray, betas: np.ndarray, expression: np.ndarray, outfit: Outfit
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return joints ``T 55 3``, dressed vertices ``T V 3``, the bare body's lowest y ``T`` (pelvis at 0)."""
        body = self._body
        shape, face = (torch.from_numpy(values[None].astype(np.float32)) for values in (betas, expression))
        rest = body.rest_joints(shape, face)
        turns = torch.from_numpy(rotations.astype(np.float32))
        joints, orientation = body.forward_kinematics(turns, rest.expand(len(rotations), -1, -1))
        bare = body.rest_vertices(shape, face)
        # Clothing thickness scales with stature.
        size = float(np.ptp(bare[0, :, 1].numpy())) / 1.69
        dressed = bare + torch.from_numpy((outfit.offset_m * size).astype(np.float32))
        both = [body.skin(points, rest, joints, orientation).numpy() for points in (dressed, bare)]
        pelvis = joints[:, :1].numpy()
        return (
            (joints.numpy() - pelvis).astype(np.float64),
            both[0] - pelvis,
            (both[1][..., 1] - pelvis[..., 1]).min(1).astype(np.float64),
        )


def _curled_fingers(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw one mild curl for all frames: a ``DrawFingers``."""
    vectors = np.zeros((30, 3))
    for first, sign in ((0, -1), (15, 1)):
        curl = rng.uniform(0.05, 0.7) + rng.normal(0, 0.08, 15)
        curl[12:] *= 0.3
        vectors[first : first + 15, 2] = sign * np.clip(curl, 0, 1.4)
    return np.tile(vectors, (count, 1, 1))


def draw_shape(rng: np.random.Generator) -> np.ndarray:
    """Draw betas: adults of 1.5 to 1.95 m, and 15 % children of 1.0 to 1.45 m."""
    betas = np.clip(rng.normal(0, 1, 10), -2.5, 2.5)
    if rng.uniform() < 0.15:
        betas[0] = rng.uniform(-6.5, -2.4)
        betas[1:] *= 0.5
    return betas


def _find_place(
    rng: np.random.Generator, scene: Scene, others: list[Actor], path: np.ndarray, focus: np.ndarray
) -> tuple[float, np.ndarray] | None:
    """Draw headings and spots until the whole path (``T 2``: x, z) is free; returns (heading, spot)."""
    for attempt in range(40):
        heading = rng.uniform(0, 2 * np.pi)
        cos, sin = np.cos(heading), np.sin(heading)
        turned = path @ np.array([[cos, -sin], [sin, cos]])
        spot = focus + rng.normal(0, 0.7 + 0.06 * attempt, 2) - turned.mean(0)
        ground = turned + spot
        if not scene.is_free(ground[:, 0], ground[:, 1], 0.33).all():
            continue
        gaps = [np.linalg.norm(other.joints[:, 0, [0, 2]] - ground, axis=1).min() for other in others]
        if all(gap > MIN_DISTANCE_M for gap in gaps):
            return heading, spot
    return None


def _seat(rng: np.random.Generator, vertices: np.ndarray, joints: np.ndarray, bank: TextureBank) -> Mesh | None:
    """Build a stool or chair whose top touches the seated person from below; None close to the floor."""
    hips = joints[[1, 2]].mean(0)
    near = np.hypot(vertices[:, 0] - hips[0], vertices[:, 2] - hips[2]) < 0.17
    top = float(vertices[near, 1].min())
    if top < 0.08:
        return None
    half = rng.uniform(0.2, 0.27)
    forward = joints[[4, 5]].mean(0) - hips
    angle = np.arctan2(forward[0], forward[2])
    frame, cushion = trim_surface(rng, bank), cloth_surface(rng, bank)
    thick = min(0.05, top * 0.5)
    parts = [cushion.box([-half, top - thick, -half], [half, top, half * 0.9])]
    kind = rng.integers(3)
    if kind == 0:
        parts.append(frame.box([-half, 0, -half], [half, top - thick, half * 0.8]))
    else:
        for x in (-half, half - 0.04):
            for z in (-half, half * 0.9 - 0.04):
                parts.append(frame.box([x, 0, z], [x + 0.04, top - thick, z + 0.04]))
    if kind == 2:
        parts.append(frame.box([-half, top + 0.15, -half - 0.03], [half, top + rng.uniform(0.35, 0.6), -half]))
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("y", angle).as_matrix()
    T[:3, 3] = (hips[0], 0, hips[2])
    return join_meshes(parts).moved(T)
