"""Bounded accumulation: still cameras, people left out, the cap, depth edges."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from human3r.bodies.placement import bodies_in_world
from human3r.records import Camera, FramePrediction, empty_people
from human3r.refinement.finishing import finish
from human3r.results.reconstruction import Reconstruction
from human3r.results.scene_fusion import SceneAccumulator
from human3r.results.scene_views import MAX_VIEWS
from human3r.results.store import ResultStore


def wall(small_body, depth_m=3.0, shift_m=0.0, mask=None, noise=0.0, seed=0, size=(24, 32)):
    """A frame that looks at a wall, from a camera ``shift_m`` to the right."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    depth = depth_m + noise * np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    points = np.stack([(x - width / 2) / 30 * depth, (y - height / 2) / 30 * depth, depth], axis=-1)
    T = torch.eye(4)
    T[0, 3] = shift_m
    nobody = empty_people()
    parameters = bodies_in_world(
        nobody.joint_rotations, nobody.head_camera, nobody.betas, nobody.expression, T, small_body
    )[0]
    return FramePrediction(
        frame_index=seed,
        time_s=seed / 10,
        camera=Camera(torch.eye(3), T, size),
        people=nobody,
        parameters_world=parameters,
        joints_world=torch.zeros(0, 55, 3),
        pointmap_camera=torch.from_numpy(points.astype(np.float32)),
        confidence=torch.full(size, 5.0),
        person_mask=torch.zeros(size) if mask is None else torch.from_numpy(mask),
        image=torch.full((*size, 3), 100, dtype=torch.uint8),
        source_rect_px=(0.0, 0.0, float(width), float(height)),
    )


def scene_of(predictions, **options):
    # Confidence is the same everywhere in these frames, so that no share of it can be dropped.
    scene = SceneAccumulator(**options)
    for row, prediction in enumerate(predictions):
        scene.add(prediction, row)
    return scene.finish()


def test_a_still_camera_averages_the_noise_away(small_body):
    single = scene_of([wall(small_body, noise=0.02)])
    many = scene_of([wall(small_body, noise=0.02, seed=seed) for seed in range(25)])
    assert many.points[:, 2].std() < 0.3 * single.points[:, 2].std()
    assert len(many) <= 24 * 32


def test_people_leave_no_points_and_no_halo(small_body):
    mask = np.zeros((24, 32), np.float32)
    mask[8:16, 8:16] = 1
    cloud = scene_of([wall(small_body, mask=mask)])
    x = (cloud.points[:, 0] / cloud.points[:, 2] * 30 + 16).round()
    y = (cloud.points[:, 1] / cloud.points[:, 2] * 30 + 12).round()
    assert not ((x >= 7) & (x <= 16) & (y >= 7) & (y <= 16)).any()


def test_surfaces_behind_a_person_are_filled_in_after_they_leave(small_body):
    mask = np.zeros((24, 32), np.float32)
    mask[8:16, 8:16] = 1
    cloud = scene_of([wall(small_body, mask=mask), wall(small_body, seed=1)])
    assert len(cloud) == 24 * 32
    assert set(cloud.frame.tolist()) == {0, 1}


def test_a_moving_camera_covers_more_of_the_wall(small_body):
    cloud = scene_of([wall(small_body, shift_m=0.5 * step) for step in range(4)])
    assert np.ptp(cloud.points[:, 0]) > np.ptp(scene_of([wall(small_body)]).points[:, 0]) + 1.4


def test_the_cloud_never_exceeds_its_cap(small_body):
    cloud = scene_of([wall(small_body, shift_m=0.3 * step) for step in range(30)], max_points=500)
    assert 50 < len(cloud) <= 500


def test_a_scene_that_is_merged_view_by_view_is_that_of_all_views_at_once(small_body, monkeypatch):
    frames = [wall(small_body, shift_m=0.3 * step) for step in range(7)]
    at_once = scene_of(frames)
    monkeypatch.setattr("human3r.results.scene_fusion._FLUSH_POINTS", 1)
    by_and_by = scene_of(frames)
    assert np.allclose(by_and_by.points, at_once.points, atol=1e-4)
    assert np.array_equal(by_and_by.weight, at_once.weight)


def test_pixels_between_two_surfaces_are_dropped(small_body):
    prediction = wall(small_body)
    prediction.pointmap_camera[:, 16:] *= 2
    cloud = scene_of([prediction])
    assert len(cloud) == 24 * 30


def test_rejected_frames_add_no_points(small_body):
    prediction = wall(small_body)
    prediction.confidence[:] = 0
    assert len(scene_of([prediction])) == 0


def test_infinite_points_do_not_spread(small_body):
    prediction = wall(small_body)
    prediction.pointmap_camera[0, 0] = float("inf")
    prediction.pointmap_camera[1, 1] = float("nan")
    cloud = scene_of([prediction])
    assert np.isfinite(cloud.points).all()
    assert len(cloud) == pytest.approx(24 * 32, abs=10)


