"""A live viewer: a viser server whose scene grows while the model runs, with a timeline to look back.

The web page pipes it through its own port; the ``view`` command shows saved results with it. The server listens on
loopback only and lives until ``close``.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from human3r.bodies.smplx import local_rotations
from human3r.export import viser_scene
from human3r.export.motion import Skin, build_motion, build_skin
from human3r.export.scene_points import thinned_points
from human3r.export.viser_controls import Controls
from human3r.export.viser_views import framing_view
from human3r.geometry.fusion import voxel_keys
from human3r.geometry.ground import GroundCues, estimate_gravity
from human3r.palette import person_color

if TYPE_CHECKING:
    import viser

    from human3r.bodies import SmplxBody
    from human3r.reconstruction import Reconstruction
    from human3r.records import FramePrediction

MAX_POINTS = 300_000
MAX_NEW_POINTS_PER_FRAME = 20_000
VOXEL_M = 0.03
"""Points that fall into a cube that already has one are not sent again."""
_DROPPED_CONFIDENCE = 0.25
"""The least confident share of each frame's points, which are mostly edges and sky."""
_PERSON_PROBABILITY = 0.3
_HEAD, _PELVIS, _NECK, _FEET = 15, 0, 12, (10, 11)
_PATH_EVERY = 4
_CURRENT = "/camera/current"


@dataclass(frozen=True)
class _Moment:
    """Everything that moves, at one frame, in the y-up world."""

    T_gravity_camera: np.ndarray
    poses: dict[int, tuple[np.ndarray, np.ndarray]]
    """Track to quaternions ``55 4`` (wxyz) and positions ``55 3``, both absolute."""


