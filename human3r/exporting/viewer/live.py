"""A live viewer: a viser server whose scene grows while the model runs.

Static data (bodies, points, lines) are viser nodes; motion is sent as one chunk of the motion tape per frame. The
player keeps the tape, so that a visitor can seek in the past of a run. The server listens on loopback only, answers
under its secret ``url`` only, and lives until ``close``.
"""

from __future__ import annotations

import json
import secrets
import threading
from typing import TYPE_CHECKING

import numpy as np
import torch

from human3r.bodies.smplx import local_rotations
from human3r.exporting.gltf.scene import sheet_glb
from human3r.exporting.motion import Skin, build_skin, coarse_skin
from human3r.exporting.scene_points import footprint_m
from human3r.exporting.viewer import scene as viser_scene
from human3r.exporting.viewer.meshes import prepare_materials
from human3r.exporting.viewer.server import close_server, open_server
from human3r.exporting.viewer.tape import BodyPose, TapeFrame, TapeWriter, send_chunk
from human3r.exporting.viewer.views import Content, all_views
from human3r.geometry.fusion import depth_edges, voxel_keys
from human3r.geometry.ground import GroundEvidence, estimate_gravity
from human3r.geometry.rigid import transform_points
from human3r.results.trusted_pixels import EDGE_TOLERANCE, scene_pixels
from human3r.skeleton import NUM_BODY_JOINTS, Joint
from human3r.surface.growing import GrowingSurface

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.records import FramePrediction

MAX_POINTS = 300_000
MAX_NEW_POINTS_PER_FRAME = 20_000
VOXEL_M = 0.03
"""Side of the cubes of which only one point each is sent."""
POINT_SIZE_M = 0.02
"""At least; points are drawn at their own footprint, and a little larger than in the finished result."""
_FOOTPRINTS = 1.4
_FRAMES_PER_PATH = 4
_COARSE_M = 0.04
"""Of the bodies that browsers show which draw on the processor."""
_FEW_VOXEL_M, _MAX_FEW = 0.3, 5000
"""One point of every such cube is in the part of a cloud that browsers show which draw on the processor."""
_MAX_FRAMED = 4000
"""Points that the first view is chosen by."""
_OVERLAP_FRAMES = 20
"""After which a replaced sheet is removed: browsers have drawn the new one, whose texture they decode first."""
_CURRENT = "/camera/current"
_NO_POINTS = np.zeros((0, 3)), np.zeros((0, 3), np.uint8)


