"""Dress the body: skin, hair, shirt, trousers and shoes as materials and vertex offsets of the body mesh.

Clothes are mesh regions, chosen by joints and rest positions and displaced outwards by centimeters, so body labels stay
exact. Soles are not displaced: a dressed person stands at the same height as the bare body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csr_array

from human3r.bodies import SmplxBody
from human3r.geometry.mesh import vertex_normals
from human3r.palette import srgb_to_linear
from human3r.training.synthetic.places.surfaces import make_surface
from human3r.training.synthetic.rendering import textures
from human3r.training.synthetic.rendering.mesh import Material, box_uv
from human3r.training.synthetic.rendering.textures import TextureBank, tint

_PLAIN = np.array(
    [
        [0.12, 0.18, 0.32],
        [0.25, 0.33, 0.46],
        [0.07, 0.07, 0.08],
        [0.3, 0.3, 0.31],
        [0.55, 0.5, 0.4],
        [0.3, 0.22, 0.16],
        [0.8, 0.79, 0.76],
    ]
)
"""sRGB of common trousers and shoes: dark and light denim, black, gray, khaki, brown, off-white."""
SKIN, SHIRT, TROUSERS, SHOES, HAIR, EYE, IRIS, LIPS, BROW = range(9)


@dataclass(frozen=True)
class BodyTemplate:
    """Geometry of the unshaped body, used for dressing."""

    vertices: np.ndarray
    """``V 3`` rest pose, meters."""
    normals: np.ndarray
    """``V 3``"""
    faces: np.ndarray
    """``F 3`` int32."""
    main_joint: np.ndarray
    """``V`` joint with the largest skinning weight."""
    joints: np.ndarray
    """``55 3``"""
    adjacency: csr_array
    """``V V`` rows of equal weights over a vertex's neighbors."""
    edge_length: np.ndarray
    """``V`` mean length of the edges at a vertex, meters."""

    def neighbor_mean(self, values: np.ndarray) -> np.ndarray:
        """Average ``V C`` values over the neighbors of every vertex."""
        return self.adjacency @ values


@dataclass(frozen=True)
class Outfit:
    """Materials and vertex offsets of one person."""

    offset_m: np.ndarray
    """``V 3`` in the rest pose, to be added to the shaped rest vertices."""
    face_material: np.ndarray
    """``F`` int32 into ``materials``."""
    materials: tuple[Material, ...]
    uv: np.ndarray
    """``F 3 2`` metric texture coordinates of the rest pose."""


def body_template(body: SmplxBody) -> BodyTemplate:
    """Collect the template from a body model."""
    vertices = body.template.numpy()
    faces = body.faces.numpy().astype(np.int32)
    normals = vertex_normals(vertices, faces)
    here = np.concatenate([faces[:, corner] for corner in (0, 1, 2, 1, 2, 0)])
    there = np.concatenate([faces[:, corner] for corner in (1, 2, 0, 0, 1, 2)])
    length = np.linalg.norm(vertices[here] - vertices[there], axis=1)
    count = np.bincount(here, minlength=len(vertices))
    weights = 1 / count[here]
    adjacency = coo_array((weights, (here, there)), (len(vertices),) * 2).tocsr()
    edge_length = np.bincount(here, length, len(vertices)) / count
    main_joint = body.skinning_weights.numpy().argmax(1)
    return BodyTemplate(vertices, normals, faces, main_joint, body.joint_template.numpy(), adjacency, edge_length)


