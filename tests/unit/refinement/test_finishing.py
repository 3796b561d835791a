"""What a whole clip tells is applied to all of it: sizes to people, and what they say about the scene to the scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_scene import prediction_of

from human3r.bodies import SmplxBody, load_body
from human3r.refinement import finishing
from human3r.refinement.finishing import FinishOptions, finish
from human3r.refinement.offline_smoothing import OfflineSmoothingOptions
from human3r.refinement.person_sizes import PersonSizes
from human3r.results.reconstruction import Reconstruction
from human3r.results.store import ResultStore

_BONES = ((15, 12), (12, 9), (9, 6), (6, 3), (3, 0), (0, 1), (1, 4), (4, 7))
_OPTIONS = FinishOptions(one_shape=True, offline_smoothing=OfflineSmoothingOptions(), scene_sizes=True)


@pytest.fixture(scope="module")
def body() -> SmplxBody:
    return load_body(None)


def _finished(walk: Reconstruction, body: SmplxBody, options: FinishOptions) -> Reconstruction:
    store = ResultStore()
    for frame in range(5):
        prediction = prediction_of(walk, frame)
        pointmap = torch.full((*prediction.pointmap_camera.shape[:2], 3), 3.0)
        store.add(replace(prediction, pointmap_camera=pointmap, people_unfiltered=prediction.people))
    result = finish(store, 10.0, {}, options, body)
    store.close()
    return result


def _size(joints: np.ndarray) -> np.ndarray:
    return sum(np.linalg.norm(joints[:, a] - joints[:, b], axis=1) for a, b in _BONES)


def test_children_become_small_where_they_are_seen_and_the_scene_gives_back_their_share(
    walk, body, monkeypatch
) -> None:
    before = _finished(walk, body, replace(_OPTIONS, scene_sizes=False))
    child = int(before.person_track[0])
    monkeypatch.setattr(finishing, "sizes_from_scene", lambda *_: PersonSizes({child: -0.3}, -0.1))
    after = _finished(walk, body, _OPTIONS)
    rows = before.person_track == child
    smaller = _size(after.joints_world) / _size(before.joints_world)
    assert smaller[rows] == pytest.approx(np.full(rows.sum(), np.exp(-0.3)), rel=0.02)
    assert smaller[~rows] == pytest.approx(np.ones((~rows).sum()), rel=1e-3)
    torso = np.ptp(before.joints_image_px[:, :22, 1], axis=1)[:, None]
    moved = np.linalg.norm(after.joints_image_px[:, :22] - before.joints_image_px[:, :22], axis=-1)
    assert (moved / torso).max() < 0.06
    assert np.allclose(after.T_world_camera[:, :3, 3], before.T_world_camera[:, :3, 3] * np.exp(-0.1), atol=1e-5)
    assert np.allclose(after.points_world, before.points_world * np.exp(-0.1), atol=1e-4)


def test_whoever_does_not_stand_has_no_sole(walk, body, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(finishing, "sizes_from_scene", lambda *given: seen.append(given[3]) or PersonSizes({}, 0.0))
    result = _finished(walk, body, _OPTIONS)
    assert len(seen[0].sole) == len(result.person_frame)
    assert np.isfinite(seen[0].camera).all()


@pytest.mark.parametrize(
    ("fps", "frames", "is_kept"),
    [(30, (3,), False), (30, (3, 4), False), (30, (3, 4, 5), True), (10, (3, 4), True), (10, (3,), False)],
)
def test_who_is_seen_in_too_few_frames_at_once_is_a_false_alarm(walk, fps, frames, is_kept) -> None:
    other = int(walk.person_track.max()) + 1
    store = ResultStore()
    for frame in range(8):
        prediction = replace(prediction_of(walk, 0), frame_index=frame, time_s=frame / fps)
        if frame in frames:
            track_id = prediction.people.track_id.clone()
            track_id[0] = other
            prediction = replace(prediction, people=replace(prediction.people, track_id=track_id))
        store.add(prediction)

    found = finish(store, fps, {}, FinishOptions(min_track_frames=3))
    store.close()

    assert (other in found.track_id) == is_kept
    assert len(found.track_id) > 0
