"""Scene training: samples, losses, and one step that changes only what may change."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from human3r.assets.shards import read_shards, write_part
from human3r.errors import FormatError
from human3r.models.build import build_network
from human3r.models.compact.build import COMPACT
from human3r.models.compact.people.prompter import prior_focal_px
from human3r.models.compact.scene.point_head import SceneMaps
from human3r.models.parts import Detections, ImageFeatures
from human3r.records import concatenate
from human3r.training.clip import ClipPeople, SyntheticClip, write_clip
from human3r.training.scene.batches import (
    ClipPool,
    SceneSample,
    augment_colors,
    build_sample,
    choose_frames,
    crop_center,
    mirror,
    network_size,
)
from human3r.training.scene.config import SceneTraining
from human3r.training.scene.focal import balancing_weights, fit_focal
from human3r.training.scene.losses import canonical_log_depth, gradient_loss, scene_loss
from human3r.training.scene.network import decode_clips
from human3r.training.scene.ship import ship_scene_weights
from human3r.training.scene.train import SceneTrainer
from human3r.training.scene.validate import depth_scores, mask_iou
from human3r.training.settings import read_settings

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


def test_the_true_answer_has_no_loss_except_for_the_confidence_price() -> None:
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


def test_a_longer_focal_length_gives_the_same_canonical_depth_from_farther_away() -> None:
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
    base, good, bad = (scene_loss(each, logits, truth, config).confidence for each in (maps, bold, foolish))

    assert good < base < bad


def test_confidence_does_not_excuse_a_wrong_depth() -> None:
    truth = sample()
    wrong = perfect(truth)
    wrong.log_depth[:, :20] += 0.4
    wrong.log_depth.requires_grad_()
    logits = torch.zeros_like(truth.person_mask)

    gradients = []
    for confidence in (1.0, 5.0):
        maps = dataclasses.replace(wrong, confidence=torch.full_like(wrong.confidence, confidence))
        total = scene_loss(maps, logits, truth, SceneTraining()).total(SceneTraining())
        gradients.append(torch.autograd.grad(total, wrong.log_depth)[0])

    torch.testing.assert_close(gradients[0], gradients[1])


def test_every_clip_of_a_batch_has_a_scale_of_its_own() -> None:
    truth = sample()
    maps = perfect(concatenate([truth, truth]))
    maps.log_depth[2:] += 0.5
    logits = torch.zeros_like(maps.log_depth)

    apart = scene_loss(maps, logits, concatenate([truth, truth]), SceneTraining(), num_clips=2)
    together = scene_loss(maps, logits, concatenate([truth, truth]), SceneTraining(), num_clips=1)

    assert apart.shape < 1e-5
    assert together.shape > 0.1


def test_cropping_keeps_the_view_of_the_remaining_pixels() -> None:
    original = clip()

    near = crop_center(original, 0.5)

    assert near.image.shape == (3, 32, 48, 3)
    pixel = near.K[0] @ np.array([0.1, -0.05, 1.0])
    before = original.K[0] @ np.array([0.1, -0.05, 1.0])
    np.testing.assert_allclose(pixel[:2] + np.array([24, 16]), before[:2])
    assert np.array_equal(near.image, original.image[:, 16:48, 24:72])


def test_a_pool_draws_clips_of_one_size_and_finds_new_ones(tmp_path: Path) -> None:
    write_clip(tmp_path / "000000", clip())
    pool = ClipPool(tmp_path)
    tall = dataclasses.replace(clip(), image=clip().image.transpose(0, 2, 1, 3))
    write_clip(tmp_path / "000001", tall)
    pool.refresh()

    drawn = [pool.draw(3, np.random.default_rng(seed)) for seed in range(20)]

    assert sorted(pool.by_size) == [(64, 96), (96, 64)]
    assert all(len(set(folders)) == 1 for folders in drawn)
    assert len({folders[0] for folders in drawn}) == 2


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


def test_a_short_clip_is_played_back_and_forth() -> None:
    generator = np.random.default_rng(0)

    drawn = {choose_frames(3, 6, generator) for _ in range(20)}

    assert drawn == {(0, 1, 2, 1, 0, 1), (2, 1, 0, 1, 2, 1)}
    assert choose_frames(1, 3, generator) == (0, 0, 0)


def test_samples_are_resized_to_multiples_of_32_with_their_focal_length() -> None:
    resized = build_sample(clip(), network_size(SIZE, 2.0))

    assert resized.image.shape == (3, 3, 128, 192)
    torch.testing.assert_close(resized.focal_px, torch.full((3,), 190.0))


def test_mirroring_twice_is_the_identity() -> None:
    truth = sample()
    back = mirror(mirror(truth))

    assert torch.equal(back.depth, truth.depth)
    torch.testing.assert_close(back.T_world_camera, truth.T_world_camera)


def test_appearance_changes_equally_over_a_clip() -> None:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).repeat(2, 1, 1, 1) * 2 - 1
    changed = [augment_colors(image, np.random.default_rng(seed)) for seed in range(6)]

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


def people_at(*places: tuple[int, int]) -> Detections:
    generator = torch.Generator().manual_seed(len(places))
    prompts = torch.randn(len(places), 128, generator=generator)
    positions = torch.tensor(places).view(-1, 2)
    nothing = torch.zeros(len(places), 2)
    return Detections(nothing[:, 0], nothing, nothing, prompts, positions)


def test_clips_decoded_together_are_decoded_as_the_network_does_it_alone() -> None:
    torch.manual_seed(0)
    network = build_network(COMPACT)
    tokens = torch.randn(6, 12, 128)
    features = ImageFeatures(tokens, (3, 4))
    # Three clips of two frames: nobody, somebody, and one frame each; equal numbers need no repeated people.
    found = [people_at(), people_at(), people_at((1, 2)), people_at((0, 3)), people_at((2, 2)), people_at()]

    together = decode_clips(network, features, found, num_clips=3)

    decoder, memory = network.decoder, network.memory
    for clip_index in range(3):
        state, slots, pose = decoder.initial_state(), memory.initial_slots(), memory.first_pose_token()
        for frame in (2 * clip_index, 2 * clip_index + 1):
            one = features.select(frame)
            if frame % 2:
                pose = memory.read(one.tokens, slots)
            alone = decoder(one, pose, found[frame], state, with_gate=False)
            slots, state = memory.write(one.tokens, alone.pose_token, slots), alone.state_tokens
            for mine, theirs in zip(together, alone.levels, strict=True):
                torch.testing.assert_close(mine[frame : frame + 1], theirs, atol=1e-5, rtol=1e-4)


@pytest.fixture
def run_config(tmp_path: Path) -> SceneTraining:
    write_clip(tmp_path / "clips" / "train" / "000000", clip())
    return SceneTraining(
        clips=str(tmp_path / "clips"), output=str(tmp_path / "run"), steps=2, frames=2, clips_per_step=1,
        scales=(1.0,), warmup_steps=1,
    )  # fmt: skip


def test_training_resumes_and_keeps_the_frozen_parts(run_config: SceneTraining) -> None:
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
    assert "image_encoder.trunk.stem.weight" not in trainer.parameters
    assert "image_encoder.trunk.blocks.10.project.weight" in trainer.parameters


def test_shipping_updates_the_trained_blocks_of_the_trunk_and_keeps_the_others(
    run_config: SceneTraining, tmp_path: Path
) -> None:
    trainer = SceneTrainer(run_config)
    stem, top = "image_encoder.trunk.stem.weight", "image_encoder.trunk.blocks.10.project.weight"
    trainer.average[top].fill_(0.5)
    trainer.save()
    folder = tmp_path / "weights"
    write_part(folder, "trunk", {stem: torch.full((2,), 3.0), top: torch.zeros_like(trainer.average[top])}, {})

    ship_scene_weights(Path(run_config.output) / "checkpoint.safetensors", folder)

    shipped = read_shards(folder)
    assert shipped.keys() == {*trainer.average, stem}
    assert (shipped[stem] == 3).all()
    assert (shipped[top] == 0.5).all()


def test_the_focal_layers_learn_from_tokens_and_nothing_else_changes() -> None:
    torch.manual_seed(0)
    network = build_network(COMPACT)
    fixed = network.point_head.join.weight.detach().clone()
    tokens = torch.randn(400, 512)
    log_focal = 0.3 * torch.tanh(tokens[:, 0])

    fit_focal(network, tokens, log_focal, torch.ones(400), steps=150)

    found = 0.9 * torch.tanh(network.point_head.focal(tokens)[:, 0])
    assert (found - log_focal).abs().mean() < 0.3 * log_focal.abs().mean()
    assert torch.equal(network.point_head.join.weight, fixed)


def test_cropping_does_not_change_the_rate_of_undefined_focal_lengths() -> None:
    whole = torch.tensor([-0.2, -0.2, -0.2, 0.1])
    cut = torch.tensor([-0.2, 0.1, 0.1, 0.4])
    log_focal, is_whole = torch.cat([whole, cut]), torch.arange(8) < 4

    weights = balancing_weights(log_focal, is_whole)

    drawn = {value: float(weights[torch.isclose(log_focal, torch.tensor(value))].sum()) for value in (-0.2, 0.1, 0.4)}
    assert drawn == {-0.2: pytest.approx(3), 0.1: pytest.approx(1), 0.4: 0}
