"""BEDLAM's downloads to the layout of training: formulas, selection, and a miniature download end to end."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from PIL import Image

from human3r.errors import FormatError
from human3r.training.paper.__main__ import main
from human3r.training.paper.data.layout import LabeledPeople, list_sequences, read_frame
from human3r.training.paper.data.preprocess import (
    IMAGE_SIZE,
    camera_from_unreal,
    intrinsics_of,
    is_scene_used,
    list_scene_sequences,
    read_exr_channel,
)


def write_exr(path: Path, channels: dict[str, np.ndarray], compression: OpenEXR.Compression) -> None:
    OpenEXR.File({"compression": compression, "type": OpenEXR.scanlineimage}, channels).write(str(path))


@pytest.mark.parametrize("compression", [OpenEXR.ZIP_COMPRESSION, OpenEXR.NO_COMPRESSION, OpenEXR.PIZ_COMPRESSION])
def test_depth_is_read_by_the_name_of_its_channel(tmp_path: Path, compression: OpenEXR.Compression):
    smooth = np.linspace(0, 900, 37 * 50, dtype=np.float32).reshape(37, 50)
    noise = np.random.default_rng(0).normal(size=(37, 50)).astype(np.float32)
    write_exr(tmp_path / "a.exr", {"Depth": smooth, "A": noise}, compression)

    assert np.array_equal(read_exr_channel(tmp_path / "a.exr", "Depth"), smooth)
    assert np.array_equal(read_exr_channel(tmp_path / "a.exr", "A"), noise)
    with pytest.raises(FormatError, match="no channel"):
        read_exr_channel(tmp_path / "a.exr", "Z")


def test_a_damaged_depth_file_is_one_error(tmp_path: Path):
    path = tmp_path / "a.exr"
    write_exr(path, {"Depth": np.ones((20, 20), np.float32)}, OpenEXR.ZIP_COMPRESSION)
    content = path.read_bytes()
    for damaged in (b"", content[:60], content[:-5], b"\0" * 400):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=r"a\.exr"):
            read_exr_channel(path, "Depth")


def test_a_point_one_meter_ahead_in_unreal_is_one_meter_ahead_in_opencv():
    T_world_camera = camera_from_unreal(np.array([100.0, 0.0, 0.0]), 0.0, 0.0, 0.0)

    assert np.allclose(T_world_camera[:3, :3], np.eye(3))
    assert np.allclose(T_world_camera[:3, 3], [0, 0, 1])


def test_unreals_right_and_up_are_opencvs_right_and_minus_down():
    T_world_camera = camera_from_unreal(np.array([0.0, 200.0, 300.0]), 0.0, 0.0, 0.0)
    assert np.allclose(T_world_camera[:3, 3], [2, -3, 0])


def test_yaw_turns_the_view_to_the_right_and_pitch_turns_it_up():
    forward = np.array([0.0, 0.0, 1.0])

    assert np.allclose(camera_from_unreal(np.zeros(3), 90.0, 0.0, 0.0)[:3, :3] @ forward, [1, 0, 0], atol=1e-12)
    assert np.allclose(camera_from_unreal(np.zeros(3), 0.0, 90.0, 0.0)[:3, :3] @ forward, [0, -1, 0], atol=1e-12)
    rolled = camera_from_unreal(np.zeros(3), 0.0, 0.0, 90.0)[:3, :3]
    assert np.allclose(rolled @ forward, forward, atol=1e-12)


def test_focal_length_in_millimeters_becomes_square_pixels():
    K = intrinsics_of(36.0)
    assert K.tolist() == [[1280.0, 0.0, 640.0], [0.0, 1280.0, 360.0], [0.0, 0.0, 1.0]]


def test_closeups_and_scenes_without_depth_do_not_take_part():
    assert not is_scene_used("20221024_10_100_batch01handhair_zoom_closeup")
    assert not is_scene_used("20221017_3_1000_batch01hand")
    assert is_scene_used("20221010_3-10_500_batch01hand_zoom_highSchoolGym")


@pytest.fixture(scope="module")
def download(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes, one of them for testing; one sequence with 11 images each, labels on 6 frames per second."""
    root = tmp_path_factory.mktemp("download")
    (root / "labels").mkdir()
    for number, scene in enumerate(("20221024_3_100_demo", "20221018_1_250_batch01hand_zoom_suburb_b")):
        _write_scene(root / "images" / scene, root / "labels", as_objects=bool(number))
    return root


