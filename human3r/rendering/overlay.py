"""Draw people over their frame with the camera of the 3D view.

Meshes are shaded smoothly in the color of their identity and blended over the image; skeletons and labels are
optional. Everything runs on the CPU without GL; ``pyrender_backend`` can replace the mesh layer if GL works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw

from human3r.geometry.mesh import vertex_normals
from human3r.geometry.rigid import transform_points
from human3r.palette import person_color
from human3r.rendering.rasterizer import NEAR_M, rasterize
from human3r.results.posing import posed_vertices, rows_of_frame
from human3r.skeleton import Joint

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

    from human3r.bodies import SmplxBody
    from human3r.records import FramePrediction
    from human3r.results.reconstruction import Reconstruction

MeshLayer = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[int, int]], tuple[np.ndarray, np.ndarray]]
"""From vertices_camera ``P V 3``, faces ``F 3``, colors ``P 3`` in [0, 1], K and the image size to rgb ``H W 3`` in
[0, 1] and covered ``H W``."""

_FAR_OUTSIDE_PX = 20_000
_KEY_LIGHT = np.array([-0.35, -0.6, -0.72])
"""Direction toward the light in the camera frame: above the left shoulder of the camera."""


@dataclass(frozen=True)
class OverlayStyle:
    """How people are drawn."""

    opacity: float = 0.8
    """Opacity of the meshes, 0 to 1."""
    draw_labels: bool = True


@dataclass(frozen=True)
class OverlayPeople:
    """P people of one frame in the camera frame."""

    track_id: np.ndarray
    """``P`` int64"""
    vertices_camera: np.ndarray
    """``P V 3`` meters"""
    joints_camera: np.ndarray
    """``P 55 3`` meters"""


def people_of_frame(reconstruction: Reconstruction, frame: int, body: SmplxBody) -> OverlayPeople:
    """Return the people of processed frame ``frame`` in its camera."""
    rows = rows_of_frame(reconstruction, frame)
    T_camera_world = np.linalg.inv(reconstruction.T_world_camera[frame].astype(np.float64))
    return OverlayPeople(
        track_id=reconstruction.person_track[rows],
        vertices_camera=transform_points(T_camera_world, posed_vertices(reconstruction, body, rows)),
        joints_camera=transform_points(T_camera_world, reconstruction.joints_world[rows]),
    )


def draw_prediction(
    image: np.ndarray, prediction: FramePrediction, body: SmplxBody, style: OverlayStyle | None = None
) -> np.ndarray:
    """Draw the people of one prediction over its frame; ``image`` may be any scaled copy of the source frame.

    Args:
        image: ``H W 3`` uint8 RGB.
        style: What to draw; meshes and labels by default.
    """
    with torch.inference_mode():
        vertices = body(prediction.parameters_world).vertices if len(prediction.people) else torch.zeros(0, 1, 3)
    T_camera_world = np.linalg.inv(prediction.camera.T_world_camera.cpu().numpy().astype(np.float64))
    people = OverlayPeople(
        track_id=prediction.people.track_id.cpu().numpy(),
        vertices_camera=transform_points(T_camera_world, vertices.cpu().numpy()),
        joints_camera=transform_points(T_camera_world, prediction.joints_world.cpu().numpy()),
    )
    K = scale_intrinsics(prediction.camera.K.cpu().numpy(), prediction.camera.image_size, image.shape[:2])
    return draw_people(image, people, K, body.faces.cpu().numpy(), style or OverlayStyle())


def draw_preview(prediction: FramePrediction, body: SmplxBody, max_side_px: int = 512) -> np.ndarray:
    """Return ``H W 3`` uint8: the people over the network's input image, in the source frame's aspect ratio."""
    height, width = prediction.camera.image_size
    scale = min(1.0, max_side_px / max(height, width))
    canvas = Image.new("RGB", (max(1, round(width * scale)), max(1, round(height * scale))))
    left, top, right, bottom = (round(edge * scale) for edge in prediction.source_rect_px)
    view = Image.fromarray(prediction.image.numpy()).resize((max(1, right - left), max(1, bottom - top)))
    canvas.paste(view, (left, top))
    return draw_prediction(np.asarray(canvas), prediction, body)


def draw_people(
    image: np.ndarray,
    people: OverlayPeople,
    K: np.ndarray,
    faces: np.ndarray,
    style: OverlayStyle,
    mesh_layer: MeshLayer | None = None,
) -> np.ndarray:
    """Return a copy of ``image`` (``H W 3`` uint8) with people drawn on it.

    Args:
        people: P people in the camera frame.
        K: ``3 3`` intrinsics in pixels of ``image``.
        faces: ``F 3`` of the body.
        mesh_layer: Renders the meshes; None is the built-in CPU renderer.
    """
    image = np.ascontiguousarray(image)
    if len(people.track_id) == 0:
        return image.copy()
    colors = np.array([person_color(int(track)) for track in people.track_id]) / 255.0
    render = mesh_layer or render_meshes
    rgb, covered = render(people.vertices_camera, faces, colors, K, image.shape[:2])
    result = image.copy()
    mixed = (1 - style.opacity) * image[covered] + style.opacity * 255.0 * rgb[covered]
    result[covered] = np.clip(np.round(mixed), 0, 255).astype(np.uint8)
    return _draw_labels(result, people, K) if style.draw_labels else result


def render_meshes(
    vertices_camera: np.ndarray, faces: np.ndarray, colors: np.ndarray, K: np.ndarray, image_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Shade P meshes smoothly: rgb ``H W 3`` float32 in [0, 1] and covered ``H W`` bool."""
    num_people, num_vertices = vertices_camera.shape[:2]
    height, width = image_size
    flat = vertices_camera.reshape(-1, 3)
    all_faces = (faces[None] + num_vertices * np.arange(num_people)[:, None, None]).reshape(-1, 3)
    seen = rasterize(flat, all_faces, K, image_size)
    shade = np.concatenate([vertex_shade(vertices, faces) for vertices in vertices_camera])
    light = np.einsum("nc,nc->n", shade[all_faces[seen.face]], seen.barycentric)
    rgb = np.zeros((height * width, 3), dtype=np.float32)
    rgb[seen.pixel] = lit(colors[seen.face // len(faces)], light[:, None])
    covered = np.zeros(height * width, dtype=bool)
    covered[seen.pixel] = True
    return rgb.reshape(height, width, 3), covered.reshape(height, width)


def vertex_shade(vertices_camera: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return ``V`` light intensities: a key light, fill from the camera, and a rim that darkens the outline."""
    normals = vertex_normals(vertices_camera, faces)
    to_camera = -vertices_camera / np.maximum(np.linalg.norm(vertices_camera, axis=1, keepdims=True), 1e-6)
    facing = np.maximum(np.einsum("vc,vc->v", normals, to_camera), 0)
    key = np.maximum(normals @ (_KEY_LIGHT / np.linalg.norm(_KEY_LIGHT)), 0)
    return (0.25 + 0.4 * facing + 0.55 * key).astype(np.float32)


def lit(color: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return colors in light: above 1 they tend to white, a soft highlight instead of a clipped color."""
    return color * np.minimum(light, 1) + (1 - color) * np.maximum(light - 1, 0)


def scale_intrinsics(K: np.ndarray, from_size: tuple[float, float], to_size: tuple[int, int]) -> np.ndarray:
    """Convert ``K`` from one image size (height, width) to another, pixel centers at integers."""
    scaled = np.array(K, dtype=np.float64)
    for axis, ratio in ((0, to_size[1] / from_size[1]), (1, to_size[0] / from_size[0])):
        scaled[axis] *= ratio
        scaled[axis, 2] += 0.5 * (ratio - 1)
    return scaled


def _draw_labels(image: np.ndarray, people: OverlayPeople, K: np.ndarray) -> np.ndarray:
    """Draw the identities with Pillow."""
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    unit = max(1, round(min(image.shape[:2]) / 240))
    for track, joints in zip(people.track_id.tolist(), people.joints_camera, strict=True):
        x, y, z = K @ joints[Joint.HEAD]
        if z > NEAR_M:
            # Pillow truncates decimals and overflows far outside the image.
            uv = np.clip(np.round([x / z, y / z]), -_FAR_OUTSIDE_PX, _FAR_OUTSIDE_PX)
            _draw_label(draw, uv, K[1, 1] * 0.22 / z, str(track + 1), person_color(track), unit)
    return np.asarray(canvas)


def _draw_label(
    draw: ImageDraw.ImageDraw, head_uv: np.ndarray, lift_px: float, text: str, color: tuple[int, int, int], unit: int
) -> None:
    """Draw the identity in a label above the head."""
    font = _font(11 * unit)
    x, y = float(head_uv[0]), float(head_uv[1] - lift_px)
    left, top, right, bottom = draw.textbbox((x, y), text, font=font, anchor="ms")
    pad = 2 * unit
    draw.rounded_rectangle((left - 2 * pad, top - pad, right + 2 * pad, bottom + pad), radius=2 * pad, fill=color)
    draw.text((x, y), text, font=font, anchor="ms", fill=(255, 255, 255))


@lru_cache(maxsize=8)
def _font(size_px: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size_px)
