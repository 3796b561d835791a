"""Scene training: samples, losses, and one step that changes only what may change."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from human3r.errors import FormatError
from human3r.models.compact.point_head import SceneMaps
from human3r.models.compact.prompter import prior_focal_px
from human3r.training.scene.batches import SceneSample, build_sample, change_looks, choose_frames, mirror
from human3r.training.scene.config import SceneTraining
from human3r.training.scene.losses import canonical_log_depth, gradient_loss, scene_loss
from human3r.training.scene.train import SceneTrainer
from human3r.training.scene.validate import depth_scores, mask_iou
from human3r.training.settings import read_settings
from human3r.training.synthetic.clip import ClipPeople, SyntheticClip, write_clip

SIZE = (64, 96)


def sample(focal_px: float = 90.0) -> SceneSample:
    depth = torch.linspace(2, 6, SIZE[1]).expand(2, *SIZE).clone()
    depth[:, :8] = 0
    mask = torch.zeros(2, *SIZE)
    mask[:, 20:40, 30:50] = 1
    image = torch.zeros(2, 3, *SIZE)
    return SceneSample(image, depth, mask, torch.full((2,), focal_px), torch.eye(4).repeat(2, 1, 1))


def perfect(truth: SceneSample, offset: float = 0.0) -> SceneMaps:
    log_depth = torch.where(truth.depth > 0, canonical_log_depth(truth) + offset, 5.0)
    log_focal = (truth.focal_px / prior_focal_px(SIZE)).log()
    return SceneMaps(log_depth, torch.ones_like(log_depth), log_focal)


def clip(num_frames: int = 3) -> SyntheticClip:
    generator = np.random.default_rng(0)

    def none(*shape: int) -> np.ndarray:
        return np.zeros((num_frames, 0, *shape))

    people = ClipPeople(
        none(3), none(3), none(21, 3), none(15, 3), none(15, 3), none(3), np.zeros((0, 10)), none(10),
        none(55, 3), none(55, 2), none(55).astype(bool), none(),
    )  # fmt: skip
    K = np.tile(np.array([[95.0, 0, 47.5], [0, 95.0, 31.5], [0, 0, 1]]), (num_frames, 1, 1))
    return SyntheticClip(
        image=generator.integers(0, 255, (num_frames, *SIZE, 3), dtype=np.uint8),
        depth=np.full((num_frames, *SIZE), 3.0, np.float32),
        person_index=np.zeros((num_frames, *SIZE), np.uint8),
        K=K,
        T_world_camera=np.tile(np.eye(4), (num_frames, 1, 1)),
        T_gravity_world=np.eye(4),
        time_s=np.arange(num_frames) / 10,
        people=people,
        seed=0,
        split="train",
        scene="room",
        is_static_camera=True,
    )


def test_the_true_answer_has_no_loss_but_the_confidence_price() -> None:
    truth = sample()
    logits = (truth.person_mask * 2 - 1) * 20

    loss = scene_loss(perfect(truth), logits, truth, SceneTraining())

    assert loss.metric < 1e-6
    assert loss.focal < 1e-6
    assert loss.gradient < 1e-6
    assert loss.mask < 1e-6
    assert loss.sky == 0


def test_one_scale_per_clip_costs_metric_but_not_shape() -> None:
    truth = sample()
    logits = torch.zeros_like(truth.person_mask)

    right = scene_loss(perfect(truth), logits, truth, SceneTraining())
    scaled = scene_loss(perfect(truth, offset=0.3), logits, truth, SceneTraining())

    torch.testing.assert_close(scaled.metric, torch.tensor(0.3), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.shape, right.shape, atol=1e-5, rtol=0)


def test_a_longer_lens_shows_the_same_canonical_depth_from_farther_away() -> None:
    near, far = sample(90.0), sample(180.0)
    far = dataclasses.replace(far, depth=near.depth * 2)

    torch.testing.assert_close(canonical_log_depth(near), canonical_log_depth(far))


def test_confidence_pays_where_the_error_is_small_only() -> None:
    truth = sample()
    maps = perfect(truth)
    logits = torch.zeros_like(truth.person_mask)
    bold = dataclasses.replace(maps, confidence=torch.where(truth.depth > 0, 3.0, 1.0))
    foolish = dataclasses.replace(maps, confidence=torch.where(truth.depth > 0, 1.0, 3.0))

    config = SceneTraining()
    base, good, bad = (scene_loss(each, logits, truth, config).shape for each in (maps, bold, foolish))

    assert good < base < bad


def test_a_step_in_the_error_costs_gradient_and_a_hole_does_not() -> None:
    valid = torch.ones(1, 32, 32, dtype=torch.bool)
    step = torch.zeros(1, 32, 32)
    step[..., 16:] = 1.0
    holed = valid.clone()
    holed[..., 8:24] = False

    assert gradient_loss(step, valid) > 0.02
    assert gradient_loss(step * holed, holed & (step == 0)) == 0


def test_frames_are_chosen_in_order_or_in_reverse_with_one_stride() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        frames = choose_frames(6, 3, generator)
        strides = np.diff(frames)
        assert len(set(strides.tolist())) == 1
        assert min(frames) >= 0
        assert max(frames) < 6


def test_samples_are_resized_to_multiples_of_32_with_their_focal_length() -> None:
    resized = build_sample(clip(), 2.0)

    assert resized.image.shape == (3, 3, 128, 192)
    torch.testing.assert_close(resized.focal_px, torch.full((3,), 190.0))


def test_mirroring_twice_is_nothing() -> None:
    truth = sample()
    back = mirror(mirror(truth))

    assert torch.equal(back.depth, truth.depth)
    torch.testing.assert_close(back.T_world_camera, truth.T_world_camera)


def test_looks_change_in_one_way_for_the_whole_clip() -> None:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).repeat(2, 1, 1, 1) * 2 - 1
    changed = [change_looks(image, np.random.default_rng(seed)) for seed in range(6)]

    assert all(((each >= -1) & (each <= 1)).all() for each in changed)
    assert all((each - image).abs().mean() > 0.01 for each in changed)
    assert all((each[0] - each[1]).abs().mean() < 0.1 for each in changed)


def test_scores_of_a_scaled_depth() -> None:
    truth = sample()
    depth = torch.where(truth.depth > 0, truth.depth * 1.5, 1.0)

    scores = depth_scores(depth, truth, "")

    assert abs(scores["absrel_metric"] - 0.5) < 1e-5
    assert scores["absrel_clip"] < 1e-5
    assert scores["absrel_frame"] < 1e-5
    assert mask_iou(truth.person_mask > 0, truth.person_mask > 0) == 1.0


def test_unknown_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("speed = 3\n")

    with pytest.raises(FormatError, match="speed"):
        read_settings(SceneTraining, path)


@pytest.fixture
def run_config(tmp_path: Path) -> SceneTraining:
    write_clip(tmp_path / "clips" / "train" / "000000", clip())
    return SceneTraining(
        clips=str(tmp_path / "clips"), output=str(tmp_path / "run"), steps=2, frames=2, clips_per_step=1,
        scales=(1.0,), warmup_steps=1,
    )  # fmt: skip


def test_training_resumes_where_it_stopped_and_leaves_the_frozen_parts(run_config: SceneTraining) -> None:
    trainer = SceneTrainer(run_config)
    frozen = trainer.network.human_prior.network.stem.weight.detach().clone()
    trainer.run()

    resumed = SceneTrainer(run_config)

    assert resumed.step == 2
    name = "point_head.output.weight"
    assert torch.equal(resumed.parameters[name], trainer.parameters[name])
    assert torch.equal(resumed.average[name], trainer.average[name])
    assert torch.equal(trainer.network.human_prior.network.stem.weight, frozen)
    assert trainer.parameters[name].abs().sum() > 0
