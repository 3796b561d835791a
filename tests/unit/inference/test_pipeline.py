"""From clip to result: what is kept, stopping, warnings, memory."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from human3r.errors import Cancelled, InputError
from human3r.inference import pipeline
from human3r.inference.pipeline import RunControl, reconstruct
from human3r.inference.prefetch import prefetch
from human3r.refinement.world.fit import WITNESSES
from human3r.results.reconstruction import Reconstruction
from human3r.video.writer import VideoWriter


def test_a_clip_becomes_a_complete_reconstruction(tiny, clip, tmp_path):
    seen = []
    result = reconstruct(clip, tiny, on_frame=seen.append)
    assert [prediction.frame_index for prediction in seen] == list(range(9))
    assert result.num_frames == 9
    assert result.fps == pytest.approx(10)
    assert np.array_equal(result.T_world_camera[0], np.eye(4, dtype=np.float32))
    assert len(result.person_frame) == sum(len(prediction.people) for prediction in seen)
    assert result.meta["source"] == "noise.mp4"
    result.save(tmp_path / "r.npz")
    loaded = Reconstruction.load(tmp_path / "r.npz")
    assert np.array_equal(loaded.joints_world, result.joints_world)
    assert loaded.meta["warnings"] == result.meta["warnings"]


def test_projected_joints_agree_with_camera_and_world(tiny, clip):
    result = reconstruct(clip, tiny, max_frames=3)
    row = int(np.argmax(result.joints_world[:, 0, 2]))
    frame = result.person_frame[row]
    T = np.linalg.inv(result.T_world_camera[frame].astype(np.float64))
    camera = result.joints_world[row] @ T[:3, :3].T + T[:3, 3]
    is_ahead = camera[:, 2] > 0.1
    pixels = camera @ result.K[frame].T
    expected = pixels[:, :2] / pixels[:, 2:]
    assert np.allclose(result.joints_image_px[row][is_ahead], expected[is_ahead], rtol=1e-3, atol=0.1)


def test_stopping_keeps_the_frames_so_far(tiny, clip):
    seen = []
    result = reconstruct(clip, tiny, on_frame=seen.append, control=RunControl(lambda: len(seen) == 4))
    assert result.num_frames == 4
    assert result.meta["warnings"][0] == "Stopped after 4 of 9 frames."


def test_stopping_before_the_first_frame_is_a_cancellation(tiny, clip):
    with pytest.raises(Cancelled):
        reconstruct(clip, tiny, control=RunControl(lambda: True))


def test_using_a_part_of_the_clip_is_reported(tiny, clip):
    result = reconstruct(clip, tiny, fps=2.5, max_frames=2)
    assert result.frame_index.tolist() == [0, 4]
    assert "Used 2 of 9 frames." in result.meta["warnings"]


def test_a_start_behind_the_end_is_an_input_error(tiny, clip):
    with pytest.raises(InputError, match=r"after the end of the clip \(0.9 s\)"):
        reconstruct(clip, tiny, start_s=5)


def test_one_frame_is_a_valid_clip(tiny, clip):
    result = reconstruct(clip, tiny, max_frames=1)
    assert result.num_frames == 1
    assert result.fps == pytest.approx(10)


def test_a_clip_without_people_is_a_valid_result_with_a_note(tiny, clip, monkeypatch):
    healthy = tiny.network.step
    per_person = ("score", "head_uv_px", "joint_rotations", "betas", "expression", "head_camera", "track_features")

    def step(tokens, state, **options):
        prediction, after = healthy(tokens, state, **options)
        return replace(prediction, **{name: getattr(prediction, name)[:0] for name in per_person}), after

    monkeypatch.setattr(tiny.network, "step", step)
    result = reconstruct(clip, tiny, max_frames=2)
    assert result.joints_world.shape == (0, 55, 3)
    assert "No people were found." in result.meta["warnings"]


def test_depth_maps_are_kept_on_request_with_their_crop(tiny, frames, tmp_path):
    clip = tmp_path / "wide.mp4"
    with VideoWriter(clip, fps=10) as writer:
        for frame in frames[:3]:
            writer.append(np.concatenate([frame, frame[:, :20]], axis=1))
    seen = []
    result = reconstruct(clip, tiny, on_frame=seen.append, max_frames=3, save_depth=True)
    expected = torch.stack([prediction.pointmap_camera[..., 2] for prediction in seen]).clamp_min(0).half().numpy()
    assert np.array_equal(result.depth, expected)
    assert result.depth_frame_index.tolist() == [0, 1, 2]
    # 100 x 60 becomes 256 x 154, of which the middle 144 rows are used.
    assert result.depth_crop == pytest.approx([0, 5 * 60 / 154, 100, 149 * 60 / 154])
    result.save(tmp_path / "r.npz")
    assert np.array_equal(Reconstruction.load(tmp_path / "r.npz").depth, expected)


def test_one_world_is_an_option_of_networks_whose_clips_are_not_refined(tiny, clip, monkeypatch):
    seen, finish = [], pipeline.finish

    def spy(store, fps, meta, options, body):
        seen.append(options.one_world)
        return finish(store, fps, meta, options, body)

    monkeypatch.setattr(pipeline, "finish", spy)
    plain = reconstruct(clip, tiny, max_frames=2)
    reconstruct(clip, tiny, max_frames=2, one_world=True)
    assert seen == [(), WITNESSES]
    assert plain.foot_contact.shape == (len(plain.person_frame), 2)
    assert plain.meta["distances"]["standard_deviation"] > 0


def test_an_error_in_the_callback_ends_the_decoder(tiny, clip):
    def fail(prediction):
        raise RuntimeError("callback")

    with pytest.raises(RuntimeError, match="callback"):
        reconstruct(clip, tiny, on_frame=fail)


def test_prefetching_keeps_order_and_hands_on_errors():
    def source():
        yield from range(5)
        raise ValueError("source")

    delivered = []

    def consume():
        delivered.extend(prefetch(source(), lambda item: item * 2, depth=2))

    with pytest.raises(ValueError, match="source"):
        consume()
    assert delivered == [0, 2, 4, 6, 8]


def test_prefetching_runs_ahead_by_a_bounded_number():
    produced = []

    def source():
        for number in range(1000):
            produced.append(number)
            yield number

    with closing(prefetch(source(), lambda item: item, depth=3)) as items:
        assert next(items) == 0
    # Three wait, one is in the producer's hand, one was taken; one more may slip in while closing.
    assert len(produced) <= 6
