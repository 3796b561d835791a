"""Meshes drawn with pyrender over EGL: multisampled edges and physically based shading, where GL works.

GL drivers can crash a process, so a child process tries first; only if it draws what it should is GL used here.
pyrender is imported by nobody else, and only inside functions.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from human3r.palette import srgb_to_linear

if TYPE_CHECKING:
    from human3r.rendering.overlay import MeshLayer

logger = logging.getLogger(__name__)

SELF_TEST_TIMEOUT_S = 60
_PLATFORM_VARIABLE = "PYOPENGL_PLATFORM"
_DRAWS_AS_EXPECTED = "human3r: pyrender draws"
_NEAR_M, _FAR_M = 0.05, 200.0
_OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


def open_pyrender_layer() -> MeshLayer | None:
    """Return a mesh layer that draws with pyrender, or None, with a warning in the log, where GL does not work."""
    reason = self_test()
    if reason:
        logger.warning("pyrender cannot draw here (%s); the built-in renderer is used.", reason)
        return None
    _choose_platform()
    return render_meshes_gl


@lru_cache(maxsize=1)
def self_test() -> str:
    """Draw a sphere in a child process; return why that failed, or an empty string."""
    environment = {**os.environ, _PLATFORM_VARIABLE: os.environ.get(_PLATFORM_VARIABLE, "egl")}
    command = [sys.executable, "-m", "human3r.rendering.pyrender_backend"]
    try:
        child = subprocess.run(  # noqa: S603 - fixed command, our own interpreter and module
            command, env=environment, capture_output=True, text=True, timeout=SELF_TEST_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"the trial took more than {SELF_TEST_TIMEOUT_S} s"
    if child.returncode == 0 and _DRAWS_AS_EXPECTED in child.stdout:
        return ""
    last_line = child.stderr.strip().splitlines()[-1:] or [f"exit code {child.returncode}"]
    return last_line[0]


def render_meshes_gl(
    vertices_camera: np.ndarray, faces: np.ndarray, colors: np.ndarray, K: np.ndarray, image_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw P meshes: rgb ``H W 3`` float32 in [0, 1] and covered ``H W`` bool; arguments as the built-in renderer's."""
    import pyrender
    import trimesh

    height, width = image_size
    scene = pyrender.Scene(bg_color=(0, 0, 0, 0), ambient_light=(0.25, 0.25, 0.25))
    for vertices, color in zip(vertices_camera, colors, strict=True):
        material = pyrender.MetallicRoughnessMaterial(
            baseColorFactor=(*srgb_to_linear(color).tolist(), 1.0), metallicFactor=0.0, roughnessFactor=0.7
        )
        mesh = trimesh.Trimesh(vertices @ _OPENGL_FROM_OPENCV[:3, :3].T, faces, process=False)
        scene.add(pyrender.Mesh.from_trimesh(mesh, material=material, smooth=True))
    # GL's pixel (0.5, 0.5) is the centre of the first pixel; ours is (0, 0).
    camera = pyrender.IntrinsicsCamera(K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5, znear=_NEAR_M, zfar=_FAR_M)
    scene.add(camera, pose=np.eye(4))
    scene.add(pyrender.DirectionalLight(intensity=3.0), pose=_light_pose(-0.5, 0.6))
    scene.add(pyrender.DirectionalLight(intensity=1.5), pose=np.eye(4))
    renderer = pyrender.OffscreenRenderer(width, height)
    try:
        rgba, depth = renderer.render(scene, flags=pyrender.RenderFlags.RGBA)
    finally:
        renderer.delete()
    rgba = rgba.astype(np.float32) / 255.0
    # Multisampled edges are mixed with the black background by their alpha; dividing takes the black rim off again.
    return np.clip(rgba[..., :3] / np.maximum(rgba[..., 3:], 1 / 255), 0, 1), depth > 0


def _light_pose(yaw: float, pitch: float) -> np.ndarray:
    """A light that shines along -z after turning about x (down by ``pitch``) and y (by ``yaw``), radians."""
    cx, sx, cy, sy = np.cos(-pitch), np.sin(-pitch), np.cos(yaw), np.sin(yaw)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pose = np.eye(4)
    pose[:3, :3] = about_y @ about_x
    return pose


def _choose_platform() -> None:
    # PyOpenGL reads this once, at its first import; without a display only EGL works.
    os.environ.setdefault(_PLATFORM_VARIABLE, "egl")


def _trial() -> None:
    """Draw a sphere of 0.5 m at 2 m and compare its outline with geometry."""
    import trimesh

    _choose_platform()
    sphere = trimesh.creation.icosphere(3, 0.5)
    K = np.array([[100.0, 0, 63.5], [0, 100.0, 47.5], [0, 0, 1]])
    vertices = (np.asarray(sphere.vertices) + np.array([0, 0, 2.0]))[None]
    rgb, covered = render_meshes_gl(vertices, np.asarray(sphere.faces), np.array([[1.0, 0.5, 0.2]]), K, (96, 128))
    expected = np.pi * (100.0 * 0.5) ** 2 / (2.0**2 - 0.5**2)
    if abs(covered.sum() / expected - 1) > 0.1 or rgb[covered].mean() < 0.05:
        raise SystemExit("the trial picture is wrong")
    print(_DRAWS_AS_EXPECTED)


if __name__ == "__main__":
    _trial()
