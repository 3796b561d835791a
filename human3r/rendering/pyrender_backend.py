"""Meshes drawn with pyrender over EGL on a graphics card: multisampled edges and physically based shading.

GL drivers can crash a process, so a child process tries first; GL is used only if the child draws correctly.
Software GL is refused: it takes ten times as long as the built-in rasterizer. pyrender is imported only here, and only
inside functions.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from human3r.palette import srgb_to_linear

if TYPE_CHECKING:
    import pyrender

_LOG = logging.getLogger(__name__)

SELF_TEST_TIMEOUT_S = 60
_PLATFORM_VARIABLE = "PYOPENGL_PLATFORM"
_DRAWS_AS_EXPECTED = "human3r: pyrender draws with"
_SOFTWARE = re.compile("llvmpipe|softpipe|swrast|swiftshader|software", re.IGNORECASE)
_DEVICES = ("dri/renderD*", "nvidia[0-9]*")
"""Device files below ``/dev`` of a Linux machine with a graphics card."""
_NEAR_M, _FAR_M = 0.05, 200.0
_OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0])
_MIN_ALPHA = 1 / 255


class GlMeshLayer:
    """A mesh layer (see ``overlay.MeshLayer``) on one GL context; use it in the thread that created it, then close."""

    def __init__(self) -> None:
        self._renderer: pyrender.OffscreenRenderer | None = None

    def __call__(
        self,
        vertices_camera: np.ndarray,
        faces: np.ndarray,
        colors: np.ndarray,
        K: np.ndarray,
        image_size: tuple[int, int],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw P meshes: rgb ``H W 3`` float32 in [0, 1] and covered ``H W`` bool."""
        import pyrender

        height, width = image_size
        if self._renderer is None:
            self._renderer = pyrender.OffscreenRenderer(width, height)
        self._renderer.viewport_width, self._renderer.viewport_height = width, height
        scene = _scene(vertices_camera, faces, colors, K)
        rendered: Any = self._renderer.render(scene, flags=pyrender.RenderFlags.RGBA)
        rgba, depth = rendered[0].astype(np.float32) / 255.0, rendered[1]
        # Multisampled edges are mixed with the black background by their alpha; dividing removes the black rim.
        return np.clip(rgba[..., :3] / np.maximum(rgba[..., 3:], _MIN_ALPHA), 0, 1), depth > 0

    def close(self) -> None:
        """Free the GL context; closing twice is harmless."""
        if self._renderer is not None:
            self._renderer.delete()
            self._renderer = None


def open_gl_layer() -> GlMeshLayer | None:
    """Return a mesh layer that draws with pyrender, or None without a working graphics card."""
    reason = self_test()
    if reason:
        _LOG.info("the built-in rasterizer draws: %s", reason)
        return None
    _choose_platform()
    return GlMeshLayer()


@lru_cache(maxsize=1)
def self_test() -> str:
    """Draw a sphere in a child process; return the reason not to use GL, or an empty string."""
    if sys.platform == "linux" and not any(path for name in _DEVICES for path in Path("/dev").glob(name)):
        return "this machine has no graphics card"
    environment = {**os.environ, _PLATFORM_VARIABLE: os.environ.get(_PLATFORM_VARIABLE, "egl")}
    command = [sys.executable, "-m", "human3r.rendering.pyrender_backend"]
    try:
        child = subprocess.run(  # noqa: S603 - fixed command, our own interpreter and module
            command, env=environment, capture_output=True, text=True, timeout=SELF_TEST_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"the trial took more than {SELF_TEST_TIMEOUT_S} s"
    if child.returncode != 0 or _DRAWS_AS_EXPECTED not in child.stdout:
        return next(iter(child.stderr.strip().splitlines()[-1:]), f"exit code {child.returncode}")
    driver = child.stdout.rsplit(_DRAWS_AS_EXPECTED, 1)[1].strip()
    return f"GL draws in software ({driver})" if _SOFTWARE.search(driver) else ""


def _scene(vertices_camera: np.ndarray, faces: np.ndarray, colors: np.ndarray, K: np.ndarray) -> pyrender.Scene:
    import pyrender
    import trimesh

    scene = pyrender.Scene(bg_color=(0, 0, 0, 0), ambient_light=(0.25, 0.25, 0.25))
    for vertices, color in zip(vertices_camera, colors, strict=True):
        material = pyrender.MetallicRoughnessMaterial(
            baseColorFactor=(*srgb_to_linear(color).tolist(), 1.0), metallicFactor=0.0, roughnessFactor=0.7
        )
        mesh = trimesh.Trimesh(vertices @ _OPENGL_FROM_OPENCV, faces, process=False)
        scene.add(pyrender.Mesh.from_trimesh(mesh, material=material, smooth=True))
    # GL's pixel (0.5, 0.5) is the center of the first pixel; ours is (0, 0).
    camera = pyrender.IntrinsicsCamera(K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5, znear=_NEAR_M, zfar=_FAR_M)
    scene.add(camera, pose=np.eye(4))
    scene.add(pyrender.DirectionalLight(intensity=3.0), pose=_light_pose(-0.5, 0.6))
    scene.add(pyrender.DirectionalLight(intensity=1.5), pose=np.eye(4))
    return scene


def _light_pose(yaw: float, pitch: float) -> np.ndarray:
    """A light that shines along -z after turning about x (down by ``pitch``) and y (by ``yaw``), radians."""
    from scipy.spatial.transform import Rotation

    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("YX", [yaw, -pitch]).as_matrix()
    return pose


def _choose_platform() -> None:
    # PyOpenGL reads this at its first import; without a display only EGL works.
    os.environ.setdefault(_PLATFORM_VARIABLE, "egl")


def _trial() -> None:
    """Draw a sphere of 0.5 m at 2 m, compare its outline with geometry, and name the driver."""
    import trimesh

    _choose_platform()
    sphere = trimesh.creation.icosphere(3, 0.5)
    K = np.array([[100.0, 0, 63.5], [0, 100.0, 47.5], [0, 0, 1]])
    vertices = (np.asarray(sphere.vertices) + np.array([0, 0, 2.0]))[None]
    layer = GlMeshLayer()
    rgb, covered = layer(vertices, np.asarray(sphere.faces), np.array([[1.0, 0.5, 0.2]]), K, (96, 128))
    expected = np.pi * (100.0 * 0.5) ** 2 / (2.0**2 - 0.5**2)
    if abs(covered.sum() / expected - 1) > 0.1 or rgb[covered].mean() < 0.05:
        raise SystemExit("the trial picture is wrong")
    from OpenGL.GL import GL_RENDERER, glGetString

    print(_DRAWS_AS_EXPECTED, (glGetString(GL_RENDERER) or b"").decode())


if __name__ == "__main__":
    _trial()
