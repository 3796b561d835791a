"""The motion tape: all motion of a scene in the player's format.

One format for finished results and active runs. A tape is a sequence of chunks of frames: a result is one chunk, a
run sends one per frame. Everything is in the y-up world whose floor is y = 0.

A chunk is a uint32 header length, the header as JSON padded to 4 bytes, then little-endian float32: a camera of 7
numbers (quaternion wxyz, position) per frame, then for every body of the header and each of its frames 55 joints of 7
numbers and a label position of 3; at last the JPEG pictures of the camera.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from human3r.exporting.viewer.scene import Send, label_position, quat_wxyz_from_rotation, rounded
from human3r.palette import person_color
from human3r.skeleton import Joint


@dataclass(frozen=True)
class BodyPose:
    """One person at one frame."""

    quat_wxyz: np.ndarray
    """``55 4`` absolute joint rotations."""
    positions: np.ndarray
    """``55 3`` absolute joint positions, meters."""

    @property
    def label(self) -> np.ndarray:
        """``3`` where the label stands."""
        return label_position(self.positions[Joint.HEAD])


@dataclass(frozen=True)
class TapeFrame:
    """Motion data of one frame."""

    time_s: float
    """Seconds from the first frame."""
    half_height: float
    """Half the picture's height over the focal length."""
    T_gravity_camera: np.ndarray
    """``4 4``"""
    bodies: dict[int, BodyPose]
    """Everyone who is in the frame, by identity."""
    picture: bytes | None = None
    """JPEG that the camera shows from now on."""
    points: str | None = None
    """Name of a point cloud that has come with this frame."""


@dataclass
class TapeWriter:
    """Turns frames into chunks and numbers them."""

    num_frames: int = 0
    people: list[int] = field(default_factory=list)
    """The people so far, in the order of their first frames."""

    def chunk(
        self,
        frames: list[TapeFrame],
        scene: dict[str, object] | None = None,
        surface: Sequence[tuple[str, str | None]] = (),
    ) -> bytes:
        """Return the next frames as a chunk.

        Args:
            frames: May be empty.
            scene: Facts about the whole scene: ``aspect``, ``views``, ``fps`` and the points; with the first chunk.
            surface: Pieces of the scene's surface that have come: each one's name, and the piece that it replaces.
        """
        rows: dict[int, list[int]] = {}
        for index, frame in enumerate(frames, start=self.num_frames):
            for track in frame.bodies:
                rows.setdefault(track, []).append(index)
        self.people += [track for track in rows if track not in self.people]
        pictures = [(index, each.picture) for index, each in enumerate(frames, self.num_frames) if each.picture]
        header = {
            "scene": scene,
            "first": self.num_frames,
            "times_s": [round(frame.time_s, 5) for frame in frames],
            "half_heights": [round(frame.half_height, 5) for frame in frames],
            "people": [{"id": track, "color": person_color(track)} for track in self.people],
            "points": [frame.points for frame in frames if frame.points],
            "surface": list(surface),
            "bodies": [{"id": track, "frames": indices} for track, indices in rows.items()],
            "pictures": [(index, len(picture)) for index, picture in pictures],
        }
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        parts = [struct.pack("<I", len(text)), text]
        parts += [_camera_row(frame) for frame in frames]
        for track, indices in rows.items():
            parts += [_body_row(frames[index - self.num_frames].bodies[track]) for index in indices]
        self.num_frames += len(frames)
        return b"".join([*parts, *(picture for _, picture in pictures)])


def send_chunk(send: Send, chunk: bytes) -> None:
    """Send a chunk to the player through viser, in order with its messages; viser itself ignores it."""
    from viser import _messages

    text = base64.b64encode(chunk).decode("ascii")
    send(_messages.RunJavascriptMessage(f'window.h3r&&h3r.take("{text}")'))


def _camera_row(frame: TapeFrame) -> bytes:
    quat_wxyz = quat_wxyz_from_rotation(frame.T_gravity_camera[:3, :3])
    return _packed(np.concatenate([quat_wxyz, frame.T_gravity_camera[:3, 3]]))


def _body_row(pose: BodyPose) -> bytes:
    joints = np.concatenate([pose.quat_wxyz, pose.positions], axis=1)
    return _packed(np.concatenate([joints.reshape(-1), pose.label]))


def _packed(values: np.ndarray) -> bytes:
    return np.asarray(rounded(values), "<f4").tobytes()