class LiveScene:
    """One growing scene on its own viser server; ``add`` may be called from any one thread.

    Args:
        body: The body model of the session.
        fps: Speed of playback at first.
        port: Loopback port; 0 is any free one.
        is_panel_open: Show the controls at once; in a small frame they start as a bar.
    """

    def __init__(self, body: SmplxBody, fps: float = 10.0, port: int = 0, *, is_panel_open: bool = False) -> None:
        self._body = body
        self._skin: Skin = build_skin(body)
        self._moments: list[_Moment] = []
        self._known: set[int] = set()
        self._shown: set[int] = set()
        self._occupied = np.zeros(0, dtype=np.int64)
        self._T_gravity_world: np.ndarray | None = None
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._clouds: list[viser.PointCloudHandle] = []
        self._server = viser_scene.open_server(port)
        self._send = viser_scene.live_send(self._server)
        viser_scene.set_stage(self._server)
        self._controls = Controls(self, self._server, fps, is_open=is_panel_open)
        self._player = threading.Thread(target=self._play, name="human3r-live-viewer", daemon=True)
        self._player.start()

    @property
    def port(self) -> int:
        """Loopback port of the server."""
        return self._server.get_port()

    @property
    def num_frames(self) -> int:
        """Frames added so far."""
        return len(self._moments)

    @classmethod
    def from_reconstruction(cls, reconstruction: Reconstruction, body: SmplxBody, port: int = 0) -> LiveScene:
        """Open a viewer on a finished result."""
        scene = cls(body, fps=reconstruction.fps, port=port, is_panel_open=True)
        T = reconstruction.T_gravity_world.astype(np.float64)
        scene._T_gravity_world = T
        poses: list[dict[int, tuple[np.ndarray, np.ndarray]]] = [{} for _ in range(reconstruction.num_frames)]
        for track in reconstruction.tracks:
            if len(track.frames) == 0:
                continue
            motion = build_motion(reconstruction, track, body)
            scene._add_person(track.track_id, motion.rest_vertices, motion.rest_joints)
            quats = viser_scene.quat_wxyz_from_rotation(T[:3, :3] @ motion.R_world_joint)
            positions = motion.bones_world @ T[:3, :3].T + T[:3, 3]
            for row, frame in enumerate(track.frames.tolist()):
                poses[frame][track.track_id] = (quats[row], positions[row])
        points, colors = thinned_points(reconstruction, MAX_POINTS)
        scene._add_cloud(points, colors)
        size = tuple(int(side) for side in reconstruction.image_size)
        for frame, T_world_camera in enumerate(reconstruction.T_world_camera):
            moment = _Moment(T @ T_world_camera, poses[frame])
            scene._append(moment, reconstruction.K[frame], size, image=None, points=points)
        if reconstruction.num_frames:
            scene._controls.rewind()
        return scene

    @torch.inference_mode()
    def add(self, prediction: FramePrediction) -> None:
        """Show one more frame: people, camera, and the points that are new."""
        if self._closing.is_set():
            return
        T_world_camera = prediction.camera.T_world_camera.detach().cpu().numpy().astype(np.float64)
        joints = prediction.joints_world.detach().cpu().numpy().astype(np.float64)
        points_world, colors = _background(prediction, T_world_camera)
        if self._T_gravity_world is None:
            self._T_gravity_world = _first_gravity(T_world_camera, points_world, joints)
        T = self._T_gravity_world
        points = points_world @ T[:3, :3].T + T[:3, 3]
        poses = self._poses(prediction, T)
        with self._lock:
            self._add_cloud(*self._only_new(points, colors))
            image = prediction.image.detach().cpu().numpy()
            K = prediction.camera.K.detach().cpu().numpy()
            self._append(_Moment(T @ T_world_camera, poses), K, prediction.camera.image_size, image, points)

    def show(self, frame: int) -> None:
        """Move people and camera to one of the frames so far."""
        with self._lock, self._server.atomic():
            moment = self._moments[frame]
            present = set(moment.poses)
            for track in self._shown ^ present:
                viser_scene.show_person(self._send, track, is_present=track in present)
            self._shown = present
            for track, (quats, positions) in moment.poses.items():
                label = viser_scene.label_position(positions[_HEAD])
                viser_scene.pose_person(self._send, track, quats, positions, label)
            viser_scene.move_frustum(self._send, _CURRENT, moment.T_gravity_camera)

    def set_point_size(self, size_m: float) -> None:
        """Change the size of all scene points."""
        with self._lock:
            for cloud in self._clouds:
                cloud.point_size = size_m

    def set_visible(self, node: str, *, is_visible: bool) -> None:
        """Show or hide a node of the scene by name."""
        viser_scene.set_visible(self._send, node, is_visible=is_visible)

    def close(self) -> None:
        """Stop the server and the playback; closing twice is harmless."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._player.join(timeout=2)
        viser_scene.close_server(self._server)

    def __enter__(self) -> LiveScene:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _poses(self, prediction: FramePrediction, T: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        parameters = prediction.parameters_world.to("cpu")
        if len(parameters) == 0:
            return {}
        rest_joints = self._body.rest_joints(parameters.betas, parameters.expression)
        joints, R_world_joint = self._body.forward_kinematics(local_rotations(parameters), rest_joints)
        positions = (joints + parameters.transl[:, None]).numpy() @ T[:3, :3].T + T[:3, 3]
        quats = viser_scene.quat_wxyz_from_rotation(T[:3, :3] @ R_world_joint.numpy())
        poses = {}
        for row, track in enumerate(prediction.people.track_id.tolist()):
            if track not in self._known:
                rest = self._body.rest_vertices(parameters.betas[row : row + 1], parameters.expression[row : row + 1])
                self._add_person(track, rest[0].numpy(), rest_joints[row].numpy())
            poses[track] = (quats[row], positions[row])
        return poses

    def _add_person(self, track: int, rest_vertices: np.ndarray, rest_joints: np.ndarray) -> None:
        with self._lock:
            viser_scene.add_person(self._server, track, rest_vertices, rest_joints, self._skin)
            self._known.add(track)
            self._shown.add(track)
            self._controls.add_person(track)

    def _only_new(self, points: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keep one point of every cube that had none, as far as the bounds allow."""
        keys, first = np.unique(voxel_keys(points, VOXEL_M), return_index=True)
        is_new = ~np.isin(keys, self._occupied, assume_unique=True)
        room = min(MAX_NEW_POINTS_PER_FRAME, MAX_POINTS - len(self._occupied))
        fresh = np.flatnonzero(is_new)
        if len(fresh) > room:
            fresh = np.sort(np.random.default_rng(len(self._moments)).choice(fresh, max(room, 0), replace=False))
        self._occupied = np.union1d(self._occupied, keys[fresh])
        return points[first[fresh]], colors[first[fresh]]

    def _add_cloud(self, points: np.ndarray, colors: np.ndarray) -> None:
        if len(points):
            name = f"/points/{len(self._clouds):05d}"
            self._clouds.append(viser_scene.add_points(self._server, name, points, colors, self._controls.point_size_m))

    def _append(
        self,
        moment: _Moment,
        K: np.ndarray,
        image_size: tuple[int, int],
        image: np.ndarray | None,
        points: np.ndarray,
    ) -> None:
        self._moments.append(moment)
        count = len(self._moments)
        if count == 1:
            viser_scene.add_frustum(
                self._server,
                _CURRENT,
                K,
                image_size,
                moment.T_gravity_camera,
                scale_m=0.2,
                color=viser_scene.PATH_COLOR,
                image=viser_scene.thumbnail(image) if image is not None else None,
            )
            self._aim(moment, points)
        elif image is not None:
            viser_scene.set_frustum_image(self._send, _CURRENT, viser_scene.jpeg(viser_scene.thumbnail(image)))
        if count % _PATH_EVERY == 0:
            centres = np.array([each.T_gravity_camera[:3, 3] for each in self._moments])
            viser_scene.add_polyline(self._server, "/camera/path", centres, viser_scene.PATH_COLOR)
            for track in moment.poses:
                self._draw_trail(track)
        self._controls.grow(count)

    def _draw_trail(self, track: int) -> None:
        steps = [each.poses[track][1][_PELVIS] for each in self._moments if track in each.poses]
        trail = np.array(steps) * np.array([1.0, 0.0, 1.0]) + np.array([0.0, 0.01, 0.0])
        name = f"{viser_scene.person_node(track)}/trail"
        viser_scene.add_polyline(self._server, name, trail, person_color(track))

    def _aim(self, moment: _Moment, points: np.ndarray) -> None:
        bodies = [positions[:22] for _, positions in moment.poses.values()]
        surroundings = points if len(points) else moment.T_gravity_camera[None, :3, 3]
        subject = np.concatenate(bodies) if bodies else surroundings
        viser_scene.aim_initial_camera(self._server, framing_view(subject, moment.T_gravity_camera[:3, 2]))

    def _play(self) -> None:
        while not self._closing.wait(self._controls.interval_s):
            self._controls.tick()


def _background(prediction: FramePrediction, T_world_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return world points ``n 3`` and colours of what is confident and shows no person."""
    points = prediction.pointmap_camera.detach().cpu().numpy().astype(np.float64)
    confidence = prediction.confidence.detach().cpu().numpy()
    keep = prediction.person_mask.detach().cpu().numpy() < _PERSON_PROBABILITY
    keep &= np.isfinite(points).all(axis=-1) & (points[..., 2] > 0)
    if keep.any():
        keep &= confidence >= np.quantile(confidence[keep], _DROPPED_CONFIDENCE)
    colors = prediction.image.detach().cpu().numpy()[keep]
    return points[keep] @ T_world_camera[:3, :3].T + T_world_camera[:3, 3], colors


def _first_gravity(T_world_camera: np.ndarray, points: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Estimate up and floor from the first frame alone; the finished result has a better one."""
    cues = GroundCues(
        camera_rotations=T_world_camera[None, :3, :3],
        camera_positions=T_world_camera[None, :3, 3],
        points=points,
        feet=joints[:, list(_FEET)],
        spines=joints[:, _NECK] - joints[:, _PELVIS],
    )
    return estimate_gravity(cues).astype(np.float64)
