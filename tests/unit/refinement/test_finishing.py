"""What a whole clip tells is applied to all of it: sizes to people, and what they say about the scene to the scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_scene import prediction_of

from human3r.bodies import SmplxBody, load_body
from human3r.bodies.placement import bodies_in_world
from human3r.records import empty_people
from human3r.refinement import one_world
from human3r.refinement.finishing import FinishOptions, finish
from human3r.refinement.offline_smoothing import OfflineSmoothingOptions
from human3r.refinement.world.depth_correction import depth_factor_of
from human3r.refinement.world.fit import WITNESSES, WorldFit
from human3r.results.posing import parameters_of_rows
from human3r.results.reconstruction import Reconstruction
from human3r.results.store import ResultStore

_OPTIONS = FinishOptions(one_shape=True, offline_smoothing=OfflineSmoothingOptions(), one_world=WITNESSES)


@pytest.fixture(scope="module")
def body() -> SmplxBody:
    return load_body(None)


def _finished(walk: Reconstruction, body: SmplxBody, options: FinishOptions) -> Reconstruction:
    store = ResultStore(with_depth=True)
    for frame in range(5):
        prediction = prediction_of(walk, frame)
        pointmap = torch.full((*prediction.pointmap_camera.shape[:2], 3), 3.0)
        store.add(replace(prediction, pointmap_camera=pointmap, people_unfiltered=prediction.people))
    result = finish(store, 10.0, {}, options, body)
    store.close()
    return result


def test_scale_and_bend_move_scene_camera_depth_and_people_along_their_rays(walk, body, monkeypatch) -> None:
    before = _finished(walk, body, replace(_OPTIONS, one_world=()))
    fit = WorldFit(-0.1, np.array([0.02, 0.0, 0.0]), before.T_gravity_world[1, :3], -1.5, np.array([-0.05, 0.1]))
    monkeypatch.setattr(one_world, "estimate", lambda *_: fit)
    after = _finished(walk, body, replace(_OPTIONS, lock_feet=False))

    assert np.allclose(after.T_world_camera[:, :3, 3], before.T_world_camera[:, :3, 3] * np.exp(-0.1), atol=1e-5)
    moved = np.linalg.norm(after.joints_image_px[:, :22] - before.joints_image_px[:, :22], axis=-1)
    assert moved.mean() < 0.5
    cameras = before.T_world_camera[before.points_frame, :3, 3], after.T_world_camera[after.points_frame, :3, 3]
    rays = [result.points_world - camera for result, camera in zip((before, after), cameras, strict=True)]
    ratio = np.linalg.norm(rays[1], axis=1) / np.linalg.norm(rays[0], axis=1)
    assert np.abs(np.log(ratio) + 0.1).max() <= 0.021
    assert np.allclose(rays[1] / ratio[:, None], rays[0], atol=1e-4)
    middle = after.depth[:, after.depth.shape[1] // 2].astype(np.float64)
    assert middle / before.depth[:, before.depth.shape[1] // 2] == pytest.approx(np.exp(-0.1), rel=0.01)


def test_waves_along_the_depth_move_scene_and_depth_maps_as_the_result_says(walk, body, monkeypatch) -> None:
    before = _finished(walk, body, replace(_OPTIONS, one_world=()))
    fit = WorldFit(0.0, np.array([0, 0, 0, 0.2, -0.1]), before.T_gravity_world[1, :3], -1.5, np.zeros(2))
    monkeypatch.setattr(one_world, "estimate", lambda *_: fit)
    after = _finished(walk, body, replace(_OPTIONS, lock_feet=False))

    factor = depth_factor_of(after, 0, before.depth[0], (0, 0, 320, 240))
    assert np.ptp(factor) < 1e-6  # all is 3 m away
    assert np.log(factor).max() < -0.1
    assert after.depth[0] == pytest.approx(before.depth[0] * factor, rel=2e-3)
    cameras = before.T_world_camera[before.points_frame, :3, 3]
    rays = [np.linalg.norm(result.points_world - cameras, axis=1) for result in (before, after)]
    assert rays[1] == pytest.approx(rays[0] * np.mean(factor), rel=2e-3)


def test_meta_has_estimates_with_uncertainties(walk, body) -> None:
    result = _finished(walk, body, replace(_OPTIONS, one_world=()))
    for name in ("lens", "scale", "floor"):
        assert result.meta[name]["standard_deviation"] > 0
        assert result.meta[name]["witnesses"]
    assert result.meta["lens"]["value"] == pytest.approx(result.K[0, 0, 0])
    assert result.meta["lens"]["depth_growth"] == [1.0] * len(result.time_s)
    assert result.meta["scale"]["value"] == 1
    assert result.meta["distances"]["summary"].startswith("distances ±")
    assert result.meta["is_static_camera"] is False
    assert result.foot_contact.shape == (len(result.person_frame), 2)


def test_a_scale_that_settles_within_a_shot_leaves_no_drift_in_scene_depth_and_path(walk, body) -> None:
    log_scales = (0.0, 0.2, 0.3, 0.35, 0.37)
    drifting, settled = ResultStore(with_depth=True), ResultStore(with_depth=True)
    for frame, log_scale in enumerate(log_scales):
        prediction = prediction_of(walk, frame)
        rows, columns = prediction.pointmap_camera.shape[:2]
        plane = torch.stack([torch.zeros(rows, columns), torch.zeros(rows, columns), torch.full((rows, columns), 3.0)])
        for store, of_depth, of_path in (
            (drifting, log_scale, log_scales[0]),
            (settled, log_scales[-1], log_scales[-1]),
        ):
            T = prediction.camera.T_world_camera.clone()
            T[:3, 3] *= np.exp(of_path)
            camera = replace(prediction.camera, T_world_camera=T, log_scale=torch.tensor(of_depth))
            pointmap = plane.permute(1, 2, 0) * np.exp(of_depth)
            nobody = replace(prediction, people=empty_people(), joints_world=torch.zeros(0, 55, 3))
            store.add(replace(nobody, camera=camera, pointmap_camera=pointmap))
    results = [finish(store, 10.0, {}, FinishOptions(), body) for store in (drifting, settled)]
    for name in ("points_world", "T_world_camera", "depth"):
        found, expected = (getattr(result, name).astype(np.float64) for result in results)
        assert found == pytest.approx(expected, abs=3e-3)


def test_deviations_of_the_lens_are_those_of_the_network_where_known(walk, body) -> None:
    known, unknown = ResultStore(), ResultStore()
    for frame in range(4):
        prediction = prediction_of(walk, frame)
        unknown.add(prediction)
        sigma = torch.tensor(0.2 if frame < 2 else 0.04)
        known.add(replace(prediction, camera=replace(prediction.camera, focal_sigma=sigma)))
    shares = []
    for store in (known, unknown):
        lens = finish(store, 10.0, {}, replace(_OPTIONS, one_world=()), body).meta["lens"]
        shares.append(lens["standard_deviation"] / lens["value"])
        store.close()
    assert shares == pytest.approx([0.044, 0.11])


@pytest.mark.parametrize(
    ("fps", "frames", "is_kept"),
    [(30, (3,), False), (30, (3, 4), False), (30, (3, 4, 5), True), (10, (3, 4), True), (10, (3,), False)],
)
def test_people_seen_in_too_few_consecutive_frames_are_false_detections(walk, fps, frames, is_kept) -> None:
    # The numbers of the stream have gaps; those of the result must not.
    first = prediction_of(walk, 0)
    other = int(first.people.track_id.max()) + 1
    first = replace(first, people=replace(first.people, track_id=2 * first.people.track_id + other + 1))
    others = len(first.people.track_id)
    store = ResultStore()
    for frame in range(8):
        prediction = replace(first, frame_index=frame, time_s=frame / fps)
        if frame in frames:
            track_id = prediction.people.track_id.clone()
            track_id[0] = other
            prediction = replace(prediction, people=replace(prediction.people, track_id=track_id))
        store.add(prediction)

    found = finish(store, fps, {}, FinishOptions(min_track_frames=3))
    store.close()

    assert found.track_id.tolist() == list(range(others + is_kept))


def _in_two_shots(walk: Reconstruction, body: SmplxBody, options: FinishOptions) -> Reconstruction:
    """The walk's frames, the second half as a shot with a world that begins at its first camera."""
    store = ResultStore()
    half = 4
    T_shot_world = torch.linalg.inv(prediction_of(walk, half).camera.T_world_camera)
    for frame in range(2 * half):
        prediction = prediction_of(walk, frame)
        if frame >= half:
            camera = replace(prediction.camera, T_world_camera=T_shot_world @ prediction.camera.T_world_camera)
            parameters = bodies_in_world(
                prediction.people.joint_rotations,
                prediction.people.head_camera,
                prediction.people.betas,
                prediction.people.expression,
                camera.T_world_camera,
                body,
            )[0]
            prediction = replace(
                prediction,
                shot=1,
                camera=camera,
                parameters_world=parameters,
                joints_world=body.joints(parameters),
            )
        store.add(replace(prediction, people_unfiltered=prediction.people))
    result = finish(store, 10.0, {}, options, body)
    store.close()
    return result


