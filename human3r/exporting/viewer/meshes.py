"""Skinned bodies as nodes of a viser scene, and the materials that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from human3r.exporting.motion import Skin

if TYPE_CHECKING:
    import viser

_SPECK_M = 1e-4


def add_body(
    server: viser.ViserServer,
    name: str,
    rest_vertices: np.ndarray,
    rest_joints: np.ndarray,
    skin: Skin,
    color: tuple[int, int, int],
    *,
    is_visible: bool = True,
) -> None:
    """Add a skinned mesh in its bind pose."""
    num_joints = len(rest_joints)
    # The public call wants dense V x 55 weights and keeps the top four; ours are already four and sum to one.
    weights = np.zeros((len(rest_vertices), num_joints), dtype=np.float32)
    # Unused slots repeat bone 0 with weight 0, so adding is right and assigning would erase.
    np.add.at(weights, (np.arange(len(weights))[:, None], skin.joint_index.astype(np.int64)), skin.joint_weight)
    server.scene.add_mesh_skinned(
        name,
        rest_vertices,
        skin.faces,
        bone_wxyzs=np.tile(np.array([1.0, 0, 0, 0]), (num_joints, 1)),
        bone_positions=rest_joints,
        skin_weights=weights,
        color=color,
        visible=is_visible,
    )


def prepare_materials(server: viser.ViserServer) -> None:
    """Add a body and points of almost no size: browsers translate their materials before the first people come.

    The player shows them when it has chosen its lights, on which materials depend.
    """
    server.scene.add_frame("/materials", show_axes=False, visible=False)
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 1]], np.float32) * _SPECK_M
    bones = np.zeros((3, 1), np.uint8), np.ones((3, 1), np.float32)
    skin = Skin(np.array([[0, 1, 2]], np.uint32), np.array([-1]), *bones)
    add_body(server, "/materials/body", corners, np.zeros((1, 3)), skin, (0, 0, 0))
    server.scene.add_point_cloud(
        "/materials/points",
        corners,
        (0, 0, 0),
        point_size=_SPECK_M,
        point_shape="circle",
        point_shading="flat",
        precision="float16",
    )