def _write_scene(scene: Path, labels: Path, as_objects: bool) -> None:
    sequence, names = "seq_000000", [f"seq_000000_{index:04d}" for index in range(11)]
    for folder in (f"png/{sequence}", f"depth/{sequence}", f"masks/{sequence}", "ground_truth/camera"):
        (scene / folder).mkdir(parents=True)
    with (scene / "be_seq.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Index", "Type", "Comment"])
        writer.writerow([0, "Comment", "group 1"])
        writer.writerow([1, "Group", f"sequence_name={sequence};frames=11"])
    with (scene / "ground_truth/camera" / f"{sequence}_camera.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "x", "y", "z", "yaw", "pitch", "roll", "focal_length"])
        for index, name in enumerate(names):
            writer.writerow([name, 10.0 * index, 0, 0, 0, 0, 0, 36.0])
    for index in (0, 5, 10):
        Image.new("RGB", IMAGE_SIZE[::-1], (index, 20, 30)).save(scene / f"png/{sequence}" / f"{names[index]}.png")
        write_exr(
            scene / f"depth/{sequence}" / f"{names[index]}_depth.exr",
            {"Depth": np.full(IMAGE_SIZE, 250.0 + index, np.float32)},
            OpenEXR.ZIP_COMPRESSION,
        )
    environment = np.full(IMAGE_SIZE, 255, np.uint8)
    environment[100:200, 300:400] = 0
    Image.fromarray(environment).save(scene / f"masks/{sequence}" / f"{names[0]}_env.png")
    for index in set(range(11)) - {0, 5, 10}:
        (scene / f"png/{sequence}" / f"{names[index]}.png").touch()
    images = [f"{sequence}/{names[index]}.png" for index in (0, 0, 10)]
    rng = np.random.default_rng(1)
    extrinsics = np.tile(np.eye(4), (3, 1, 1))
    extrinsics[:, :3, 3] = [0.0, 0.0, 1.0]
    np.savez(
        labels / f"{scene.name}_6fps.npz",
        imgname=np.array(images, dtype=object if as_objects else str),
        pose_cam=rng.normal(size=(3, 165)),
        shape=rng.normal(size=(3, 11)),
        trans_cam=np.array([[0.0, 0.0, 2.0], [0.1, 0.2, 3.0], [0.0, 0.0, 4.0]]),
        cam_ext=extrinsics,
        gender=np.array(["neutral"] * 3, dtype=object),
    )


def test_a_download_becomes_the_layout_and_a_second_run_has_nothing_to_do(download, tmp_path, capsys):
    command = ["preprocess", str(download / "images"), str(download / "labels"), str(tmp_path)]

    assert main(command) == 0
    assert capsys.readouterr().out.count("2 frames") == 2
    assert main(command) == 0
    assert capsys.readouterr().out == ""
    name = "20221024_3_100_demo_seq_000000"
    assert list_sequences(tmp_path, "Training") == {name: ["seq_000000_0000", "seq_000000_0010"]}
    assert list(list_sequences(tmp_path, "Test")) == ["20221018_1_250_batch01hand_zoom_suburb_b_seq_000000"]
    first = read_frame(tmp_path / "Training" / name, "seq_000000_0000")
    last = read_frame(tmp_path / "Training" / name, "seq_000000_0010")
    assert first.image[0, 0].tolist() == [0, 20, 30]
    assert np.allclose(first.depth, 2.5)
    assert np.allclose(last.depth, 2.6)
    assert first.person_mask.sum() == 100 * 100
    assert not last.person_mask.any()  # its mask file is missing
    assert np.allclose(last.T_world_camera[:3, 3], [0, 0, 1.0])
    assert np.allclose(first.people.transl, [[0, 0, 3], [0.1, 0.2, 4]])
    labels = np.load(download / "labels" / "20221024_3_100_demo_6fps.npz")
    assert np.allclose(first.people.pose[1, 25:40], labels["pose_cam"][1, 75:120].reshape(15, 3))
    assert np.allclose(first.people.pose[1, 40:], labels["pose_cam"][1, 120:165].reshape(15, 3))
    assert np.allclose(last.people.betas[0], labels["shape"][2])


def test_labels_are_stored_under_the_published_keys(download, tmp_path):
    main(
        [
            "preprocess",
            str(download / "images"),
            str(download / "labels"),
            str(tmp_path),
            "--scene",
            "20221024_3_100_demo",
        ]
    )
    files = list((tmp_path / "Training" / "20221024_3_100_demo_seq_000000" / "smpl").iterdir())

    people = pickle.loads(files[0].read_bytes())

    assert isinstance(people, list)
    assert {key: np.shape(value) for key, value in people[0].items()} == {
        "smplx_root_pose": (1, 3), "smplx_body_pose": (21, 3), "smplx_jaw_pose": (1, 3), "smplx_leye_pose": (1, 3),
        "smplx_reye_pose": (1, 3), "smplx_left_hand_pose": (15, 3), "smplx_right_hand_pose": (15, 3),
        "smplx_shape": (11,), "smplx_transl": (3,), "smplx_gender": (),
    }  # fmt: skip
    assert not (tmp_path / "Test").exists()


def test_sequences_are_listed_from_the_comments(download):
    assert list_scene_sequences(download / "images" / "20221024_3_100_demo") == ["seq_000000"]


def test_a_hostile_label_file_is_refused_and_does_nothing(miniature, tmp_path):
    sequence = next((miniature / "Training").iterdir())
    copy = tmp_path / "sequence"
    for path in sequence.rglob("0000.*"):
        target = copy / path.relative_to(sequence)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    victim = tmp_path / "victim"
    (copy / "smpl" / "0000.pkl").write_bytes(b"cos\nsystem\n(S'touch " + str(victim).encode() + b"'\ntR.")

    with pytest.raises(FormatError):
        read_frame(copy, "0000")
    assert not victim.exists()


def test_a_frame_without_people_is_kept(miniature, tmp_path):
    from human3r.training.paper.data.dataset import slots_of
    from human3r.training.paper.data.layout import write_frame

    sequence = next((miniature / "Training").iterdir())
    frame = read_frame(sequence, "0000")
    nobody = LabeledPeople(np.zeros((0, 55, 3)), np.zeros((0, 11)), np.zeros((0, 3)))
    write_frame(tmp_path / "empty", "0000", type(frame)(**{**vars(frame), "people": nobody}))

    people = read_frame(tmp_path / "empty", "0000").people
    assert len(people) == 0
    assert not slots_of(people, 4).is_present.any()