def dress(rng: np.random.Generator, template: BodyTemplate, bank: TextureBank) -> Outfit:
    """Draw an outfit."""
    region = np.full(len(template.vertices), SKIN)
    thickness = np.zeros(len(template.vertices))
    snap = np.zeros_like(template.vertices)
    _trousers(rng, template, region, thickness, snap)
    _shoes(rng, template, region, thickness)
    _shirt(rng, template, region, thickness, snap)
    _hair(rng, template, region, thickness)
    _face(template, region)
    is_cloth = np.isin(region, (SHIRT, TROUSERS))
    thickness += _wrinkles(rng, template.vertices) * is_cloth
    # Cloth spans concavities and hides toes: the skin below is smoothed before it is displaced.
    smooth = template.vertices.copy()
    for step in range(45):
        moving = (region == SHOES) | (is_cloth & (step < 20))
        smooth = np.where(moving[:, None], template.neighbor_mean(smooth), smooth)
    offset = smooth - template.vertices + template.normals * template.neighbor_mean(thickness[:, None]) + snap
    low = template.vertices[:, 1] + offset[:, 1]
    offset[:, 1] += np.maximum(0, template.vertices[:, 1].min() - low)
    is_sole = np.isin(template.main_joint, (7, 8, 10, 11)) & (template.vertices[:, 1] < template.joints[10, 1] - 0.01)
    offset[is_sole, 1] = np.clip(offset[is_sole, 1], 0, 0.004)
    faces = template.faces
    # A triangle takes the region of at least two of its corners.
    corners = region[faces]
    face_region = np.where(corners[:, 1] == corners[:, 2], corners[:, 1], corners[:, 0])
    return Outfit(offset, face_region.astype(np.int32), _materials(rng, bank), _rest_uv(template))


def _snap(snap: np.ndarray, template: BodyTemplate, axis: int, distance: np.ndarray) -> None:
    """Move vertices within about half an edge of a hem onto it, so that hems are straight."""
    near = np.abs(distance) < 0.55 * template.edge_length
    snap[near, axis] = -distance[near]


def _arm_length(template: BodyTemplate) -> np.ndarray:
    """Return the position of arm vertices between shoulder (0) and wrist (1); -1 elsewhere."""
    is_arm = np.isin(template.main_joint, (16, 17, 18, 19, 20, 21)) | (template.main_joint >= 25)
    shoulder, wrist = template.joints[16, 0], template.joints[20, 0]
    return np.where(is_arm, (np.abs(template.vertices[:, 0]) - shoulder) / (wrist - shoulder), -1)


def _shirt(
    rng: np.random.Generator, template: BodyTemplate, region: np.ndarray, thickness: np.ndarray, snap: np.ndarray
) -> None:
    y = template.vertices[:, 1]
    pelvis, neck = template.joints[0, 1], template.joints[12, 1]
    sleeve = float(rng.choice([0.05, rng.uniform(0.25, 0.5), rng.uniform(0.93, 1.0)], p=[0.08, 0.45, 0.47]))
    hem = pelvis + rng.uniform(-0.16, 0.02)
    if rng.uniform() < 0.12:
        hem = pelvis - rng.uniform(0.2, 0.5)
    is_trunk = np.isin(template.main_joint, (0, 1, 2, 3, 6, 9, 13, 14, 12))
    collar = neck - rng.uniform(0.0, 0.09)
    from_neck = np.hypot(template.vertices[:, 0], template.vertices[:, 2] - template.joints[12, 2])
    is_below_collar = (y < collar) | (from_neck > rng.uniform(0.07, 0.11))
    arm = _arm_length(template)
    worn = (is_trunk & (y > hem) & is_below_collar) | ((arm > -1) & (arm < sleeve))
    _snap(snap, template, 1, np.where(is_trunk & (y < pelvis + 0.2), y - hem, 1))
    reach = template.joints[20, 0] - template.joints[16, 0]
    side = np.sign(template.vertices[:, 0])
    _snap(snap, template, 0, np.where(arm > 0.03, (arm - sleeve) * reach * side, 1))
    region[worn] = SHIRT
    loose = rng.uniform(0.006, 0.022)
    thickness[worn] = (
        loose + 0.5 * loose * np.clip(arm[worn] * 2, 0, 1) + rng.uniform(0.002, 0.016) * (y[worn] < pelvis + 0.1)
    )


def _trousers(
    rng: np.random.Generator, template: BodyTemplate, region: np.ndarray, thickness: np.ndarray, snap: np.ndarray
) -> None:
    y = template.vertices[:, 1]
    hip, ankle = template.joints[1, 1], template.joints[7, 1]
    length = float(rng.choice([rng.uniform(0.2, 0.55), rng.uniform(0.92, 1.04)], p=[0.25, 0.75]))
    cut = hip + length * (ankle - hip)
    waist = template.joints[0, 1] + rng.uniform(0.0, 0.1)
    is_leg = np.isin(template.main_joint, (0, 1, 2, 3, 4, 5, 7, 8))
    worn = is_leg & (y < waist) & (y > cut)
    _snap(snap, template, 1, np.where(is_leg & (y < hip), y - cut, 1))
    region[worn] = TROUSERS
    down = np.clip((hip - y[worn]) / (hip - ankle), 0, 1)
    # Loose fabric: the distance from the leg grows toward the ankle.
    thickness[worn] = rng.uniform(0.006, 0.016) + rng.uniform(0.0, 0.03) * down**0.7


