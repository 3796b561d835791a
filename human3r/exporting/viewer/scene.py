"""The parts of a viser scene: stage, people, cameras, points. Private names of viser are used here and in ``tape``.

Both the recording and the live viewer are built from these parts. Everything is in the y-up world whose floor is
y = 0. Tested with viser 1.1.1, which the requirements pin; viser is imported only inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from human3r.exporting.viewer.meshes import add_body
from human3r.palette import person_color
from human3r.skeleton import Joint

if TYPE_CHECKING:
    import viser

    from human3r.exporting.motion import Skin
    from human3r.exporting.viewer.views import View

Send = Callable[[object], None]
"""Takes one viser message: to the clients of a live server, or into a recording."""

GRID_SIZE_M = 40.0
PATH_COLOR = (122, 130, 144)
"""Color of the camera, distinct from people."""
THUMBNAIL_PX = 128
"""Longer side of the images in cameras, 2 to 3 kB each."""
_QUANTUM = 2.0**14
"""Poses are rounded to 1/16384 (0.06 mm), which halves the compressed size of recordings."""
_LABEL_LIFT_M = 0.22
_TRAIL_SIGMA_FRAMES = 2.0
_STANDS_WITHIN_FRAMES = 15
"""Whoever jumps has stood on the ground within so many frames."""
_TRAIL_LIFT_M = 0.05
_FEET = [Joint.LEFT_FOOT, Joint.RIGHT_FOOT]


def set_stage(server: viser.ViserServer) -> None:
    """Set the up direction and lay the floor grid."""
    scene = server.scene
    scene.set_up_direction("+y")
    scene.add_grid(
        "/floor",
        width=GRID_SIZE_M,
        height=GRID_SIZE_M,
        plane="xz",
        cell_size=0.5,
        section_size=1.0,
        cell_color=(225, 228, 232),
        section_color=(196, 202, 210),
        cell_thickness=0.8,
        fade_distance=25.0,
        fade_strength=1.5,
        shadow_opacity=0.2,
    )


def set_initial_camera(server: viser.ViserServer, view: View) -> None:
    """Set where viewers start, and where their "reset view" returns to."""
    camera = server.initial_camera
    camera.position, camera.look_at, camera.fov = view.position, view.look_at, view.fov


def person_node(track_id: int) -> str:
    """Name of the node that shows or hides everything of one person."""
    return f"/people/person_{track_id}"


def add_person(
    server: viser.ViserServer,
    track_id: int,
    rest_vertices: np.ndarray,
    rest_joints: np.ndarray,
    skin: Skin,
    few: tuple[np.ndarray, Skin] | None = None,
) -> None:
    """Add a skinned body in its bind pose, and its label; ``pose_person`` moves them.

    The visitor's toggle acts on the person's node, presence in a frame on its children, so that they are independent.
    With ``few``, the result of ``coarse_skin``, there is a second body, and the player shows one of the two.
    """
    name, color = person_node(track_id), person_color(track_id)
    server.scene.add_frame(name, show_axes=False)
    if few is not None:
        add_body(server, f"{name}/few", rest_vertices[few[0]], rest_joints, few[1], color, is_visible=False)
    add_body(server, f"{name}/body", rest_vertices, rest_joints, skin, color, is_visible=few is None)
    server.scene.add_label(f"{name}/label", f"{track_id + 1}", anchor="bottom-center", font_screen_scale=1.15)


def pose_person(send: Send, track_id: int, quat_wxyz: np.ndarray, positions: np.ndarray, head_top: np.ndarray) -> None:
    """Move a body that ``add_person`` added.

    Args:
        quat_wxyz: ``55 4`` absolute joint rotations (not relative to the parent).
        positions: ``55 3`` absolute joint positions, meters.
        head_top: ``3`` where the label's foot is put.
    """
    from viser import _messages

    body = f"{person_node(track_id)}/body"
    # viser's bone handles compare and copy every value; the messages themselves are six times as fast.
    for index, (wxyz, position) in enumerate(zip(rounded(quat_wxyz), rounded(positions), strict=True)):
        send(_messages.SetBoneOrientationMessage(body, index, tuple(wxyz)))
        send(_messages.SetBonePositionMessage(body, index, tuple(position)))
    send(_messages.SetPositionMessage(f"{person_node(track_id)}/label", tuple(rounded(head_top))))


def show_person(send: Send, track_id: int, *, is_present: bool) -> None:
    """Show or hide a body and its label without touching the visitor's own toggle."""
    for part in ("body", "label"):
        set_visible(send, f"{person_node(track_id)}/{part}", is_visible=is_present)


def set_visible(send: Send, name: str, *, is_visible: bool) -> None:
    """Show or hide any node."""
    from viser import _messages

    send(_messages.SetSceneNodeVisibilityMessage(name, is_visible))


def label_position(head: np.ndarray) -> np.ndarray:
    """Return where the label of a person stands, given the head joint ``3``."""
    return head + np.array([0.0, _LABEL_LIFT_M, 0.0])


def add_polyline(server: viser.ViserServer, name: str, points: np.ndarray, color: tuple[int, int, int]) -> None:
    """Draw a line through ``n 3`` points; fewer than two draw nothing."""
    if len(points) >= 2:
        segments = np.stack([points[:-1], points[1:]], axis=1).astype(np.float32)
        server.scene.add_line_segments(name, segments, color, thickness=2.5, thickness_units="screen")


