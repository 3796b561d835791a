"""The stream: snapshots, resets, rejected frames, source pixels."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from human3r.errors import CheckpointError, InputError
from human3r.geometry.camera import project
from human3r.inference.predictions import through_other_lens, with_square_pixels
from human3r.inference.session import Session
from human3r.records import TensorRecord
from human3r.video.preprocess import prepare_paper
from tests.parity.replay.released_functions import chain_segments


def tensors_of(record, prefix=""):
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, TensorRecord):
            yield from tensors_of(value, f"{prefix}{field.name}.")
        elif isinstance(value, torch.Tensor):
            yield f"{prefix}{field.name}", value


def run(session, frames):
    return [session.step(frame) for frame in frames]


def break_network(monkeypatch, model, **changes):
    """Make the network's next predictions carry the given values."""
    healthy = model.network.step

    def step(tokens, state, **options):
        prediction, after = healthy(tokens, state, **options)
        return replace(prediction, **{name: change(prediction) for name, change in changes.items()}), after

    monkeypatch.setattr(model.network, "step", step)


def test_the_first_camera_is_the_identity(tiny, frames):
    prediction = Session(tiny).step(frames[0])
    assert torch.equal(prediction.camera.T_world_camera, torch.eye(4))


def test_a_restored_session_continues_bit_for_bit(tiny, frames):
    session = Session(tiny, reset_interval=3, use_ttt3r=True)
    run(session, frames[:4])
    snapshot = session.snapshot()
    expected = run(session, frames[4:7])
    found = run(Session.restore(tiny, snapshot), frames[4:7])
    for first, second in zip(expected, found, strict=True):
        for (name, value), (_, other) in zip(tensors_of(first), tensors_of(second), strict=True):
            assert torch.equal(value, other), name


def test_a_snapshot_of_other_weights_is_refused(tiny):
    snapshot = Session(tiny).snapshot()
    with pytest.raises(CheckpointError, match="snapshot belongs to"):
        Session.restore(replace(tiny, sha256="1" * 64), snapshot)


def test_two_sessions_do_not_disturb_each_other(tiny, frames):
    alone = run(Session(tiny), frames[:3])
    first, second = Session(tiny), Session(tiny)
    mixed = []
    for frame in frames[:3]:
        mixed.append(first.step(frame))
        second.step(frame[::-1].copy())
    assert torch.equal(mixed[-1].camera.T_world_camera, alone[-1].camera.T_world_camera)


def test_segments_are_chained_as_the_specification_says(tiny, frames):
    interval, frames = 2, frames[:5]
    cameras = torch.stack(
        [prediction.camera.T_world_camera for prediction in run(Session(tiny, reset_interval=interval), frames)]
    )
    network, kept, resets = tiny.network, [], []
    with torch.inference_mode():
        state = network.initial_state()
        for index, frame in enumerate(frames):
            tokens = network.encode(prepare_paper(frame, tiny.config.image_size).image[None])
            prediction, state = network.step(tokens, state)
            kept.append(prediction.T_segment_camera.double())
            resets.append((index + 1) % interval == 0)
            if resets[-1]:
                _, state = network.step(tokens, network.reset(state))
    chained = chain_segments(torch.stack(kept), resets)
    expected = torch.linalg.inv(chained[0]) @ chained
    assert torch.allclose(cameras.double(), expected, atol=1e-5)


def test_identities_continue_over_a_reset(tiny, frames):
    session = Session(tiny, reset_interval=3)

    *_, before, after = [session.step(frames[index]).people.track_id.tolist() for index in (0, 1, 2, 2)]

    assert after == before
    assert before != sorted(before)  # numbers given anew would ascend


@pytest.mark.parametrize("level", [0, 255])
def test_a_blank_frame_changes_nothing_but_the_counters(tiny, frames, level):
    session = Session(tiny)
    before_blank = session.step(frames[0])
    state = session.snapshot().state
    blank = session.step(np.full_like(frames[0], level))
    assert len(blank.people) == 0
    assert float(blank.confidence.max()) == 0
    assert torch.equal(blank.camera.T_world_camera, before_blank.camera.T_world_camera)
    assert torch.equal(session.snapshot().state.state_tokens, state.state_tokens)
    assert session.num_rejected == 1


def test_a_prediction_that_is_not_finite_is_rejected_and_the_state_stays(tiny, frames, monkeypatch):
    session = Session(tiny)
    good = session.step(frames[0])
    state = session.snapshot().state
    with monkeypatch.context() as patch:
        break_network(patch, tiny, T_segment_camera=lambda p: p.T_segment_camera * float("nan"))
        bad = session.step(frames[1])
    assert session.num_rejected == 1
    assert torch.equal(bad.camera.T_world_camera, good.camera.T_world_camera)
    assert torch.equal(session.snapshot().state.memory_slots, state.memory_slots)
    after = session.step(frames[1])
    unbroken = Session(tiny)
    unbroken.step(frames[0])
    assert torch.equal(after.camera.T_world_camera, unbroken.step(frames[1]).camera.T_world_camera)


def test_a_person_with_nan_is_dropped_and_the_others_stay(tiny, frames, monkeypatch):
    def break_first(prediction):
        head = prediction.head_camera.clone()
        head[0] = float("nan")
        return head

    crowded = next(frame for frame in frames if len(Session(tiny).step(frame).people) > 1)
    expected = len(Session(tiny).step(crowded).people)
    break_network(monkeypatch, tiny, head_camera=break_first)
    prediction = Session(tiny).step(crowded)
    assert len(prediction.people) == expected - 1
    assert bool(torch.isfinite(prediction.joints_world).all())