def test_shots_share_a_floor_and_the_world_of_the_first(walk, body) -> None:
    result = _in_two_shots(walk, body, FinishOptions())
    assert result.shot.tolist() == [0] * 4 + [1] * 4
    assert np.allclose(result.T_world_camera[0], np.eye(4), atol=1e-6)
    assert [shot["first_frame"] for shot in result.meta["shots"]] == [0, 4]
    first, second = (result.T_gravity_world @ result.T_world_camera[row] for row in (0, 4))
    assert np.allclose(first[[0, 2], 3], second[[0, 2], 3], atol=1e-4)
    moved = result.person_frame >= 4
    joints = body.joints(parameters_of_rows(result)).numpy()
    assert np.allclose(joints[moved], result.joints_world[moved], atol=1e-3)
    heights = result.joints_world @ result.T_gravity_world[1, :3] + result.T_gravity_world[1, 3]
    lowest = [heights[result.shot[result.person_frame] == shot].min() for shot in (0, 1)]
    assert np.abs(lowest).max() < 0.1


def test_shapes_never_reach_from_one_shot_to_the_next(walk, body) -> None:
    options = FinishOptions(one_shape=True)
    result = _in_two_shots(walk, body, options)
    alone = _finished_frames(walk, body, options, range(4))
    assert np.allclose(result.betas[result.person_frame < 4], alone.betas, atol=1e-5)


def _finished_frames(walk: Reconstruction, body: SmplxBody, options: FinishOptions, frames: range) -> Reconstruction:
    store = ResultStore()
    for frame in frames:
        prediction = prediction_of(walk, frame)
        store.add(replace(prediction, people_unfiltered=prediction.people))
    result = finish(store, 10.0, {}, options, body)
    store.close()
    return result


def test_a_title_card_before_the_clip_leaves_no_points(walk, body) -> None:
    store = ResultStore()
    for frame in range(6):
        prediction = prediction_of(walk, 0)
        if frame < 3:
            nobody = prediction.people.map(lambda values: values[:0])
            prediction = replace(
                prediction,
                people=nobody,
                parameters_world=prediction.parameters_world.map(lambda values: values[:0]),
                joints_world=prediction.joints_world[:0],
                image=torch.zeros_like(prediction.image),
            )
        store.add(replace(prediction, frame_index=frame, time_s=frame / 10, shot=int(frame >= 3)))
    result = finish(store, 10.0, {}, FinishOptions(), body)
    store.close()
    assert len(result.points_world) > 0
    assert result.points_frame.min() >= 3
    assert np.allclose(result.T_world_camera[3], np.eye(4), atol=1e-6)
