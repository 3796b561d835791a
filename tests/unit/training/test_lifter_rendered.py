from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from human3r.errors import FormatError
from human3r.models.compact.people.detection.keypoints import ImageKeypoints
from human3r.models.compact.people.lifting.body_points import MIRRORED_JOINTS, MIRRORED_KEYPOINTS, BodyPoints
from human3r.records import concatenate
from human3r.training.clip import ClipPeople, SyntheticClip, write_clip
from human3r.training.lifter import rendered
from human3r.training.lifter import train as training
from human3r.training.lifter.config import LifterTraining
from human3r.training.lifter.losses import LossWeights, lifter_losses
from human3r.training.lifter.mixing import (
    RenderedMix,
    RenderedSampler,
    is_exchanged,
    mirror_people,
    rendered_people,
    resize_people,
)
from human3r.training.lifter.rendered import RenderedPeople, detect_clips, match_detections, read_rendered
from human3r.training.lifter.validation import upright_baseline
from human3r.training.motion import STANDARD_REST_JOINTS, Motion
from human3r.training.settings import read_settings
from human3r.training.simulation.rotations import RandomSource
from human3r.training.simulation.simulator import BodyMix, SimulatedPeople

COCO_JOINTS = [16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8]
FOCAL, SIZE = 350.0, (288, 384)


@pytest.fixture(scope="module")
def points() -> BodyPoints:
    body = BodyPoints()
    body.joint_template.copy_(torch.from_numpy(STANDARD_REST_JOINTS - STANDARD_REST_JOINTS[:1]))
    body.joint_directions[..., 0] = 0.06 * body.joint_template
    # Symmetric, as the shipped body is up to its marker points.
    body.joint_template.copy_(_symmetric(body.joint_template))
    body.joint_directions[..., 0] = _symmetric(body.joint_directions[..., 0])
    body.face_template.copy_(
        torch.tensor([[0.0, 0.0, 0.12], [0.03, 0.04, 0.1], [-0.03, 0.04, 0.1], [0.07, 0.02, 0.0], [-0.07, 0.02, 0.0]])
    )
    return body


def _symmetric(joints: torch.Tensor) -> torch.Tensor:
    return (joints + joints[list(MIRRORED_JOINTS)] * torch.tensor([-1.0, 1.0, 1.0])) / 2


