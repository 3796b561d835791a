"""What a recording says, message by message; how it looks is checked in tests/web."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from synthetic_scene import keyframe_of, slanted_plane, walking_reconstruction
from tape_reader import chunk_in
from viser_file import Recording, read_recording

from human3r.bodies import SmplxBody, load_body
from human3r.exporting.source import ExportSource
from human3r.exporting.viewer import finished as finished_module
from human3r.exporting.viewer.finished import build_finished
from human3r.exporting.viewer.recording import html_page, player_scene, record
from human3r.palette import person_color
from human3r.results.posing import posed_vertices
from human3r.results.reconstruction import Reconstruction
from human3r.surface.meshing.sheets import build_surface
from human3r.video.writer import VideoWriter


@pytest.fixture(scope="module")
def recording(walk: Reconstruction, small_body: SmplxBody) -> Recording:
    return read_recording(record(build_finished(walk, small_body)))


@pytest.fixture(scope="module")
def still(walk: Reconstruction, small_body: SmplxBody) -> Recording:
    return read_recording(player_scene(build_finished(walk, small_body)))


def test_it_lasts_as_long_as_the_clip(recording: Recording, walk: Reconstruction) -> None:
    assert recording.duration_s == pytest.approx(walk.num_frames / walk.fps)


def test_it_runs_no_script(recording: Recording) -> None:
    assert not recording.of_type("RunJavascriptMessage")


def test_the_players_scene_does_not_move_and_ends_with_the_tape(still: Recording) -> None:
    kinds = [message["type"] for _, message in still.messages]
    assert still.duration_s == 0
    assert kinds[-1] == "RunJavascriptMessage"
    assert kinds.count("RunJavascriptMessage") == 1
    assert not {kind for kind in kinds if "Bone" in kind}


def test_the_tape_holds_times_people_views_and_points(still: Recording, walk: Reconstruction) -> None:
    header = chunk_in(still.messages[-1][1]["source"]).header
    scene = header["scene"]

    np.testing.assert_allclose(header["times_s"], walk.time_s - walk.time_s[0], atol=1e-4)
    assert [(body["id"], len(body["frames"])) for body in header["bodies"]] == [(1, 12), (2, 9)]
    assert header["people"][0] == {"id": 1, "color": list(person_color(1))}
    clouds = {message["name"]: message["props"] for _, message in still.of_type("PointCloudMessage")}
    assert [node["name"] for node in scene["point_nodes"]] == list(clouds)
    assert {name.rsplit("/", 1)[0] for name in clouds} == set(scene["point_bands"])
    sizes = [clouds[node["name"]]["point_size"] for node in scene["point_nodes"]]
    scales = [node["scale"] for node in scene["point_nodes"]]
    np.testing.assert_allclose(sizes, scene["point_size_m"] * np.array(scales), rtol=0.01)
    assert scene["views"]["top"]["position"][1] > scene["views"]["top"]["look_at"][1] + 2
    assert len(header["half_heights"]) == walk.num_frames
    assert scene["shots_s"] == [0.0]


def test_shots_are_marked_on_the_timeline(walk: Reconstruction) -> None:
    cut = replace(walk, shot=np.repeat([0, 1, 2], [5, 3, 4]))
    assert cut.shot_starts_s == pytest.approx((walk.time_s - walk.time_s[0])[[0, 5, 8]])


def test_the_tape_and_the_recording_pose_a_body_alike(
    still: Recording, recording: Recording, walk: Reconstruction
) -> None:
    chunk, frame = chunk_in(still.messages[-1][1]["source"]), 7
    joints, quats = bones_at(recording, "/people/person_1/body", walk.time_s[frame])

    np.testing.assert_array_equal(chunk.joints[1][frame], np.concatenate([quats, joints], axis=1).astype(np.float32))
    np.testing.assert_array_equal(chunk.labels[1][frame][[0, 2]], joints[15, [0, 2]].astype(np.float32))


def test_presence_toggles_the_body_and_never_the_person(recording: Recording) -> None:
    visibility = recording.of_type("SetSceneNodeVisibilityMessage")
    changes = [
        (round(time_s, 3), message["visible"])
        for time_s, message in visibility
        if message["name"] == "/people/person_2/body"
    ]
    assert changes[-3:] == [(0.0, True), (0.3, False), (0.6, True)]
    assert not [1 for time_s, message in visibility if message["name"] == "/people/person_2" and time_s > 0]


def test_bones_pose_the_rest_mesh_into_the_reconstructed_one(
    recording: Recording, walk: Reconstruction, small_body: SmplxBody
) -> None:
    frame, track = 7, 1
    joints, quats = bones_at(recording, f"/people/person_{track}/body", walk.time_s[frame])
    row = int(np.flatnonzero((walk.person_frame == frame) & (walk.person_track == track))[0])
    T = walk.T_gravity_world
    expected_joints = walk.joints_world[row] @ T[:3, :3].T + T[:3, 3]
    np.testing.assert_allclose(joints, expected_joints, atol=3e-4)
    R = Rotation.from_quat(quats[:, [1, 2, 3, 0]]).as_matrix()
    betas = np.asarray(walk.betas[row])
    rest = small_body.template.numpy() + small_body.shape_directions.numpy() @ betas
    rest_joints = small_body.joint_template.numpy() + small_body.joint_shape_directions.numpy() @ betas
    local = rest[:, None] - rest_joints[None]
    posed = np.einsum("vj,jab,vjb->va", small_body.skinning_weights.numpy(), R, local)
    posed += small_body.skinning_weights.numpy() @ joints
    expected = posed_vertices(walk, small_body, np.array([row]))[0] @ T[:3, :3].T + T[:3, 3]
    # The recording has no morphs: the face may differ by the expression (2.5 mm here).
    assert np.abs(posed - expected).max() < 4e-3


def bones_at(recording: Recording, name: str, time_s: float) -> tuple[np.ndarray, np.ndarray]:
    joints, quats = np.full((55, 3), np.nan), np.full((55, 4), np.nan)
    for at, message in recording.messages:
        if at <= time_s + 1e-9 and message.get("name") == name:
            if message["type"] == "SetBonePositionMessage":
                joints[message["bone_index"]] = message["position"]
            elif message["type"] == "SetBoneOrientationMessage":
                quats[message["bone_index"]] = message["wxyz"]
    return joints, quats


def test_every_person_has_a_shape_of_their_own(
    walk: Reconstruction, small_body: SmplxBody, monkeypatch: pytest.MonkeyPatch
) -> None:
    betas = walk.track_betas.copy()
    betas[1, 0] += 3.0
    heights = {}

    def note(server: object, track: int, rest_vertices: np.ndarray, *_: object) -> None:
        heights[track] = float(np.ptp(rest_vertices[:, 1]))

    monkeypatch.setattr("human3r.exporting.viewer.scene.add_person", note)
    build_finished(replace(walk, track_betas=betas), small_body)
    rest = small_body.rest_vertices(torch.tensor(betas), torch.zeros(len(betas), 10)).numpy()
    wanted = np.ptp(rest[:, :, 1], axis=1)
    assert wanted[1] > 1.05 * wanted[0]
    assert [heights[1], heights[2]] == pytest.approx(list(wanted), abs=1e-3)


def test_the_scene_is_upright_with_a_floor_and_a_view_of_the_people(recording: Recording, walk: Reconstruction) -> None:
    grid = recording.of_type("GridMessage")[0][1]
    assert grid["props"]["plane"] == "xz"
    position = np.array(recording.of_type("SetCameraPositionMessage")[-1][1]["position"])
    look_at = np.array(recording.of_type("SetCameraLookAtMessage")[-1][1]["look_at"])
    T = walk.T_gravity_world
    people = walk.joints_world[:, 0] @ T[:3, :3].T + T[:3, 3]
    camera = (T @ walk.T_world_camera[0])[:3, 3]
    toward = (look_at - position) / np.linalg.norm(look_at - position)
    shown = np.vstack([people, camera]) - position
    assert position[1] > people[:, 1].max()
    # Within the field of view, which is the narrower one from top to bottom.
    assert (np.arccos(shown @ toward / np.linalg.norm(shown, axis=1)) < 0.85 / 2).all()
    assert position[1] > look_at[1]
    assert 2 < np.linalg.norm(position - look_at) < 20


def test_a_clip_gives_the_cameras_pictures(tmp_path: Path, walk: Reconstruction, small_body: SmplxBody) -> None:
    clip = tmp_path / "clip.mp4"
    with VideoWriter(clip, walk.fps) as video:
        for _ in range(walk.num_frames):
            video.append(np.full((*walk.image_size, 3), 90, np.uint8))
    scene = ExportSource(walk, small_body, clip).viewer_scene
    with_pictures = read_recording(record(scene))
    updates = with_pictures.of_type("SceneNodeUpdateMessage")
    assert sum("_image_data" in message["updates"] for _, message in updates) == walk.num_frames
    still = read_recording(player_scene(scene))
    assert len(chunk_in(still.messages[-1][1]["source"]).pictures) == walk.num_frames


def test_a_clip_that_is_gone_costs_only_the_pictures(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody
) -> None:
    assert read_recording(record(ExportSource(walk, small_body, tmp_path / "gone.mp4").viewer_scene)).duration_s > 1


def test_a_clip_without_people_is_recorded(nobody: Reconstruction, small_body: SmplxBody) -> None:
    recording = read_recording(record(build_finished(nobody, small_body)))
    assert not recording.of_type("SkinnedMeshMessage")
    assert recording.of_type("CameraFrustumMessage")


def test_a_hundred_frames_of_two_people_and_200k_points_stay_below_3_mb() -> None:
    body = load_body()
    walk = walking_reconstruction(body, num_frames=100, num_points=200_000)
    finished = build_finished(walk, body)
    scene = player_scene(finished)
    assert len(record(finished)) < 3_000_000
    assert len(scene) < 3_000_000
    assert len(html_page(scene)) < 5_000_000


def test_recording_leaves_no_port_open_and_prints_nothing(
    walk: Reconstruction, small_body: SmplxBody, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ports = []
    open_server = finished_module.open_server

    def remember(port: int = 0):
        server = open_server(port)
        ports.append(server.get_port())
        return server

    monkeypatch.setattr(finished_module, "open_server", remember)
    build_finished(walk, small_body)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", ports[0])) != 0
    assert capsys.readouterr().out == ""


def test_the_page_holds_the_moments_that_are_given(recording: Recording) -> None:
    page = html_page(b"scene", moments=b"given moments")
    assert "Z2l2ZW4gbW9tZW50cw==" in page
    assert page.index("__VISER_EMBED_DATA__") < page.index("</head>")
    assert "__H3R_MOMENTS__=" not in html_page(b"scene")


def test_the_surface_is_there_and_the_points_are_hidden(walk: Reconstruction, small_body: SmplxBody) -> None:
    surface = build_surface(walk, [keyframe_of(walk, 0, slanted_plane(48, 64))])
    recording = read_recording(player_scene(build_finished(walk, small_body, surface)))
    assert [message["name"] for _, message in recording.of_type("GlbMessage")] == ["/scene/scene_0_0"]
    hidden = {m["name"] for _, m in recording.of_type("SetSceneNodeVisibilityMessage") if not m["visible"]}
    bands = [m["name"] for _, m in recording.of_type("FrameMessage") if m["name"].startswith("/points/")]
    assert bands
    assert hidden >= set(bands)
