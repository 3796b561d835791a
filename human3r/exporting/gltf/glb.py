"""``scene.glb``: the whole clip as one animated glTF 2.0 file.

Skinned people with constant shape, the camera path, an animated camera that carries its frustum, and the scene as
textured surfaces (or points), in the y-up world whose floor is y = 0. Opens in three.js, Blender and model-viewer
without extensions other than unlit materials. Times are seconds from the first processed frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from human3r.atomic import write_bytes
from human3r.exporting.gltf.corrections import Corrections, build_corrections
from human3r.exporting.gltf.scene import (
    PATH_COLOR,
    add_faces,
    add_lines,
    add_points,
    add_sheet,
    linear_rgba,
    person_material,
    unlit_material,
)
from human3r.exporting.gltf.writer import ARRAY_BUFFER, LINE_STRIP, LINES, TRIANGLES, GltfWriter
from human3r.exporting.motion import (
    OPENCV_FROM_GL_CAMERA,
    PersonMotion,
    Skin,
    build_motion,
    build_skin,
    continuous_quat_xyzw,
)
from human3r.geometry.mesh import vertex_normals
from human3r.palette import person_color
from human3r.skeleton import JOINT_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import Sheet
    from human3r.surface.people_colors import PeopleColors

FRUSTUM_DEPTH_M = 0.25
_STEP_LEAD_S = 1e-3
"""Presence switches this much before its frame, since a float32 key may be rounded to after the player's time."""
_STILL_M = 2e-5
_NEAR_M, _FAR_M = 0.02, 200.0


def write_glb(
    reconstruction: Reconstruction,
    path: Path,
    body: SmplxBody,
    surface: Sequence[Sheet] = (),
    *,
    with_points: bool = False,
    people_colors: PeopleColors | None = None,
) -> None:
    """Write the animated scene atomically; the arguments are those of ``glb_bytes``."""
    write_bytes(path, glb_bytes(reconstruction, body, surface, with_points=with_points, people_colors=people_colors))


def glb_bytes(
    reconstruction: Reconstruction,
    body: SmplxBody,
    surface: Sequence[Sheet] = (),
    *,
    with_points: bool = False,
    people_colors: PeopleColors | None = None,
) -> bytes:
    """Return the animated scene as the bytes of a ``.glb`` file.

    Args:
        surface: The scene's surface; without it the scene is its points.
        with_points: Write the points beside the surface.
        people_colors: Colors per vertex of those who do not wear the color of their identity.
    """
    gltf = GltfWriter("Human3R")
    shots_s = reconstruction.shot_starts_s
    gltf.asset["extras"] = {"fps": reconstruction.fps, "up": "+y", "unit": "metre", "shots_s": shots_s}
    world = gltf.add_node(name="world", **_rigid(reconstruction.T_gravity_world))
    clock = _Clock(gltf, reconstruction.time_s - reconstruction.time_s[0] if reconstruction.num_frames else np.zeros(0))
    _add_people(gltf, world, clock, reconstruction, body, people_colors or {})
    if reconstruction.num_frames:
        _add_camera(gltf, world, clock, reconstruction)
    for sheet in surface:
        add_sheet(gltf, sheet)
    if len(reconstruction.points_world) and (with_points or not surface):
        add_points(gltf, reconstruction)
    return gltf.to_glb("Human3R reconstruction", "clip")


class _Clock:
    """Key-time accessors, one per distinct set of frames."""

    def __init__(self, gltf: GltfWriter, time_s: np.ndarray) -> None:
        self._gltf = gltf
        self._time_s = time_s
        self._known: dict[bytes, int] = {}

    def keys(self, frames: np.ndarray, early_s: float = 0.0) -> int:
        key = frames.tobytes() + str(early_s).encode()
        if key not in self._known:
            times = np.maximum(self._time_s[frames] - early_s, 0.0).astype(np.float32)
            self._known[key] = self._gltf.add_array(times, bounds=True)
        return self._known[key]