def _shoes(rng: np.random.Generator, template: BodyTemplate, region: np.ndarray, thickness: np.ndarray) -> None:
    if rng.uniform() < 0.06:
        return
    top = template.joints[7, 1] + rng.uniform(-0.03, 0.08)
    worn = np.isin(template.main_joint, (7, 8, 10, 11, 4, 5)) & (template.vertices[:, 1] < top) & (region == SKIN)
    region[worn] = SHOES
    thickness[worn] = rng.uniform(0.012, 0.02)


def _hair(rng: np.random.Generator, template: BodyTemplate, region: np.ndarray, thickness: np.ndarray) -> None:
    if rng.uniform() < 0.06:
        return
    x, y, z = template.vertices.T
    eye = (template.joints[23] + template.joints[24]) / 2
    is_head = np.isin(template.main_joint, (15, 12, 9, 22))
    back = eye[2] - z
    line = eye[1] + rng.uniform(0.05, 0.075) - np.clip(back - 0.03, 0, None) * rng.uniform(1.0, 2.2)
    length = float(rng.choice([0.06, rng.uniform(0.1, 0.32)], p=[0.6, 0.4]))
    scalp = is_head & (y > np.maximum(line, eye[1] - length)) & (back > 0.005)
    scalp |= is_head & (y > eye[1] + 0.075)
    # Short hair leaves the ears uncovered.
    is_ear = (np.abs(x) > 0.062) & (y < eye[1] + 0.03) & (back < 0.115)
    scalp &= ~is_ear
    region[scalp] = HAIR
    bulk = rng.uniform(0.006, 0.03) * (1 + 0.8 * (length > 0.1))
    thickness[scalp] = bulk * np.clip((y[scalp] - eye[1] + length) / 0.1, 0.25, 1) + rng.normal(0, 0.0015, scalp.sum())
    if rng.uniform() < 0.15:
        beard = (
            is_head
            & (y < eye[1] - 0.055)
            & (y > eye[1] - 0.14)
            & (back < 0.08)
            & (np.hypot(x, y - eye[1] + 0.075) > 0.02)
        )
        region[beard] = HAIR
        thickness[beard] = rng.uniform(0.002, 0.01)


def _face(template: BodyTemplate, region: np.ndarray) -> None:
    x, y, z = template.vertices.T
    for joint in (23, 24):
        is_ball = template.main_joint == joint
        region[is_ball] = EYE
        center = template.vertices[is_ball].mean(0)
        region[is_ball & (np.hypot(x - center[0], y - center[1]) < 0.0065) & (z > center[2])] = IRIS
    eye = (template.joints[23] + template.joints[24]) / 2
    front = (z > eye[2] - 0.005) & (region == SKIN)
    region[front & (np.abs(y - eye[1] - 0.026) < 0.006) & (np.abs(x) > 0.012) & (np.abs(x) < 0.052)] = BROW
    region[front & (np.abs(y - eye[1] + 0.073) < 0.009) & (np.abs(x) < 0.026) & (z > eye[2] + 0.012)] = LIPS


