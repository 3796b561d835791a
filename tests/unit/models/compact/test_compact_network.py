"""``compact`` with its shipped weights, end to end on one small real image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from human3r.assets.shards import COMPACT_FOLDER, read_shards
from human3r.models.compact.build import build_compact
from human3r.models.compact.convnets.movenet import MoveNetMaps
from human3r.models.compact.people.detection.human_prior import EnlargedMaps, MoveNetFeatures
from human3r.models.config import ModelConfig
from human3r.models.human3r import Human3R
from human3r.models.parts import FrameTokens, InferredFrame


@pytest.fixture(scope="module")
def network() -> Human3R:
    return build_compact(read_shards(COMPACT_FOLDER))


@pytest.fixture(scope="module")
def person() -> torch.Tensor:
    """``1 3 192 192``: one person in the middle, before walls."""
    picture = load_file(Path(__file__).parent / "convnets" / "movenet_golden.safetensors")["picture"]
    image = picture.permute(2, 0, 1)[None].float() / 127.5 - 1
    image = torch.nn.functional.interpolate(image, (192, 144), mode="bilinear", antialias=True)
    return torch.nn.functional.pad(image, (24, 24, 0, 0), mode="replicate")


@pytest.fixture(scope="module")
def no_people() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 12, 16, generator=generator) * 0.8 - 0.4
    return torch.nn.functional.interpolate(coarse, (96, 128), mode="bicubic")


def run(network: Human3R, frames: list[torch.Tensor]):
    state, predictions = network.initial_state(), []
    with torch.inference_mode():
        for frame in frames:
            prediction, state = network.step(network.encode(frame), state)
            predictions.append(prediction)
    return predictions, state


def test_a_person_gets_a_body_in_front_of_the_camera(network, person) -> None:
    (prediction,), _ = run(network, [person])

    assert prediction.score.shape == (1,)
    assert prediction.joint_rotations.shape == (1, 53, 3, 3)
    assert 1.0 < prediction.head_camera[0, 2] < 8.0


def test_the_head_joint_projects_near_the_head_keypoint(network, person) -> None:
    (prediction,), _ = run(network, [person])

    head = prediction.head_camera[0]
    projected = head[:2] / head[2] * prediction.focal_px + 96
    assert (projected - prediction.head_uv_px[0]).norm() < 15


def test_maps_cover_the_image_and_are_finite(network, person) -> None:
    (prediction,), _ = run(network, [person])

    assert prediction.pointmap_camera.shape == (192, 192, 3)
    assert torch.isfinite(prediction.pointmap_camera).all()
    assert (prediction.pointmap_camera[..., 2] > 0).all()
    assert (prediction.confidence >= 1).all()
    assert ((prediction.person_mask >= 0) & (prediction.person_mask <= 1)).all()


def test_points_lie_on_the_rays_of_the_focal_length(network, person) -> None:
    (prediction,), _ = run(network, [person])

    x = prediction.pointmap_camera[..., 0] / prediction.pointmap_camera[..., 2] * prediction.focal_px + 96
    torch.testing.assert_close(x, torch.arange(192.0).expand(192, 192), atol=1e-2, rtol=0)


def test_no_people_are_an_axis_of_length_zero(network, no_people) -> None:
    (prediction,), _ = run(network, [no_people])

    assert prediction.joint_rotations.shape == (0, 53, 3, 3)
    assert prediction.head_camera.shape == (0, 3)
    assert prediction.track_features.shape[0] == 0


def test_a_repeated_image_keeps_the_camera_pose(network, person) -> None:
    predictions, _ = run(network, [person] * 3)

    torch.testing.assert_close(predictions[2].T_segment_camera, torch.eye(4), atol=1e-5, rtol=0)


def test_track_features_agree_for_the_same_person_and_differ_elsewhere(network, person) -> None:
    shifted = torch.roll(person, 64, dims=-1)
    (first, again, moved), _ = run(network, [person, person, shifted])

    same = (first.track_features[0] - again.track_features[0]).norm()
    other = (first.track_features[0] - moved.track_features[0]).norm()
    assert same < 1e-3
    # The tracker's dustbin is at a distance of 10.
    assert other > 10


def test_a_step_changes_neither_its_state_nor_its_tokens(network, person) -> None:
    with torch.inference_mode():
        tokens = network.encode(person)
        _, state = network.step(tokens, network.initial_state())
        first, _ = network.step(tokens, state)
        second, _ = network.step(tokens, state)

    assert torch.equal(first.T_segment_camera, second.T_segment_camera)
    assert torch.equal(first.pointmap_camera, second.pointmap_camera)
    assert torch.equal(first.head_camera, second.head_camera)


def test_people_and_mask_computed_ahead_equal_those_of_the_step(network, person) -> None:
    with torch.inference_mode():
        ahead = network.encode(person)
        separate = replace(ahead, human=replace(ahead.human, people=None), person_mask=None)
        expected, _ = network.step(separate, network.initial_state())
        found, _ = network.step(ahead, network.initial_state())

    assert ahead.human.people is not None
    assert ahead.person_mask is not None
    for name in ("person_mask", "head_uv_px", "joint_rotations", "pointmap_camera", "track_features"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=0, rtol=0)


def test_frames_encoded_together_are_frames_encoded_alone(network, person) -> None:
    small = torch.nn.functional.interpolate(person, (64, 64), mode="bilinear", antialias=True)
    wall = torch.nn.functional.pad(small, (64, 64, 64, 64), mode="replicate")
    frames = torch.cat([person, wall, person.flip(-1)])
    with torch.inference_mode():
        together = network.encode_each(frames)
        alone = [network.encode(frame[None]) for frame in frames]

    for found, expected in zip(together, alone, strict=True):
        assert len(found.human.enlarged) == len(expected.human.enlarged)
        assert len(found.human.people) == len(expected.human.people)
        # Products are rounded to bf16 after sums in another order.
        torch.testing.assert_close(
            found.human.people.keypoints_px, expected.human.people.keypoints_px, atol=0.5, rtol=0
        )
        torch.testing.assert_close(found.person_mask, expected.person_mask, atol=0.05, rtol=0)
        torch.testing.assert_close(found.image.tokens, expected.image.tokens, atol=0.1, rtol=0.02)


@pytest.fixture(scope="module")
def standing(network, person) -> list[FrameTokens]:
    """Twelve equal frames, encoded in groups of four; the last group is behind a camera that has stood for a while."""
    tokens: list[FrameTokens] = []
    with torch.inference_mode():
        for _ in range(3):
            tokens += network.encode_each(person.expand(4, -1, -1, -1), tokens[-1] if tokens else None)
    return tokens


def test_between_frames_of_a_standing_camera_nothing_is_encoded_and_people_are_found(network, standing) -> None:
    state, predictions = network.initial_state(), []
    with torch.inference_mode():
        for tokens in standing:
            prediction, state = network.step(tokens, state)
            predictions.append(prediction)

    assert [isinstance(tokens.human, InferredFrame) for tokens in standing] == [False] * 8 + [True] * 3 + [False]
    for prediction in predictions[8:11]:
        torch.testing.assert_close(prediction.head_camera, predictions[11].head_camera, atol=0.01, rtol=0)
        torch.testing.assert_close(prediction.track_features, predictions[11].track_features, atol=1e-2, rtol=0)
        assert torch.equal(prediction.pointmap_camera, predictions[8].pointmap_camera)


def test_where_people_move_behind_a_standing_camera_only_they_are_searched(
    network, person, standing, monkeypatch
) -> None:
    monkeypatch.setattr("human3r.models.compact.look_ahead.same_people", lambda first, later: None)
    with torch.inference_mode():
        tokens = network.encode_each(person.expand(4, -1, -1, -1), standing[-1])
        _, state = network.step(standing[-1], network.initial_state())
        found, _ = network.step(tokens[1], state)
        expected, _ = network.step(network.encode(person), state)

    assert [isinstance(each.human, InferredFrame) for each in tokens] == [True, True, True, False]
    assert [each.image.tokens.numel() > 0 for each in tokens] == [False, False, False, True]
    assert tokens[1].human.human.people is not None
    torch.testing.assert_close(tokens[1].human.detections.track_features, found.track_features, atol=1e-2, rtol=0)
    torch.testing.assert_close(found.pointmap_camera, expected.pointmap_camera, atol=0, rtol=0)


def test_frame_by_frame_a_standing_camera_shows_the_people_without_encoding(network, person, standing) -> None:
    state = network.initial_state()
    with torch.inference_mode():
        for tokens in standing[:9]:
            _, state = network.step(tokens, state)
        human = network.detect(person)
        found = network.encode_after(standing[7], person, human, state)
        moved = torch.roll(person, 4, dims=-1)
        other = network.encode_after(standing[7], moved, network.detect(moved), state)
        first = network.encode_after(standing[7], person, human, network.initial_state())
        prediction, after = network.step(found, state)

    assert isinstance(found.human, InferredFrame)
    assert not isinstance(other.human, InferredFrame), "the camera moved"
    assert not isinstance(first.human, InferredFrame), "nothing is known about the camera"
    assert len(prediction.score) == len(human.people)
    assert after.rest_state.left_out == state.rest_state.left_out + 1


def test_a_frame_that_was_not_encoded_is_encoded_after_a_reset(network, person, standing) -> None:
    with torch.inference_mode():
        found, _ = network.step(standing[9], network.initial_state())
        expected, _ = network.step(network.encode(person), network.initial_state())

    torch.testing.assert_close(found.pointmap_camera, expected.pointmap_camera, atol=0, rtol=0)


def test_frames_of_a_moving_camera_are_all_encoded(network, person, standing) -> None:
    moved = torch.cat([torch.roll(person, index + 1, dims=-1) for index in range(4)])

    with torch.inference_mode():
        tokens = network.encode_each(moved, standing[-1])

    assert not any(isinstance(each.human, InferredFrame) for each in tokens)


def test_enlarged_maps_belong_to_their_frame() -> None:
    maps = MoveNetMaps(*(torch.zeros(3, 1, 2, 2) for _ in range(7)))
    enlarged = EnlargedMaps(maps, torch.zeros(1, 2), (512, 288), frame=2)
    features = MoveNetFeatures(maps, (enlarged,))

    assert [len(features.select(index).enlarged) for index in range(3)] == [0, 0, 1]
    assert features.select(2).enlarged[0].frame == 0


def test_a_reset_begins_at_the_identity_again(network, person) -> None:
    _, state = run(network, [person, torch.roll(person, 3, dims=-1)])

    with torch.inference_mode():
        prediction, _ = network.step(network.encode(torch.roll(person, 3, dims=-1)), network.reset(state))

    assert torch.equal(prediction.T_segment_camera, torch.eye(4))


def test_portrait_and_landscape_both_work(network, no_people) -> None:
    (landscape,), _ = run(network, [no_people])
    (portrait,), _ = run(network, [no_people.transpose(-1, -2).contiguous()])

    assert landscape.pointmap_camera.shape == (96, 128, 3)
    assert portrait.pointmap_camera.shape == (128, 96, 3)


def test_the_configuration_survives_json(network) -> None:
    assert ModelConfig.from_json(network.config.to_json()) == network.config
