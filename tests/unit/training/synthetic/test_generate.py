"""Whole clips from procedural assets: the same seed gives the same clip, and the truth fits the pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("numba", reason="needs the training-only dependency numba")

from human3r.bodies import load_body
from human3r.errors import AssetMissingError, InputError
from human3r.records import BodyParameters
from human3r.training.clip import SyntheticClip
from human3r.training.motion import Motion
from human3r.training.synthetic import __main__ as command
from human3r.training.synthetic.cameras import draw_camera
from human3r.training.synthetic.generate import Studio, generate_shots, open_studio
from human3r.training.synthetic.people.acting import mirror_motion
from human3r.training.synthetic.people.posed_people import Cast
from human3r.training.synthetic.places.furniture import FurnitureStore
from human3r.training.synthetic.places.rooms import build_room
from human3r.training.synthetic.places.scene import SceneAssets
from human3r.training.synthetic.places.streets import build_street
from human3r.training.synthetic.rendering.environment import gradient_sky

SEED = 3


def clip_of(studio: Studio, seed: int, split: str) -> SyntheticClip:
    return next(generate_shots(studio, seed, split, num_frames=2, num_shots=1))


@pytest.fixture(scope="module")
def studio() -> Studio:
    frames = 60
    rotations = np.tile(np.eye(3, dtype=np.float32), (frames, 22, 1, 1))
    root = np.stack([np.zeros(frames), np.full(frames, 0.95), np.linspace(0, 1, frames)], -1).astype(np.float32)
    return Studio(SceneAssets(FurnitureStore(None), {}), Cast(load_body(), [Motion("slide", rotations, root, 30.0)]))


@pytest.fixture(scope="module")
def clip(studio: Studio) -> SyntheticClip:
    clips = (clip_of(studio, seed, "train") for seed in range(SEED, SEED + 20))
    return next(
        clip for clip in clips if clip.people.visible_fraction.max(initial=0) > 0.5 and not clip.is_static_camera
    )


def parameters(clip: SyntheticClip, frame: int) -> BodyParameters:
    people = clip.people
    count = len(people.betas)
    names = ("global_orient", "transl", "body_pose", "left_hand_pose", "right_hand_pose", "jaw_pose", "expression")
    fields = {name: torch.from_numpy(getattr(people, name)[frame]).float() for name in names}
    zeros = torch.zeros(count, 3)
    return BodyParameters(**fields, leye_pose=zeros, reye_pose=zeros, betas=torch.from_numpy(people.betas).float())


def test_shots_show_one_scene_and_its_people_from_several_places(studio, clip):
    first, second = generate_shots(studio, clip.seed, "train", 2, 2)

    assert np.array_equal(first.image, clip.image)
    assert np.array_equal(first.people.betas, second.people.betas)
    assert not np.array_equal(first.K, second.K)
    in_scene = [
        each.people.joints_world @ each.T_gravity_world[:3, :3].T + each.T_gravity_world[:3, 3]
        for each in (first, second)
    ]
    np.testing.assert_allclose(in_scene[0], in_scene[1], atol=1e-6)


def test_clips_in_the_layout_of_bedlam_are_deterministic(studio, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "open_studio", lambda *_: studio)

    for name in ("once", "twice"):
        options = ["--layout", "bedlam", "--split", "val", "--start", str(SEED), "--count", "1", "--frames", "2"]
        assert command.main([str(tmp_path / name), *options]) == 0

    once, twice = (sorted((tmp_path / name).rglob("*.*")) for name in ("once", "twice"))
    kinds = {path.parent.relative_to(tmp_path / "once").as_posix() for path in once}
    assert kinds == {f"Test/synthetic_000003/{kind}" for kind in ("rgb", "depth", "cam", "mask", "smpl")}
    assert [path.name for path in once] == [path.name for path in twice]
    is_picture = [path.suffix == ".png" or path.suffix == ".npy" for path in once]
    assert sum(is_picture) == 6
    assert all(a.read_bytes() == b.read_bytes() for a, b, same in zip(once, twice, is_picture, strict=True) if same)


def test_the_same_seed_gives_the_same_clip(studio, clip):
    again = clip_of(studio, clip.seed, "train")
    assert np.array_equal(again.image, clip.image)
    assert np.array_equal(again.depth, clip.depth)
    assert np.array_equal(again.people.transl, clip.people.transl)


def test_the_splits_differ_for_the_same_seed(studio, clip):
    other = clip_of(studio, clip.seed, "val")
    assert other.image.shape != clip.image.shape or not np.array_equal(other.image, clip.image)


def test_the_parameters_pose_the_body_model_onto_the_joints(clip):
    body = load_body()
    for frame in range(len(clip)):
        joints = body.joints(parameters(clip, frame)).numpy()
        np.testing.assert_allclose(joints, clip.people.joints_world[frame], atol=2e-4)


def test_people_stand_on_the_floor(clip):
    body = load_body()
    T = clip.T_gravity_world
    for frame in range(len(clip)):
        vertices = body(parameters(clip, frame)).vertices.numpy() @ T[:3, :3].T + T[:3, 3]
        np.testing.assert_allclose(vertices[..., 1].min(1), 0, atol=5e-3)


def test_the_mask_shows_the_body_where_its_joints_are_seen(clip):
    height, width = clip.depth.shape[1:]
    frames, people, joints = np.nonzero(clip.people.is_joint_visible)
    uv = clip.people.joints_uv_px[frames, people, joints]
    assert len(uv) > 10
    assert (uv >= -0.5).all()
    assert (uv < [width, height]).all()
    columns, rows = np.round(uv).astype(int).T
    assert np.array_equal(clip.person_index[frames, rows, columns], people + 1)
    local = _to_camera(clip, frames, clip.people.joints_world[frames, people, joints])
    # A visible joint lies inside the body: its surface is nearer by no more than half a trunk.
    gap = local[:, 2] - clip.depth[frames, rows, columns]
    assert gap.min() > -0.03
    assert np.quantile(gap, 0.95) < 0.35


def test_joints_project_to_their_pixels(clip):
    frames, people, joints = np.nonzero(clip.people.is_joint_visible)
    local = _to_camera(clip, frames, clip.people.joints_world[frames, people, joints])
    uv = np.einsum("nij,nj->ni", clip.K[frames], local)
    np.testing.assert_allclose(uv[:, :2] / uv[:, 2:], clip.people.joints_uv_px[frames, people, joints], atol=1e-6)


def _to_camera(clip: SyntheticClip, frames: np.ndarray, points: np.ndarray) -> np.ndarray:
    T = np.linalg.inv(clip.T_world_camera)[frames]
    return np.einsum("nij,nj->ni", T[:, :3, :3], points) + T[:, :3, 3]


def test_world_is_the_first_camera(clip):
    np.testing.assert_allclose(clip.T_world_camera[0], np.eye(4), atol=1e-12)
    eye = clip.T_gravity_world @ clip.T_world_camera
    assert (eye[:, 1, 3] > 0.1).all()


def test_an_unknown_split_is_refused(studio):
    with pytest.raises(InputError, match="split"):
        clip_of(studio, 0, "test")


def test_a_missing_asset_folder_is_named_with_a_remedy(tmp_path):
    with pytest.raises(AssetMissingError, match="apt-get install sweethome3d-furniture"):
        open_studio(tmp_path / "nowhere", None, None, None)


def test_a_mirrored_motion_mirrored_again_is_the_motion():
    rng = np.random.default_rng(0)
    rotations, root = np.linalg.qr(rng.normal(size=(4, 22, 3, 3)))[0], rng.normal(size=(4, 3))
    twice = mirror_motion(*mirror_motion(rotations, root))
    np.testing.assert_allclose(twice[0], rotations, atol=1e-12)
    np.testing.assert_allclose(twice[1], root)


def test_cameras_stay_inside_the_scene_and_outside_of_objects():
    assets = SceneAssets(FurnitureStore(None), {})
    time_s = np.arange(4) * 0.3
    for seed in range(12):
        rng = np.random.default_rng(seed)
        build = build_room if seed % 2 else build_street
        scene = build(rng, assets, gradient_sky(rng), False)
        camera = draw_camera(rng, scene, np.tile([0.0, 1.0, 0.0], (4, 1, 1)), time_s)
        eyes = camera.T_scene_camera[:, :3, 3]
        assert (eyes[:, 1] < scene.ceiling_m).all()
        assert (eyes[:, 1] > 0).all()
        for obstacle in scene.obstacles:
            assert not ((eyes > obstacle.low) & (eyes < obstacle.high)).all(1).any()
        np.testing.assert_allclose(np.linalg.det(camera.T_scene_camera[:, :3, :3]), 1)
        assert max(camera.size) in (320, 384)


def test_the_same_random_state_builds_the_same_place():
    assets = SceneAssets(FurnitureStore(None), {})
    for build in (build_room, build_street):
        first, again = (
            build(np.random.default_rng(5), assets, gradient_sky(np.random.default_rng(1)), False) for _ in "ab"
        )
        assert np.array_equal(first.mesh.vertices, again.mesh.vertices)
        assert np.array_equal(first.lights.lamps, again.lights.lamps)