def test_a_frame_without_people_has_empty_axes(tiny, frames, monkeypatch):
    per_person = ("score", "head_uv_px", "joint_rotations", "betas", "expression", "head_camera", "track_features")
    changes = {name: (lambda prediction, name=name: getattr(prediction, name)[:0]) for name in per_person}
    break_network(monkeypatch, tiny, **changes)
    session = Session(tiny)
    prediction = run(session, frames[:2])[-1]
    assert len(prediction.people) == 0
    assert prediction.joints_world.shape == (0, 55, 3)
    assert prediction.parameters_world.body_pose.shape == (0, 21, 3)


def test_people_are_where_their_heads_are(tiny, frames):
    prediction = run(Session(tiny), frames[:3])[-1]
    T = prediction.camera.T_world_camera
    expected = prediction.people.head_camera @ T[:3, :3].T + T[:3, 3]
    assert torch.allclose(prediction.joints_world[:, 15], expected, atol=1e-4)


def test_a_focal_length_in_network_pixels_becomes_one_of_the_source(tiny, monkeypatch):
    image = np.random.default_rng(0).integers(0, 255, (512, 768, 3), dtype=np.uint8)
    break_network(monkeypatch, tiny, focal_px=lambda prediction: torch.tensor(200.0))
    prediction = Session(tiny).step(image)
    # 768 x 512 becomes 256 x 171, of which the middle 160 rows are used: three source pixels per network pixel.
    assert prediction.source_rect_px == pytest.approx((0.0, 5 * 512 / 171, 768.0, 165 * 512 / 171))
    K = prediction.camera.K
    assert K[0, 0] == K[1, 1] == pytest.approx(200 * (3 * 512 / 171) ** 0.5)
    assert K[0, 2] == pytest.approx(383.5)


def test_another_lens_shows_points_and_people_in_the_same_pixels(tiny, frames):
    advanced = Session(tiny).recurrence.advance(Session(tiny).prepare(frames[0]))
    prediction = advanced.result[0]
    K_from = torch.tensor([[310.0, 0, 100], [0, 290, 61], [0, 0, 1]])
    K_to = with_square_pixels(K_from, (0.0, 0.0, 200.0, 120.0))
    moved = through_other_lens(prediction, K_from, K_to)
    assert K_to[0, 0] == K_to[1, 1]
    before, after = project(prediction.pointmap_camera, K_from), project(moved.pointmap_camera, K_to)
    assert torch.allclose(before, after, atol=1e-3)
    assert torch.equal(prediction.pointmap_camera[..., 2], moved.pointmap_camera[..., 2])
    assert torch.allclose(project(prediction.head_camera, K_from), project(moved.head_camera, K_to), atol=1e-2)


def test_a_degenerate_focal_length_is_replaced(tiny, frames, monkeypatch):
    break_network(monkeypatch, tiny, focal_px=lambda prediction: torch.tensor(0.0))
    K = Session(tiny).step(frames[0]).camera.K
    assert float(K[0, 0]) == pytest.approx(0.87 * 80, rel=0.01)


def test_frames_of_another_size_are_refused(tiny, frames):
    session = Session(tiny)
    session.step(frames[0])
    with pytest.raises(InputError, match="the stream is 80 x 60"):
        session.step(np.zeros((40, 40, 3), np.uint8))


@pytest.mark.parametrize("frame", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)])
def test_invalid_frames_are_refused(tiny, frame):
    with pytest.raises(InputError, match="height x width x 3 uint8"):
        Session(tiny).step(frame)


def test_a_reset_interval_of_one_is_refused(tiny):
    with pytest.raises(InputError, match="reset interval"):
        Session(tiny, reset_interval=1)


def test_a_shot_begins_as_a_session_of_its_own(tiny, frames):
    session, alone = Session(tiny), Session(tiny)
    run(session, frames[:4])
    prediction, expected = session.step(frames[4], begins_shot=True), alone.step(frames[4])
    assert prediction.shot == 1
    assert torch.equal(prediction.camera.T_world_camera, torch.eye(4))
    assert torch.equal(prediction.pointmap_camera, expected.pointmap_camera)
    assert session.step(frames[5]).shot == 1


def test_a_snapshot_behind_a_cut_continues_its_shot(tiny, frames):
    session = Session(tiny)
    run(session, frames[:3])
    session.step(frames[3], begins_shot=True)
    restored = Session.restore(tiny, session.snapshot())
    assert torch.equal(session.step(frames[4]).pointmap_camera, restored.step(frames[4]).pointmap_camera)
    assert restored.step(frames[5]).shot == 1


def test_borders_are_left_out_and_pixels_are_those_of_the_source(tiny, frames):
    framed = np.zeros((100, 80, 3), np.uint8)
    framed[20:80] = frames[0]
    inside, alone = Session(tiny), Session(tiny)
    framed_prediction = inside.step_prepared(inside.prepare(framed, (0, 20, 80, 80)))
    prediction = alone.step(frames[0])
    assert torch.equal(framed_prediction.pointmap_camera, prediction.pointmap_camera)
    assert framed_prediction.camera.image_size == (100, 80)
    shift = framed_prediction.camera.K - prediction.camera.K
    assert shift[:2, 2].tolist() == pytest.approx([0, 20])
    assert framed_prediction.source_rect_px[1] == pytest.approx(prediction.source_rect_px[1] + 20)
