"""``points.ply``: the fused scene points with colors, in world (first camera, OpenCV axes), meters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from human3r.atomic import write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from human3r.results.reconstruction import Reconstruction


def write_ply(reconstruction: Reconstruction, path: Path) -> None:
    """Write the points as a binary PLY whole or not at all; without points the file has zero vertices."""
    import trimesh

    if len(reconstruction.points_world) == 0:
        write_bytes(path, _header(0))
        return
    rgba = np.full((len(reconstruction.points_color), 4), 255, dtype=np.uint8)
    rgba[:, :3] = reconstruction.points_color
    cloud = trimesh.PointCloud(reconstruction.points_world, colors=rgba)
    content = cloud.export(file_type="ply")
    assert isinstance(content, bytes)
    write_bytes(path, content)


def _header(count: int) -> bytes:
    properties = "".join(f"property float {axis}\n" for axis in "xyz")
    properties += "".join(f"property uchar {channel}\n" for channel in ("red", "green", "blue"))
    return f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n{properties}end_header\n".encode()
