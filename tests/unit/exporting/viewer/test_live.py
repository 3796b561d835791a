"""The live viewer grows frame by frame, can be scrubbed, and frees its port and thread."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import viser
from scipy.spatial.transform import Rotation
from synthetic_scene import prediction_of
from tape_reader import Chunk, chunk_in
from websockets import ConnectionClosed, InvalidStatus, Subprotocol
from websockets.sync.client import ClientConnection, connect

from human3r.bodies import SmplxBody
from human3r.exporting.viewer.live import LiveScene
from human3r.results.reconstruction import Reconstruction


@pytest.fixture
def live(small_body: SmplxBody) -> Iterator[LiveScene]:
    with LiveScene(small_body) as scene:
        yield scene


def sent(scene: LiveScene, kind: str) -> list[object]:
    messages = scene._server._websock_server._broadcast_buffer.message_from_id.values()
    found = [message for message in messages if type(message).__name__ == kind]
    return [message for message in found if not getattr(message, "name", "").startswith("/materials/")]


def chunks(scene: LiveScene) -> list[Chunk]:
    """Return what the player gets, one chunk per frame."""
    return [chunk_in(message.source) for message in sent(scene, "RunJavascriptMessage") if "h3r.take" in message.source]


def test_people_camera_and_points_appear_with_the_first_frame(live: LiveScene, walk: Reconstruction) -> None:
    live.add(prediction_of(walk, 0))
    assert [message.name for message in sent(live, "SkinnedMeshMessage")] == [
        f"/people/person_{track}/{part}" for track in (1, 2) for part in ("few", "body")
    ]
    assert len(sent(live, "CameraFrustumMessage")) == 1
    assert [message.name for message in sent(live, "PointCloudMessage")] == ["/points/00000/few", "/points/00000/rest"]


def test_people_stand_on_the_floor_grid(live: LiveScene, walk: Reconstruction) -> None:
    live.add(prediction_of(walk, 0))
    heights = chunks(live)[0].joints[1][0, :, 5]
    assert -0.15 < min(heights) < 0.25
    assert 1.2 < max(heights) < 1.9


def test_a_still_scene_sends_its_points_once(live: LiveScene, walk: Reconstruction) -> None:
    for _ in range(4):
        live.add(prediction_of(walk, 0))
    assert [message.name for message in sent(live, "PointCloudMessage")] == ["/points/00000/few", "/points/00000/rest"]


def test_the_surface_grows_with_more_looks_and_is_replaced(live: LiveScene, walk: Reconstruction) -> None:
    first = prediction_of(walk, 0)
    for number in range(12):
        live.add(replace(first, time_s=0.2 * number, frame_index=number))
        live.add_source(np.full((*first.camera.image_size, 3), 90, np.uint8))
    names = [message.name for message in sent(live, "GlbMessage")]
    told = [piece for chunk in chunks(live) for piece in chunk.header["surface"]]
    assert told == [["/scene/live_00000", None], ["/scene/live_00001", "/scene/live_00000"]]
    # The first sheet stays until a browser has surely drawn the second.
    assert names == ["/scene/live_00000", "/scene/live_00001"]
    for number in range(12, 12 + 25):
        live.add(replace(first, time_s=2.4 + 0.01 * number, frame_index=number), with_scene=False)
    assert [message.name for message in sent(live, "GlbMessage")] == ["/scene/live_00001"]


def test_every_frame_is_kept_for_those_who_come_late(live: LiveScene, walk: Reconstruction) -> None:
    for frame in range(5):
        live.add(prediction_of(walk, frame))
    tape = [chunk for chunk in chunks(live) if chunk.header["times_s"]]  # others are about the surface
    assert [chunk.header["first"] for chunk in tape] == [0, 1, 2, 3, 4]
    assert [chunk.header["times_s"][0] for chunk in tape] == pytest.approx(list(walk.time_s[:5] - walk.time_s[0]))
    assert [sorted(chunk.joints) for chunk in tape[1:4:2]] == [[1, 2], [1]]
    assert [person["id"] for person in tape[4].header["people"]] == [1, 2]
    assert [chunk.header["scene"] is None for chunk in tape] == [False, True, True, True, True]
    assert all(picture.startswith(b"\xff\xd8") for chunk in tape for picture in chunk.pictures.values())


def test_a_trail_that_is_drawn_again_stays_below_the_node_that_hides_it(live: LiveScene, walk: Reconstruction) -> None:
    for frame in range(8):
        live.add(prediction_of(walk, frame))
    assert "/people/person_1/trail/line" in {message.name for message in sent(live, "LineSegmentsMessage")}


def test_a_body_stands_where_the_result_has_it_though_its_shape_was_seen_otherwise_at_first(
    live: LiveScene, walk: Reconstruction, small_body: SmplxBody
) -> None:
    first = prediction_of(walk, 0)
    first.parameters_world.betas[:] += 2.0
    live.add(first)
    live.add(prediction_of(walk, 1))
    seen = chunks(live)[1].joints[1][0]
    row = int(np.flatnonzero((walk.person_frame == 1) & (walk.person_track == 1))[0])
    root = live._T_gravity_world[:3, :3] @ walk.joints_world[row, 0] + live._T_gravity_world[:3, 3]
    bind = np.array(sent(live, "SkinnedMeshMessage")[0].props.bone_positions)
    shape, face = torch.tensor(walk.betas[row : row + 1]), torch.tensor(walk.expression[row : row + 1])
    joints = small_body.rest_joints(shape, face).numpy()
    R_world_root = Rotation.from_quat(seen[0, [1, 2, 3, 0]]).as_matrix()
    expected = root + R_world_root @ (bind[0] - joints[0, 0])
    np.testing.assert_allclose(seen[0, 4:], expected, atol=1e-3)


def test_a_frame_without_people_is_fine(live: LiveScene, nobody: Reconstruction) -> None:
    live.add(prediction_of(nobody, 0))
    assert live.num_frames == 1


def test_the_points_on_people_are_left_out(live: LiveScene, walk: Reconstruction) -> None:
    prediction = prediction_of(walk, 0)
    prediction.person_mask[:] = 1.0
    live.add(prediction)
    assert not sent(live, "PointCloudMessage")


@pytest.mark.parametrize(
    ("path", "origin", "is_admitted"),
    [
        ("{token}", None, True),
        ("{token}?a=b", None, True),
        ("{token}", "http://127.0.0.1:8080", True),
        ("{token}", "http://localhost", True),
        ("{token}", "https://example.org", False),
        ("{token}", "http://127.0.0.1.example.org", False),
        ("{token}", "null", False),
        ("", None, False),
        ("{token}x", None, False),
        ("guess", None, False),
    ],
)
def test_only_who_knows_the_address_and_comes_from_here_is_admitted(
    live: LiveScene, walk: Reconstruction, path: str, origin: str | None, is_admitted: bool
) -> None:
    live.add(prediction_of(walk, 0))
    address = live.url.rpartition("/")[0] + "/" + path.format(token=live.url.rpartition("/")[2])
    protocols = [Subprotocol(f"viser-v{viser.__version__}")]
    try:
        with connect(address, subprotocols=protocols, origin=origin, max_size=None, compression=None) as browser:
            assert browser.recv(60)
        answer = 101
    except InvalidStatus as refused:
        answer = refused.response.status_code
    assert answer == (101 if is_admitted else 404)


@pytest.mark.parametrize("path", ["", "index.html", "{token}"])
def test_the_port_serves_no_files(live: LiveScene, path: str) -> None:
    address = live.url.replace("ws:", "http:").rpartition("/")[0] + "/" + path.format(token=live.url.rpartition("/")[2])
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(address, timeout=60)


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
    monkeypatch.setattr("human3r.exporting.viewer.live.MAX_POINTS", 300)
    for frame in range(6):
        live.add(prediction_of(walk, frame, size=(48, 64)))
    total = sum(len(message.props.points) for message in sent(live, "PointCloudMessage"))
    assert 200 < total <= 300


@pytest.mark.parametrize("message", [b"\xc1\xff", "text", b"\x91" * 50_000 + b"\x90", b"\x81\xa4type\xa4Nope"])
def test_nonsense_of_a_client_ends_its_socket_with_one_line_of_the_log(
    live: LiveScene, caplog: pytest.LogCaptureFixture, message: bytes | str
) -> None:
    protocols = [Subprotocol(f"viser-v{viser.__version__}")]
    with connect(live.url, subprotocols=protocols, max_size=None, proxy=None) as client:
        client.send(message)
        with pytest.raises(ConnectionClosed):
            _read_on(client)
    assert [record for record in caplog.records if record.exc_info] == []


def _read_on(client: ClientConnection) -> None:
    while True:
        client.recv(timeout=60)
