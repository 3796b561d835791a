"""The live viewer grows frame by frame, can be scrubbed, and frees its port and thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from synthetic_scene import prediction_of

from human3r.bodies import SmplxBody
from human3r.export.viser_live import LiveScene
from human3r.reconstruction import Reconstruction


@pytest.fixture
def live(small_body: SmplxBody) -> Iterator[LiveScene]:
    with LiveScene(small_body) as scene:
        yield scene


def sent(scene: LiveScene, kind: str) -> list[object]:
    messages = scene._server._websock_server._broadcast_buffer.message_from_id.values()
    return [message for message in messages if type(message).__name__ == kind]


def test_people_camera_and_points_appear_with_the_first_frame(live: LiveScene, walk: Reconstruction) -> None:
    live.add(prediction_of(walk, 0))
    assert len(sent(live, "SkinnedMeshMessage")) == 2
    assert len(sent(live, "CameraFrustumMessage")) == 1
    assert len(sent(live, "PointCloudMessage")) == 1


def test_people_stand_on_the_floor_grid(live: LiveScene, walk: Reconstruction) -> None:
    live.add(prediction_of(walk, 0))
    heights = [message.position[1] for message in sent(live, "SetBonePositionMessage")]
    assert -0.15 < min(heights) < 0.25
    assert 1.2 < max(heights) < 1.9


def test_a_still_scene_sends_its_points_once(live: LiveScene, walk: Reconstruction) -> None:
    for _ in range(4):
        live.add(prediction_of(walk, 0))
    assert len(sent(live, "PointCloudMessage")) == 1


def test_scrubbing_back_shows_who_was_there(live: LiveScene, walk: Reconstruction) -> None:
    for frame in range(5):
        live.add(prediction_of(walk, frame))
    visible = {message.name: message.visible for message in sent(live, "SetSceneNodeVisibilityMessage")}
    assert visible["/people/person_2/body"] is False
    live.show(1)
    visible = {message.name: message.visible for message in sent(live, "SetSceneNodeVisibilityMessage")}
    assert visible["/people/person_2/body"] is True


def test_a_frame_without_people_is_fine(live: LiveScene, nobody: Reconstruction) -> None:
    live.add(prediction_of(nobody, 0))
    assert live.num_frames == 1


def test_the_points_on_people_are_left_out(live: LiveScene, walk: Reconstruction) -> None:
    prediction = prediction_of(walk, 0)
    prediction.person_mask[:] = 1.0
    live.add(prediction)
    assert not sent(live, "PointCloudMessage")


def test_a_finished_result_can_be_looked_at(walk: Reconstruction, small_body: SmplxBody) -> None:
    with LiveScene.from_reconstruction(walk, small_body) as scene:
        assert scene.num_frames == walk.num_frames
        points = sent(scene, "PointCloudMessage")[0]
        assert len(points.props.points) == len(walk.points_world)


def test_closing_frees_port_and_threads(small_body: SmplxBody, walk: Reconstruction) -> None:
    before = {thread.ident for thread in threading.enumerate()}
    scene = LiveScene(small_body)
    port = scene.port
    scene.add(prediction_of(walk, 0))
    scene.close()
    scene.close()
    scene.add(prediction_of(walk, 1))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    ours = [thread for thread in threading.enumerate() if thread.ident not in before and "human3r" in thread.name]
    for thread in ours:  # told to end; a busy machine may not have let it run yet
        thread.join(60)
    assert not any(thread.is_alive() for thread in ours)


def test_the_number_of_points_is_bounded(
    live: LiveScene, walk: Reconstruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("human3r.export.viser_live.MAX_POINTS", 300)
    for frame in range(6):
        live.add(prediction_of(walk, frame, size=(48, 64)))
    total = sum(len(message.props.points) for message in sent(live, "PointCloudMessage"))
    assert 200 < total <= 300