def add_trail(server: viser.ViserServer, track_id: int, joints: np.ndarray) -> None:
    """Draw where a person has been, ``n J 3``: under the pelvis, on the ground that the feet touched about then.

    A redrawn line is visible again, so viewers hide its parent node.
    """
    from scipy.ndimage import minimum_filter1d

    trail = _smoothed(joints[:, Joint.PELVIS])
    ground_m = minimum_filter1d(joints[:, _FEET, 1].min(axis=1), _STANDS_WITHIN_FRAMES, mode="nearest")
    trail[:, 1] = _smoothed(ground_m) + _TRAIL_LIFT_M
    add_polyline(server, f"{person_node(track_id)}/trail/line", trail, person_color(track_id))


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Smooth along the frames of ``n ...``, for display."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(values, _TRAIL_SIGMA_FRAMES, axis=0, mode="nearest")


def add_frustum(
    server: viser.ViserServer,
    name: str,
    K: np.ndarray,
    image_size: tuple[int, int],
    T_gravity_camera: np.ndarray,
    *,
    scale_m: float,
    color: tuple[int, int, int] = (60, 64, 72),
    image: np.ndarray | None = None,
) -> None:
    """Add a camera; ``move_frustum`` moves it and ``set_frustum_image`` changes its picture."""
    height, width = image_size
    server.scene.add_camera_frustum(
        name,
        fov=2 * float(np.arctan(height / (2 * K[1, 1]))),
        aspect=width / height,
        scale=scale_m,
        thickness=1.5,
        thickness_units="screen",
        color=color,
        image=image,
        format="jpeg",
        jpeg_quality=70,
        wxyz=quat_wxyz_from_rotation(T_gravity_camera[:3, :3]),
        position=T_gravity_camera[:3, 3],
        cast_shadow=False,
        receive_shadow=False,
    )


def move_frustum(send: Send, name: str, T_gravity_camera: np.ndarray) -> None:
    """Move a camera that ``add_frustum`` added."""
    from viser import _messages

    wxyz = quat_wxyz_from_rotation(T_gravity_camera[:3, :3])
    send(_messages.SetOrientationMessage(name, tuple(rounded(wxyz))))
    send(_messages.SetPositionMessage(name, tuple(rounded(T_gravity_camera[:3, 3]))))


def set_frustum_image(send: Send, name: str, jpeg: bytes) -> None:
    """Change the picture in a camera that was added with one."""
    from viser import _messages

    send(_messages.SceneNodeUpdateMessage(name, {"_image_data": jpeg}))


def add_points(
    server: viser.ViserServer, name: str, points: np.ndarray, colors: np.ndarray, point_size_m: float
) -> viser.PointCloudHandle:
    """Add points around their centroid, so that half precision is enough (1 mm within 4 m of it)."""
    centroid = points.mean(axis=0, dtype=np.float64) if len(points) else np.zeros(3)
    return server.scene.add_point_cloud(
        name,
        (points - centroid).astype(np.float32),
        colors,
        point_size=point_size_m,
        point_shape="circle",
        point_shading="flat",
        precision="float16",
        position=centroid,
    )


def add_surface(server: viser.ViserServer, name: str, glb: bytes) -> None:
    """Add a piece of the scene's surface; its colors are the clip's, and no light or shadow changes them."""
    server.scene.add_glb(name, glb, cast_shadow=False, receive_shadow=False)


def live_send(server: viser.ViserServer) -> Send:
    """Return the function that sends messages to all present and future clients of a server."""
    to_nodes = server.scene._queue_scene_message  # pyright: ignore[reportPrivateUsage]
    to_all = server.scene._websock_interface.queue_message  # pyright: ignore[reportPrivateUsage]

    def send(message: Any) -> None:
        # Only messages about nodes carry an owner; marks do not.
        (to_nodes if hasattr(message, "owner") else to_all)(message)

    return send


class Recorder:
    """Turns a server's scene plus timed messages into the bytes of a ``.viser`` file."""

    def __init__(self, server: viser.ViserServer) -> None:
        self._serializer = server.get_scene_serializer()

    def send(self, message: Any) -> None:
        """Add a message at the current time of the recording."""
        self._serializer._insert_message(message)  # pyright: ignore[reportPrivateUsage]

    def wait(self, seconds: float) -> None:
        """Advance the time of the recording."""
        self._serializer.insert_sleep(seconds)

    def finish(self) -> bytes:
        """End the recording; call once."""
        return self._serializer.serialize()


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Shrink ``H W 3`` uint8 to ``THUMBNAIL_PX`` on its longer side."""
    from PIL import Image

    ratio = THUMBNAIL_PX / max(image.shape[:2])
    size = (max(2, round(image.shape[1] * ratio)), max(2, round(image.shape[0] * ratio)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def jpeg(image: np.ndarray) -> bytes:
    """Encode ``H W 3`` uint8 as JPEG."""
    import imageio.v3 as iio

    return iio.imwrite("<bytes>", image, extension=".jpg", quality=60)


def quat_wxyz_from_rotation(R: np.ndarray) -> np.ndarray:
    """Convert ``... 3 3`` rotations to ``... 4`` quaternions, w first."""
    from scipy.spatial.transform import Rotation

    quat_xyzw = Rotation.from_matrix(np.asarray(R, np.float64).reshape(-1, 3, 3)).as_quat()
    return quat_xyzw[:, [3, 0, 1, 2]].reshape(*R.shape[:-2], 4)


def rounded(values: np.ndarray) -> list[Any]:
    """Return the numbers rounded for sending, which halves the compressed size of recordings."""
    return (np.round(np.asarray(values, np.float64) * _QUANTUM) / _QUANTUM).tolist()