def _pairs(points: BodyPoints, count: int = 40, seed: int = 0) -> RenderedPeople:
    """People whom a perfect detector saw."""
    rng = np.random.default_rng(seed)
    rotvecs = rng.normal(0, 0.25, (count, 22, 3)).astype(np.float32)
    upright = Rotation.from_euler("x", np.pi) * Rotation.from_euler("y", rng.uniform(-3, 3, (count, 1)))
    rotvecs[:, 0] = upright.as_rotvec()
    betas = rng.normal(0, 0.8, (count, 10)).astype(np.float32)
    root = np.stack([rng.uniform(-0.8, 0.8, count), rng.uniform(-0.2, 0.2, count), rng.uniform(4, 7, count)], 1)
    root = root.astype(np.float32)
    posed = points(torch.from_numpy(Rotation.from_rotvec(rotvecs.reshape(-1, 3)).as_matrix()).float().reshape(
        count, 22, 3, 3), torch.from_numpy(betas))  # fmt: skip
    seen = posed.keypoints.numpy() + root[:, None]
    height, width = SIZE
    pixels = seen[..., :2] / seen[..., 2:] * FOCAL + np.array([width // 2, height // 2])
    return RenderedPeople(
        clip=np.array(["clip"] * count),
        frame=np.zeros(count, np.int16),
        person=np.arange(count, dtype=np.int16),
        keypoints_px=pixels.astype(np.float32),
        scores=np.full((count, 17), 0.8, np.float32),
        image_size=np.tile(np.array(SIZE, np.int16), (count, 1)),
        focal_px=np.full((count, 2), FOCAL, np.float32),
        rotvecs=rotvecs,
        betas=betas,
        root_camera=root,
        visible=np.linspace(0, 1, count).astype(np.float32),
    )


def _reprojection(people: SimulatedPeople, points: BodyPoints) -> float:
    """Of the truth against what was detected, boxes."""
    truth = dataclasses.replace(
        upright_baseline(people), joint_rotations=people.joint_rotations, betas=people.betas,
        root_camera=people.root_camera,
    )  # fmt: skip
    seen = torch.cat([people.people.points, torch.ones(len(people.weight), 17, 1)], dim=-1)
    observed = dataclasses.replace(people, keypoints_camera=seen * people.keypoints_camera[..., 2:])
    _, terms = lifter_losses(truth, observed, points, LossWeights())
    assert terms["joints"] < 1e-3
    return terms["reprojection"]


def test_truth_and_picture_agree_before_and_after_mirroring_and_rolling(points):
    people = rendered_people(_pairs(points), points, RenderedMix(least_visible=0.0))
    rng = RandomSource(torch.Generator().manual_seed(1))

    drawn = RenderedSampler(people, points, BodyMix(), 20.0).sample(rng, 200)

    assert _reprojection(people, points) < 1e-4
    assert _reprojection(mirror_people(people), points) < 1e-4
    # The face of this skeleton does not grow with its body.
    assert _reprojection(drawn, points) < 3e-3
    turned = drawn.joint_rotations[:, 0, 1, 1]
    assert turned.std() > 1.05 * people.joint_rotations[:, 0, 1, 1].std()


def test_mirroring_twice_changes_nothing(points):
    people = rendered_people(_pairs(points), points, RenderedMix())

    twice = mirror_people(mirror_people(people))

    assert torch.allclose(twice.joint_rotations, people.joint_rotations)
    assert torch.equal(twice.people.points, people.people.points)
    assert torch.equal(twice.people.borders, people.people.borders)


def test_a_larger_person_stands_farther_away_in_the_same_picture(points):
    people = rendered_people(_pairs(points), points, RenderedMix(least_visible=0.0))

    larger = resize_people(people, points, people.betas[:, 0] + 0.5)

    assert (larger.root_camera[:, 2] > people.root_camera[:, 2]).all()
    assert (larger.joints[:, 15].norm(dim=1) > people.joints[:, 15].norm(dim=1)).all()
    flat, before = (each[..., :2] / each[..., 2:] for each in (larger.keypoints_camera, people.keypoints_camera))
    assert float((flat - before).norm(dim=-1).max()) < 0.003


def test_hidden_people_are_left_out_and_half_hidden_ones_count_less(points):
    people = rendered_people(_pairs(points), points, RenderedMix(least_visible=0.2, full_weight_visible=0.8))

    assert len(people.weight) < 40
    assert float(people.weight.min()) < 0.4
    assert float(people.weight.max()) == 1.0


def test_reversed_people_are_recognized_by_their_torso_and_left_out(points):
    pairs = _pairs(points)
    exchanged = pairs.keypoints_px.copy()
    exchanged[20:] = exchanged[20:][:, list(MIRRORED_KEYPOINTS)]
    everybody = RenderedMix(least_visible=0.0, keeps_exchanged=True)
    people = rendered_people(dataclasses.replace(pairs, keypoints_px=exchanged), points, everybody)
    kept = rendered_people(
        dataclasses.replace(pairs, keypoints_px=exchanged), points, RenderedMix(least_visible=0.0)
    )  # fmt: skip

    assert not is_exchanged(people)[:20].any()
    assert is_exchanged(people)[20:].float().mean() > 0.7
    assert len(kept.weight) == 40 - int(is_exchanged(people).sum())


def _detections(keypoints: np.ndarray) -> ImageKeypoints:
    count = len(keypoints)
    return ImageKeypoints(
        keypoints_px=torch.from_numpy(keypoints).float(),
        keypoint_score=torch.full((count, 17), 0.7),
        score=torch.ones(count),
        box_px=torch.zeros(count, 4),
        center_px=torch.zeros(count, 2),
    )


def test_every_detection_is_matched_to_its_own_person_even_with_sides_exchanged_and_nobody_to_clutter(points):
    pairs = _pairs(points, 2)
    joints_px = np.zeros((2, 22, 2))
    for person, offset in enumerate((0.0, 60.0)):
        center = pairs.keypoints_px[person].mean(0)
        joints_px[person] = center
        joints_px[person, COCO_JOINTS] = pairs.keypoints_px[person, 5:]
        joints_px[person, 15] = pairs.keypoints_px[person, :5].mean(0)
        joints_px[person] += offset
    first = pairs.keypoints_px[0][list(MIRRORED_KEYPOINTS)]
    clutter = np.full((17, 2), 900.0)
    found = _detections(np.stack([clutter, pairs.keypoints_px[1] + 60.0, first]))

    assert match_detections(found, joints_px, np.array([1.0, 0.5])) == [(1, 1), (2, 0)]
    assert match_detections(found, joints_px, np.array([1.0, 0.0])) == [(2, 0)]
    assert match_detections(found.select(torch.zeros(0, dtype=torch.long)), joints_px, np.ones(2)) == []


def _write_clip(folder, num_frames: int = 2) -> None:
    height, width = 64, 96
    zeros = np.zeros((num_frames, 1, 3))
    joints = np.zeros((num_frames, 1, 55, 3)) + np.array([0.0, 0.0, 4.0])
    people = ClipPeople(
        global_orient=zeros, transl=zeros, body_pose=np.zeros((num_frames, 1, 21, 3)),
        left_hand_pose=np.zeros((num_frames, 1, 15, 3)), right_hand_pose=np.zeros((num_frames, 1, 15, 3)),
        jaw_pose=zeros, betas=np.zeros((1, 10)), expression=np.zeros((num_frames, 1, 10)), joints_world=joints,
        joints_uv_px=np.full((num_frames, 1, 55, 2), 40.0), is_joint_visible=np.ones((num_frames, 1, 55), bool),
        visible_fraction=np.ones((num_frames, 1)),
    )  # fmt: skip
    K = np.tile(np.array([[90.0, 0, 48], [0, 90.0, 32], [0, 0, 1]]), (num_frames, 1, 1))
    poses = np.tile(np.eye(4), (num_frames, 1, 1))
    clip = SyntheticClip(
        image=np.zeros((num_frames, height, width, 3), np.uint8),
        depth=np.ones((num_frames, height, width), np.float32),
        person_index=np.zeros((num_frames, height, width), np.uint8), K=K, T_world_camera=poses,
        T_gravity_world=np.eye(4), time_s=np.arange(num_frames) / 10, people=people, seed=1, split="train",
        scene="room", is_static_camera=True,
    )  # fmt: skip
    write_clip(folder, clip)


def test_a_second_call_adds_only_what_is_new(tmp_path, monkeypatch):
    """The detector sees the one person of every frame where the truth is, in the network's fourfold pixels."""
    looked = []

    class Prior:
        def encode_base(self, image):
            looked.append(image.shape)

    monkeypatch.setattr(rendered, "load_detectors", lambda: (Prior(), lambda image, people: people))
    monkeypatch.setattr(rendered, "find_people", lambda *_: _detections(np.full((1, 17, 2), 161.5)))
    _write_clip(tmp_path / "clips" / "a", 3)

    counts = [detect_clips(tmp_path / "clips", tmp_path / "pairs", frames) for frames in (1, 2, 2)]
    _write_clip(tmp_path / "clips" / "b", 3)
    counts.append(detect_clips(tmp_path / "clips", tmp_path / "pairs", 2))
    pairs = read_rendered(tmp_path / "pairs")

    assert counts == [1, 1, 0, 2]
    assert len(looked) == 4
    assert sorted(zip(pairs.clip.tolist(), pairs.frame.tolist(), strict=True)) == [
        ("a", 0),
        ("a", 2),
        ("b", 0),
        ("b", 2),
    ]
    assert np.allclose(pairs.root_camera, [0, 0, 4])


def test_an_empty_folder_is_no_set_of_pairs(tmp_path):
    with pytest.raises(FormatError, match="no pairs"):
        read_rendered(tmp_path)


def test_a_run_starts_from_weights_and_mixes_rendered_people_in(tmp_path, points, monkeypatch):
    rest = np.tile(np.eye(3, dtype=np.float32), (40, 22, 1, 1))
    monkeypatch.setattr(
        training, "load_motions", lambda *_: [Motion("rest", rest, np.zeros((40, 3), np.float32), 30.0)]
    )
    monkeypatch.setattr(training, "read_rendered", lambda _: _pairs(points, 60))
    small = LifterTraining(
        output=str(tmp_path / "first"), steps=30, batch=64, width=32, depth=1, validation_people=64, use_bf16=False
    )

    training.train(small, points)
    second = dataclasses.replace(
        small, output=str(tmp_path / "second"), start=str(tmp_path / "first" / "checkpoint.safetensors"), steps=60,
        rendered=RenderedMix(pairs="pairs", held_out="pairs", share=0.5),
    )  # fmt: skip
    training.train(second, points)

    first_lines, lines = ((tmp_path / name / "validation.txt").read_text().splitlines() for name in ("first", "second"))
    rows = [line.split() for line in lines if line.startswith("rendered, all  ")]
    assert not any(line.startswith("rendered") for line in first_lines)
    assert float(rows[-1][3]) < float(rows[0][3])


def test_joined_batches_keep_everybody_in_order(points):
    people = rendered_people(_pairs(points), points, RenderedMix(least_visible=0.0))

    joined = concatenate([people, people.map(lambda values: values[:3])])

    assert len(joined.weight) == len(people.weight) + 3
    assert torch.equal(joined.people.points[-3:], people.people.points[:3])


def test_the_settings_of_the_second_stage_go_on_from_the_first():
    settings = read_settings(
        LifterTraining, training.Path(training.__file__).parents[1] / "configs" / "lifter_rendered.toml"
    )

    assert settings.start.endswith("checkpoint.safetensors")
    assert 0 < settings.rendered.share < 1
