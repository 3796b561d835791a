"""What our player is told between viser's messages: facts about a scene, and which frame comes next.

Marks are comments in script messages, which viser passes on in order and other viewers pass over.
"""

from __future__ import annotations

import json

import numpy as np

from human3r.export.viewer.scene import Send, label_position, person_node, quat_wxyz_from_rotation, rounded


def mark_scene(send: Send, facts: dict[str, object]) -> None:
    """Put facts about the whole recording into it, for the player; other viewers pass over the comment."""
    _run_script(send, f"/*h3r {json.dumps({'scene': facts}, separators=(',', ':'))}*/")


def mark_frame(send: Send, frame: int) -> None:
    """Say that a frame's messages follow; stock viser tells the page around, which may lock a video to it."""
    _run_script(send, f"/*h3r {{\"frame\":{frame}}}*/parent.postMessage({{h3r:'frame',i:{frame}}},'*')")


def mark_moment(
    send: Send,
    facts: dict[str, object],
    poses: dict[int, tuple[np.ndarray, np.ndarray]],
    head: int,
    T_gravity_camera: np.ndarray,
) -> None:
    """Send a frame of a run that still goes on, as one mark: late viewers get every one of them, in order.

    Args:
        send: Where it goes.
        facts: ``frame`` and what else the player should know about it.
        poses: Track to absolute quaternions ``55 4`` (wxyz) and positions ``55 3`` of everyone who is in it.
        head: Joint over which the label stands.
        T_gravity_camera: Where the camera is.
    """
    bodies = {
        person_node(track): {
            "bones": rounded(np.concatenate([quat_wxyz, positions], axis=1).reshape(-1)),
            "label": rounded(label_position(positions[head])),
        }
        for track, (quat_wxyz, positions) in poses.items()
    }
    camera = {"wxyz": quat_wxyz_from_rotation(T_gravity_camera[:3, :3]), "position": T_gravity_camera[:3, 3]}
    moment = facts | {"bodies": bodies, "camera": {name: rounded(values) for name, values in camera.items()}}
    _run_script(send, f"/*h3r {json.dumps(moment, separators=(',', ':'))}*/")


def _run_script(send: Send, source: str) -> None:
    from viser import _messages

    send(_messages.RunJavascriptMessage(source))