def _rigid(T: np.ndarray) -> dict[str, Any]:
    """Return a rigid transform as the node properties ``rotation`` (xyzw) and ``translation``."""
    from scipy.spatial.transform import Rotation

    exact = np.asarray(T, dtype=np.float64)
    return {"rotation": Rotation.from_matrix(exact[:3, :3]).as_quat().tolist(), "translation": exact[:3, 3].tolist()}


def _add_people(
    gltf: GltfWriter,
    world: int,
    clock: _Clock,
    reconstruction: Reconstruction,
    body: SmplxBody,
    people_colors: PeopleColors,
) -> None:
    seen = [track for track in reconstruction.tracks if len(track.frames)]
    if not seen:
        return
    skin = build_skin(body)
    shared = {
        "JOINTS_0": gltf.add_array(skin.joint_index, ARRAY_BUFFER),
        "WEIGHTS_0": gltf.add_array(_weights_in_16_bits(skin.joint_weight), ARRAY_BUFFER, normalized=True),
    }
    indices = add_faces(gltf, skin.faces, len(body.template))
    for track in seen:
        motion = build_motion(reconstruction, track, body)
        corrections = build_corrections(reconstruction, motion, body, skin)
        # Each skeleton has its own parent: Blender joins all joints below a common parent into one armature.
        contact = reconstruction.contact_of(track.observations).astype(np.float64).round(2)
        extras = {"frames": track.frames.tolist(), "foot_contact": contact.tolist()}
        figure = gltf.add_node(world, name=f"person_{track.track_id}", extras=extras)
        joints = _add_skeleton(gltf, figure, clock, motion, skin)
        own = dict(shared)
        if track.track_id in people_colors:
            own["COLOR_0"] = gltf.add_array(linear_rgba(people_colors[track.track_id]), ARRAY_BUFFER, normalized=True)
        mesh = _add_person_mesh(gltf, motion, corrections, skin, own, indices)
        node = gltf.add_node(name=f"person_{track.track_id}_mesh", mesh=mesh, skin=_add_skin(gltf, motion, joints))
        if corrections.weights.shape[1]:
            gltf.animate(node, "weights", clock.keys(motion.frames), corrections.weights.reshape(-1))
        _animate_presence(gltf, joints[0], clock, motion.frames, reconstruction.num_frames)


def _weights_in_16_bits(weights: np.ndarray) -> np.ndarray:
    """Return ``V 4`` uint16 shares that sum to exactly one; the error is hundredths of a millimeter."""
    one = np.iinfo(np.uint16).max
    shares = np.round(weights.astype(np.float64) * one).astype(np.int64)
    shares[:, 0] += one - shares.sum(axis=1)  # the first is the largest
    return shares.astype(np.uint16)


def _add_skeleton(gltf: GltfWriter, figure: int, clock: _Clock, motion: PersonMotion, skin: Skin) -> list[int]:
    """Add one node per joint, animated; return their indices."""
    quats = motion.quat_xyzw_parent_joint
    times = clock.keys(motion.frames)
    nodes: list[int] = []
    for joint, name in enumerate(JOINT_NAMES):
        parent = int(skin.parents[joint])
        offsets = motion.bones_world[:, joint]
        if parent >= 0:
            from_parent = offsets - motion.bones_world[:, parent]
            offsets = np.einsum("nba,nb->na", motion.R_world_joint[:, parent], from_parent).astype(np.float32)
        node = gltf.add_node(
            figure if parent < 0 else nodes[parent],
            name=f"person_{motion.track_id}_{name}",
            translation=offsets[0].tolist(),
            rotation=_unit(quats[0, joint]),
        )
        nodes.append(node)
        if np.ptp(quats[:, joint], axis=0).max() > 1e-6:
            gltf.animate(node, "rotation", times, quats[:, joint])
        # Bones have constant length unless the observations differ in shape.
        if parent < 0 or np.ptp(offsets, axis=0).max() > _STILL_M:
            gltf.animate(node, "translation", times, offsets)
    return nodes


def _unit(quat: np.ndarray) -> list[float]:
    quat = quat.astype(np.float64)
    return (quat / np.linalg.norm(quat)).tolist()