class LiveScene:
    """One growing scene on its own viser server; ``add`` may be called from any one thread.

    Args:
        port: Loopback port; 0 is any free one.
    """

    def __init__(self, body: SmplxBody, port: int = 0) -> None:
        self._body = body
        self._skin: Skin = build_skin(body)
        self._coarse: tuple[np.ndarray, Skin] | None = None
        self._centers: list[np.ndarray] = []
        """Where the camera was in each frame."""
        self._steps: dict[int, list[np.ndarray]] = {}
        """Joints of each person in the frames that show the person."""
        self._tape = TapeWriter()
        self._bind_joints: dict[int, torch.Tensor] = {}
        self._occupied, self._few = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        self._T_gravity_world: np.ndarray | None = None
        self._start_s, self._num_clouds, self._num_sheets = 0.0, 0, 0
        self._surface = GrowingSurface()
        self._sheets: dict[int, str] = {}
        """Node of each view's sheet."""
        self._replaced: list[tuple[int, str]] = []
        """Sheets to be removed, and the number of frames that there are then."""
        self._is_unchecked, self._may_grow = False, True
        """The surface may have grown with the last frame; and it is shown."""
        self._lock = threading.Lock()
        self._is_closed = False
        self._token = secrets.token_urlsafe(16)
        self._server = open_server(port, self._token)
        self._send = viser_scene.live_send(self._server)
        viser_scene.set_stage(self._server)
        prepare_materials(self._server)
        self._run("window.h3r&&h3r.begin()")

    @property
    def port(self) -> int:
        """Loopback port of the server."""
        return self._server.get_port()

    @property
    def url(self) -> str:
        """Secret address of its socket."""
        return f"ws://127.0.0.1:{self.port}/{self._token}"

    @property
    def num_frames(self) -> int:
        """Number of frames added so far."""
        return len(self._centers)

    @torch.inference_mode()
    def add(self, prediction: FramePrediction, *, with_scene: bool = True, with_surface: bool = True) -> None:
        """Show one more frame: people and camera at once, then what is new of the scene.

        Args:
            with_scene: Add its new points, and take it as a look at the surface.
            with_surface: The surface may grow, which takes several times as long as a frame.
        """
        T_world_camera = prediction.camera.T_world_camera.detach().cpu().numpy().astype(np.float64)
        joints = prediction.joints_world.detach().cpu().numpy().astype(np.float64)
        points_world, colors = _background(prediction, T_world_camera) if with_scene else _NO_POINTS
        if self._T_gravity_world is None:
            self._T_gravity_world = _first_gravity(T_world_camera, points_world, joints)
            self._start_s = prediction.time_s
        T = self._T_gravity_world
        points = points_world @ T[:3, :3].T + T[:3, 3]
        with self._lock:
            if not self._is_closed:
                self._append(prediction, T, points, colors)
        self._may_grow = with_surface
        self._grow()
        if with_scene:
            self._surface.add(prediction)
            self._is_unchecked = True

    def add_source(self, image: np.ndarray) -> None:
        """Take the source frame ``H W 3`` uint8 of the frame that was added last: the surface shows it."""
        if self._is_unchecked:
            self._surface.add_source(image)
            self._grow()

    def _grow(self) -> None:
        """Show the piece of the surface that has changed, if any."""
        if not (self._is_unchecked and self._may_grow):
            return
        assert self._T_gravity_world is not None
        self._is_unchecked = False
        grown = self._surface.grown(self._T_gravity_world)
        if grown is None:
            return
        number, sheet = grown
        before, name = self._sheets.get(number), f"/scene/live_{self._num_sheets:05d}"
        self._sheets[number], self._num_sheets = name, self._num_sheets + 1
        if before is not None:
            self._replaced.append((self.num_frames + _OVERLAP_FRAMES, before))
        with self._lock:
            if self._is_closed:
                return
            viser_scene.add_surface(self._server, name, sheet_glb(sheet))
            send_chunk(self._send, self._tape.chunk([], surface=[(name, before)]))

    def lead_to(self, url: str) -> None:
        """Make every page that shows this scene open another address; an empty one is its own."""
        with self._lock:
            if not self._is_closed:
                self._run(f"location.replace({json.dumps(url)})")

    def _run(self, script: str) -> None:
        from viser import _messages

        self._send(_messages.RunJavascriptMessage(script))

    def close(self) -> None:
        """Stop the server; closing twice is harmless."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                close_server(self._server)

    def __enter__(self) -> LiveScene:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, prediction: FramePrediction, T: np.ndarray, points: np.ndarray, colors: np.ndarray) -> None:
        K = prediction.camera.K.detach().cpu().numpy().astype(np.float64)
        height, width = prediction.camera.image_size
        picture = viser_scene.thumbnail(prediction.image.detach().cpu().numpy())
        frame = TapeFrame(
            time_s=float(prediction.time_s) - self._start_s,
            half_height=float(height / 2 / K[1, 1]),
            T_gravity_camera=T @ prediction.camera.T_world_camera.detach().cpu().numpy().astype(np.float64),
            bodies=self._poses(prediction, T),
            picture=viser_scene.jpeg(picture),
            points=self._add_cloud(prediction, *self._only_new(points, colors)),
        )
        self._centers.append(frame.T_gravity_camera[:3, 3])
        for track, pose in frame.bodies.items():
            self._steps.setdefault(track, []).append(pose.positions.astype(np.float32))
        while self._replaced and self._replaced[0][0] <= self.num_frames:
            self._server.scene.remove_by_name(self._replaced.pop(0)[1])
        scene: dict[str, object] | None = None
        if self.num_frames == 1:
            color, T_gravity_camera = viser_scene.PATH_COLOR, frame.T_gravity_camera
            viser_scene.add_frustum(
                self._server, _CURRENT, K, (height, width), T_gravity_camera, scale_m=0.2, color=color, image=picture
            )
            scene = {"is_live": True, "aspect": width / height, "views": self._views(frame, points)}
        send_chunk(self._send, self._tape.chunk([frame], scene))
        if self.num_frames % _FRAMES_PER_PATH == 0:
            self._draw_paths(frame.bodies)

    def _poses(self, prediction: FramePrediction, T: np.ndarray) -> dict[int, BodyPose]:
        parameters = prediction.parameters_world.to("cpu")
        if len(parameters) == 0:
            return {}
        rest_joints = self._body.rest_joints(parameters.betas, parameters.expression)
        joints, R_world_joint = self._body.forward_kinematics(local_rotations(parameters), rest_joints)
        tracks = prediction.people.track_id.tolist()
        for row, track in enumerate(tracks):
            if track not in self._bind_joints:
                rest = self._body.rest_vertices(parameters.betas[row : row + 1], parameters.expression[row : row + 1])
                self._coarse = self._coarse or coarse_skin(self._skin, rest[0].numpy(), _COARSE_M)
                viser_scene.add_person(
                    self._server, track, rest[0].numpy(), rest_joints[row].numpy(), self._skin, self._coarse
                )
                self._bind_joints[track] = rest_joints[row]
        # A body keeps the shape of its first observation: its bones rotate about the joints of that shape.
        bind_joints = torch.stack([self._bind_joints[track] for track in tracks])
        shift = (R_world_joint @ (bind_joints - rest_joints)[..., None])[..., 0]
        positions = (joints + parameters.transl[:, None] + shift).numpy() @ T[:3, :3].T + T[:3, 3]
        quats = viser_scene.quat_wxyz_from_rotation(T[:3, :3] @ R_world_joint.numpy())
        return {track: BodyPose(quats[row], positions[row]) for row, track in enumerate(tracks)}

    def _only_new(self, points: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keep one point of every empty cube, within the limits."""
        keys, first = np.unique(voxel_keys(points, VOXEL_M), return_index=True)
        is_new = ~np.isin(keys, self._occupied, assume_unique=True)
        room = min(MAX_NEW_POINTS_PER_FRAME, MAX_POINTS - len(self._occupied))
        fresh = np.flatnonzero(is_new)
        if len(fresh) > room:
            fresh = np.sort(np.random.default_rng(self.num_frames + 1).choice(fresh, max(room, 0), replace=False))
        # Both are sorted; NumPy's union would hash every key again, for .2 s per frame.
        self._occupied = np.insert(self._occupied, np.searchsorted(self._occupied, keys[fresh]), keys[fresh])
        return points[first[fresh]], colors[first[fresh]]

    def _add_cloud(self, prediction: FramePrediction, points: np.ndarray, colors: np.ndarray) -> str | None:
        """Add points as a node and return its name; without points there is no node."""
        if len(points) == 0:
            return None
        name = f"/points/{self._num_clouds:05d}"
        self._num_clouds += 1
        assert self._T_gravity_world is not None
        T = self._T_gravity_world @ prediction.camera.T_world_camera.detach().cpu().numpy().astype(np.float64)
        distance_m = np.linalg.norm(points - T[:3, 3], axis=1)
        pixels = (prediction.source_rect_px[2] - prediction.source_rect_px[0]) / prediction.confidence.shape[1]
        footprints_m = footprint_m(distance_m, float(prediction.camera.K[0, 0]), pixels)
        size_m = max(POINT_SIZE_M, _FOOTPRINTS * float(np.median(footprints_m)))
        keys, first = np.unique(voxel_keys(points, _FEW_VOXEL_M), return_index=True)
        is_new = ~np.isin(keys, self._few, assume_unique=True)
        is_new[0] = True  # every node exists
        few = first[is_new][: max(1, _MAX_FEW - len(self._few))]
        self._few = np.union1d(self._few, keys[is_new][: len(few)])
        for part, rows in (("few", few), ("rest", np.delete(np.arange(len(points)), few))):
            if len(rows):
                viser_scene.add_points(self._server, f"{name}/{part}", points[rows], colors[rows], size_m)
        return name

    def _draw_paths(self, bodies: dict[int, BodyPose]) -> None:
        viser_scene.add_polyline(self._server, "/camera/path", np.array(self._centers), viser_scene.PATH_COLOR)
        for track in bodies:
            viser_scene.add_trail(self._server, track, np.array(self._steps[track]))

    def _views(self, frame: TapeFrame, points: np.ndarray) -> dict[str, object]:
        """Frame the people of the first frame, and return the available views."""
        bodies = [pose.positions[:NUM_BODY_JOINTS] for pose in frame.bodies.values()]
        people = np.concatenate(bodies) if bodies else np.zeros((0, 3))
        some_points = points[:: max(1, len(points) // _MAX_FRAMED)]  # of all, the search takes a quarter of a second
        views = all_views(Content(people, some_points, frame.T_gravity_camera[None]))
        viser_scene.set_initial_camera(self._server, views["world"])
        return {name: view.to_dict() for name, view in views.items()}


def _background(prediction: FramePrediction, T_world_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return world points ``n 3`` and colors of the pixels that the fused scene is made of, without depth edges."""
    points = prediction.pointmap_camera.numpy()
    depth = points[..., 2]
    keep = scene_pixels(prediction) & ~depth_edges(np.where(np.isfinite(depth), depth, 0.0), EDGE_TOLERANCE)
    return transform_points(T_world_camera, points[keep].astype(np.float64)), prediction.image.numpy()[keep]


def _first_gravity(T_world_camera: np.ndarray, points: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Estimate up and floor from the first frame alone; the finished result has a better estimate."""
    evidence = GroundEvidence(
        camera_rotations=T_world_camera[None, :3, :3],
        camera_positions=T_world_camera[None, :3, 3],
        points=points,
        feet=joints[:, [Joint.LEFT_FOOT, Joint.RIGHT_FOOT]],
        spines=joints[:, Joint.NECK] - joints[:, Joint.PELVIS],
    )
    return estimate_gravity(evidence).astype(np.float64)