def test_depth_maps_stay_on_the_disk_until_they_are_saved(small_body, tmp_path):
    size, count = (120, 160), 200
    store = ResultStore(with_depth=True)
    for seed in range(count):
        store.add(wall(small_body, depth_m=1 + seed / 100, seed=seed, size=size))
    num_bytes = 2 * count * size[0] * size[1] * 2
    tracemalloc.start()
    result = finish(store, 10.0, {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < num_bytes / 4
    store.close()
    result.save(tmp_path / "r.npz")
    loaded = Reconstruction.load(tmp_path / "r.npz")
    assert loaded.depth.shape == (count, *size)
    assert loaded.depth_frame_index.tolist() == list(range(count))
    assert np.allclose(loaded.depth[:, 0, 0], 1 + np.arange(count) / 100, rtol=1e-3)
    assert float(loaded.depth_confidence.min()) == float(loaded.depth_confidence.max()) == 5


@pytest.mark.parametrize(
    ("times_s", "taken"),
    [
        ([frame / 10 for frame in range(6)], [0, 1, 2, 3, 4, 5]),
        ([frame / 25 for frame in range(6)], [0, 2, 4]),
        ([frame / 30 for frame in range(7)], [0, 3, 6]),
        ([0.5, 0.4, 0.45, 0.5], [0, 1, 3]),
    ],
)
def test_a_still_camera_is_sampled_at_a_limited_rate_also_after_a_snapshot(small_body, times_s, taken):
    frames = [replace(wall(small_body, depth_m=1 + seed, seed=seed), time_s=t) for seed, t in enumerate(times_s)]
    whole = SceneAccumulator()
    for row, frame in enumerate(frames):
        whole.add(frame, row)
        resumed = SceneAccumulator()
        resumed.load_arrays(whole.arrays())
        whole = resumed

    cloud = whole.finish()

    assert cloud.weight.max() == len(taken)
    assert np.median(cloud.points[:, 2]) == pytest.approx(np.mean([1 + row for row in taken]), abs=0.1)


def test_names_of_image_files_survive_a_resumed_run(small_body, tmp_path):
    names = ["a.png", "long name \u00e4.png", "b/c.png"]
    store = ResultStore(tmp_path)
    for seed, name in enumerate(names[:2]):
        store.add(replace(wall(small_body, seed=seed), frame_name=name))
    checkpoint = store.checkpoint()
    store.add(replace(wall(small_body, seed=2), frame_name="lost.png"))
    store.close()
    again = ResultStore(tmp_path)
    again.resume(checkpoint)
    again.add(replace(wall(small_body, seed=2), frame_name=names[2]))
    assert finish(again, 10.0, {}).frame_name.tolist() == names
    again.close()


def test_frames_of_a_video_have_no_names(small_body):
    store = ResultStore()
    store.add(wall(small_body))
    result = finish(store, 10.0, {})
    store.close()
    assert result.frame_name is None
    assert result.shot.tolist() == [0]
    assert result.meta["shots"][0]["first_frame"] == 0


def test_depth_maps_of_another_part_of_the_frame_fit_the_first_ones(small_body):
    store = ResultStore(with_depth=True)
    store.add(wall(small_body, depth_m=2.0))
    smaller = replace(wall(small_body, depth_m=3.0, size=(20, 12)), source_rect_px=(8.0, 0.0, 24.0, 24.0), shot=1)
    store.add(smaller)
    result = finish(store, 10.0, {})
    store.close()
    assert result.depth.shape == (2, 24, 32)
    assert np.allclose(result.depth[1, :, 8:24], 3.0)
    assert np.allclose(result.depth_confidence[1, :, :8], 0.0)


def test_views_of_a_moving_camera_are_bounded_and_survive_a_resumed_run(small_body, tmp_path):
    whole, first = ResultStore(with_views=True), ResultStore(tmp_path, with_views=True)
    for number in range(100):
        whole.add(wall(small_body, shift_m=0.05 * number))
        if number < 60:
            first.add(wall(small_body, shift_m=0.05 * number))
    checkpoint = first.checkpoint()
    first.close()
    again = ResultStore(tmp_path, with_views=True)
    again.resume(checkpoint)
    for number in range(60, 100):
        again.add(wall(small_body, shift_m=0.05 * number))
    views = whole.views()
    assert MAX_VIEWS / 2 <= len(views) <= MAX_VIEWS
    assert views[0].row == 0
    assert views[-1].row > 90
    assert [view.row for view in again.views()] == [view.row for view in views]
    assert all(np.array_equal(one.gray, other.gray) for one, other in zip(again.views(), views, strict=True))
    whole.close()
    again.close()


def test_a_camera_that_stands_gives_one_view(small_body):
    store = ResultStore(with_views=True)
    for seed in range(5):
        store.add(wall(small_body, seed=seed))
    assert len(store.views()) == 1
    store.close()