def _animate_presence(gltf: GltfWriter, root: int, clock: _Clock, frames: np.ndarray, num_frames: int) -> None:
    """Scale a person to zero in frames without an observation."""
    if len(frames) == num_frames:
        return
    present = np.zeros(num_frames, dtype=bool)
    present[frames] = True
    changes = np.concatenate([[0], np.flatnonzero(np.diff(present.astype(np.int8))) + 1])
    scale = np.repeat(present[changes, None].astype(np.float32), 3, axis=1)
    gltf.animate(root, "scale", clock.keys(changes, early_s=_STEP_LEAD_S), scale, step=True)


def _add_skin(gltf: GltfWriter, motion: PersonMotion, joints: list[int]) -> int:
    inverse_bind = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
    inverse_bind[:, 3, :3] = -motion.rest_joints  # column-major: the last row here is the translation
    return gltf.add(
        "skins",
        name=f"person_{motion.track_id}",
        joints=joints,
        skeleton=joints[0],
        inverseBindMatrices=gltf.add_array(inverse_bind),
    )


def _add_person_mesh(
    gltf: GltfWriter,
    motion: PersonMotion,
    corrections: Corrections,
    skin: Skin,
    attributes: dict[str, int],
    indices: int,
) -> int:
    color = (255, 255, 255) if "COLOR_0" in attributes else person_color(motion.track_id)
    material = person_material(gltf, motion.track_id, color)
    vertices = motion.rest_vertices + corrections.base
    primitive: dict[str, object] = {
        "attributes": {
            "POSITION": gltf.add_array(vertices, ARRAY_BUFFER, bounds=True),
            "NORMAL": gltf.add_array(vertex_normals(vertices, skin.faces), ARRAY_BUFFER),
            **attributes,
        },
        "indices": indices,
        "material": material,
        "mode": TRIANGLES,
    }
    mesh: dict[str, object] = {"name": f"person_{motion.track_id}_mesh", "primitives": [primitive]}
    if len(corrections.targets):
        primitive["targets"] = [{"POSITION": gltf.add_sparse_vectors(target)} for target in corrections.targets]
        mesh["weights"] = corrections.weights[0].tolist()
    return gltf.add("meshes", **mesh)


def _add_camera(gltf: GltfWriter, world: int, clock: _Clock, reconstruction: Reconstruction) -> None:
    """Add the path as a line strip, and the camera with its frustum, animated."""
    T = reconstruction.T_world_camera.astype(np.float64)
    positions = T[:, :3, 3].astype(np.float32)
    path_material = unlit_material(gltf, "camera_path", PATH_COLOR)
    if len(positions) > 1:
        add_lines(gltf, world, "camera_path", positions, LINE_STRIP, path_material)
    height, width = (float(side) for side in reconstruction.image_size)
    focal_px = float(np.median(reconstruction.K[:, 1, 1]))
    lens = {
        "yfov": 2 * float(np.arctan(height / (2 * focal_px))),
        "aspectRatio": width / height,
        "znear": _NEAR_M,
        "zfar": _FAR_M,
    }
    quats = continuous_quat_xyzw(T[:, :3, :3] @ OPENCV_FROM_GL_CAMERA)
    node = gltf.add_node(
        world,
        name="camera",
        camera=gltf.add("cameras", name="camera", type="perspective", perspective=lens),
        rotation=_unit(quats[0]),
        translation=positions[0].tolist(),
    )
    if len(positions) > 1:
        times = clock.keys(np.arange(len(positions)))
        gltf.animate(node, "rotation", times, quats)
        gltf.animate(node, "translation", times, positions)
    half = FRUSTUM_DEPTH_M * np.tan(lens["yfov"] / 2)
    add_lines(gltf, node, "camera_frustum", _frustum_lines(half * width / height, half), LINES, path_material)


def _frustum_lines(half_width: float, half_height: float) -> np.ndarray:
    """Return ``16 3`` float32 line ends of a pyramid along -z, its tip at the origin."""
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    corners = [(sx * half_width, sy * half_height, -FRUSTUM_DEPTH_M) for sx, sy in signs]
    ends: list[tuple[float, float, float]] = []
    for index, corner in enumerate(corners):
        ends += [(0.0, 0.0, 0.0), corner, corner, corners[(index + 1) % 4]]
    return np.array(ends, dtype=np.float32)