def _materials(rng: np.random.Generator, bank: TextureBank) -> tuple[Material, ...]:
    light, dark = np.array([0.89, 0.70, 0.60]), np.array([0.30, 0.19, 0.14])
    share = rng.beta(0.9, 1.0)
    skin = np.clip((light * (1 - share) + dark * share) * rng.uniform(0.92, 1.06, 3), 0.05, 0.98)
    hairs = np.array(
        [[0.06, 0.05, 0.04], [0.2, 0.13, 0.08], [0.4, 0.26, 0.14], [0.75, 0.6, 0.36], [0.6, 0.6, 0.6], [0.5, 0.2, 0.08]]
    )
    kind = rng.choice(6, p=[0.34, 0.26, 0.16, 0.1, 0.08, 0.06])
    if share > 0.5 and rng.uniform() < 0.9:
        kind = rng.choice([0, 1, 4], p=[0.75, 0.15, 0.1])
    hair = hairs[kind] * rng.uniform(0.8, 1.2)
    flat = Material(specular=0.05, gloss=60.0)
    colors = {EYE: (0.45, 0.43, 0.42), IRIS: (0.05, 0.035, 0.025)}
    materials = [flat] * 9
    materials[SKIN] = make_surface(bank, textures.plaster(rng, skin, 0.025), 0.4, 0.035, 18.0).material
    materials[SHIRT] = _cloth(rng, bank, 0.55, 0.6)
    materials[TROUSERS] = _cloth(rng, bank, 0.15, 0.3)
    materials[SHOES] = make_surface(bank, textures.plaster(rng, _plain_color(rng), 0.05), 0.3, 0.04, 40.0).material
    materials[HAIR] = make_surface(
        bank, textures.carpet(rng, np.clip(hair, 0.02, 0.95), 0.25), 0.12, 0.04, 25.0
    ).material
    materials[LIPS] = Material(tuple(srgb_to_linear(np.clip(skin * [0.92, 0.68, 0.66], 0, 1))), specular=0.05)
    materials[BROW] = Material(tuple(srgb_to_linear(np.clip(hair * 0.6 + skin * 0.25, 0, 1))))
    for part, color in colors.items():
        materials[part] = Material(color, specular=0.06, gloss=120.0)
    return tuple(materials)


def _cloth(rng: np.random.Generator, bank: TextureBank, patterned: float, saturation: float) -> Material:
    """Draw a plain, striped, checked or printed fabric; ``patterned`` is the probability of a pattern."""
    color = tint(rng, 0.05, 0.92, saturation) if patterned > 0.3 else _plain_color(rng)
    if rng.uniform() > patterned:
        return make_surface(bank, textures.carpet(rng, color, 0.05), 1.0, 0.015, 8.0).material
    size = 256
    y, x = np.indices((size, size)) / size
    other = tint(rng, 0.05, 0.95, saturation)
    count = int(rng.integers(4, 40))
    kind = rng.integers(4)
    if kind == 0:
        share = (np.sin(2 * np.pi * count * y) > rng.uniform(-0.7, 0.7)).astype(float)
    elif kind == 1:
        share = 0.5 * (np.sin(2 * np.pi * count * y) > 0.3) + 0.5 * (np.sin(2 * np.pi * count * x) > 0.3)
    elif kind == 2:
        share = (textures.cloud_noise(rng, size, rng.uniform(1.2, 2.2)) > rng.uniform(-0.3, 1)).astype(float)
    else:
        share = (np.hypot(np.sin(np.pi * count * x), np.sin(np.pi * count * y)) < rng.uniform(0.3, 0.6)).astype(float)
    image = color * (1 - share[..., None]) + other * share[..., None]
    image = image * (1 + 0.05 * rng.standard_normal((size, size, 1)))
    return make_surface(bank, (np.clip(image, 0, 1) * 255).astype(np.uint8), 1.0, 0.015, 8.0).material


def _plain_color(rng: np.random.Generator) -> np.ndarray:
    if rng.uniform() < 0.15:
        return tint(rng, 0.05, 0.92, 0.5)
    return np.clip(_PLAIN[rng.integers(len(_PLAIN))] * rng.uniform(0.8, 1.25) * rng.uniform(0.93, 1.07, 3), 0.03, 0.95)


def _wrinkles(rng: np.random.Generator, vertices: np.ndarray) -> np.ndarray:
    """Return wrinkle heights over the rest pose, ``V`` meters."""
    total = np.zeros(len(vertices))
    for _ in range(6):
        wave = rng.standard_normal(3) / rng.uniform(0.03, 0.12)
        total += np.sin(vertices @ wave + rng.uniform(0, 6.3))
    return total * rng.uniform(0.0005, 0.002)


def _rest_uv(template: BodyTemplate) -> np.ndarray:
    """Project the rest pose along the main axis of each triangle's normal, one repeat per meter."""
    triangles = template.vertices[template.faces]
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    # Front and back are preferred over the sides: fewer texture seams.
    return box_uv(triangles, normal * [0.7, 0.6, 1.0]).astype(np.float32)
