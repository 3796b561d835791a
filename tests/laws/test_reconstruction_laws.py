"""Laws of the result file: what is saved comes back, and nothing else is accepted."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from human3r.errors import FormatError
from human3r.results.reconstruction import Reconstruction

_PERSON_COLUMNS = {
    "global_orient": (3,),
    "transl": (3,),
    "body_pose": (21, 3),
    "left_hand_pose": (15, 3),
    "right_hand_pose": (15, 3),
    "jaw_pose": (3,),
    "leye_pose": (3,),
    "reye_pose": (3,),
    "betas": (10,),
    "expression": (10,),
    "joints_world": (55, 3),
    "joints_image_px": (55, 2),
    "person_score": (),
}


def random_result(seed, num_frames, num_rows, num_points, with_depth):
    rng = np.random.default_rng(seed)
    # Four people at most in a frame, each once.
    sightings = np.sort(rng.choice(4 * num_frames, min(num_rows, 4 * num_frames), replace=False))
    rows = {name: rng.normal(size=(len(sightings), *shape)) for name, shape in _PERSON_COLUMNS.items()}
    tracks = sightings % 4
    T = np.tile(np.eye(4), (num_frames + 1, 1, 1))
    T[:, :3, :3] = Rotation.random(num_frames + 1, rng=rng).as_matrix()
    T[:, :3, 3] = rng.normal(size=(num_frames + 1, 3))
    focal_px, center_px = rng.uniform(10, 900), rng.normal(size=2)
    depth = {}
    if with_depth:
        depth = {
            "depth": rng.uniform(0, 9, (num_frames, 3, 4)),
            "depth_confidence": rng.uniform(1, 9, (num_frames, 3, 4)),
            "depth_frame_index": np.arange(num_frames) * 3,
            "depth_crop": np.array([1.5, 0, 20, 30]),
        }
    return Reconstruction(
        fps=float(rng.uniform(1, 60)),
        frame_index=np.arange(num_frames) * 3,
        time_s=np.arange(num_frames) / 7,
        image_size=np.array([30, 40]),
        K=np.tile([[focal_px, 0, center_px[0]], [0, focal_px, center_px[1]], [0, 0, 1]], (num_frames, 1, 1)),
        T_world_camera=T[1:],
        T_gravity_world=T[0],
        person_frame=sightings // 4,
        person_track=tracks,
        track_id=np.unique(tracks),
        track_betas=rng.normal(size=(len(np.unique(tracks)), 10)),
        points_world=rng.normal(size=(num_points, 3)),
        points_color=rng.integers(0, 256, (num_points, 3)),
        points_confidence=rng.uniform(1, 5, num_points),
        points_frame=rng.integers(0, num_frames, num_points),
        shot=np.cumsum(rng.integers(0, 2, num_frames) * (np.arange(num_frames) > 0)),
        frame_name=None if with_depth else np.array([f"image {index} ä.png" for index in range(num_frames)]),
        meta={"model": "none", "warnings": ["ä note"], "options": {"fps": None}},
        **rows,
        **depth,
    )


results = st.builds(
    random_result, st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 6), st.integers(0, 20), st.booleans()
)


@given(results)
@settings(max_examples=25, deadline=None)
def test_a_saved_result_loads_bit_for_bit(tmp_path_factory, result):
    path = tmp_path_factory.mktemp("result") / "r.npz"
    result.save(path)
    loaded = Reconstruction.load(path)
    for field in fields(Reconstruction):
        before, after = getattr(result, field.name), getattr(loaded, field.name)
        if isinstance(before, np.ndarray):
            assert before.dtype == after.dtype
            assert np.array_equal(before, after), field.name
        else:
            assert before == after, field.name
    assert [path.name for path in path.parent.iterdir()] == ["r.npz"]


@given(results)
@settings(max_examples=10, deadline=None)
def test_the_file_has_the_specified_types_and_needs_no_pickle(tmp_path_factory, result):
    path = tmp_path_factory.mktemp("result") / "r.npz"
    result.save(path)
    with np.load(path, allow_pickle=False) as archive:
        assert str(archive["schema"]) == "human3r/2"
        assert isinstance(json.loads(str(archive["meta"])), dict)
        assert archive["T_world_camera"].dtype == np.float32
        assert archive["points_color"].dtype == np.uint8
        assert archive["person_track"].dtype == np.int64
        assert ("depth" in archive.files) == (result.depth is not None)


@given(results)
@settings(max_examples=20, deadline=None)
def test_tracks_partition_the_person_table(result):
    rows = np.concatenate([track.observations for track in result.tracks] or [np.zeros(0, int)])
    assert sorted(rows.tolist()) == list(range(len(result.person_frame)))


def test_damaged_files_are_format_errors_or_still_valid(tmp_path):
    result = random_result(0, num_frames=3, num_rows=4, num_points=9, with_depth=True)
    result.save(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(120):
        content = bytearray(whole)
        for place in rng.integers(0, len(content), 3):
            content[place] ^= int(rng.integers(1, 256))
        (tmp_path / "damaged.npz").write_bytes(content)
        try:
            loaded = Reconstruction.load(tmp_path / "damaged.npz")
        except FormatError:
            refused += 1
        else:
            assert loaded.num_frames == result.num_frames
    assert refused > 100


@given(results, st.sampled_from(sorted(_PERSON_COLUMNS)))
@settings(max_examples=20, deadline=None)
def test_columns_of_different_lengths_are_refused(result, name):
    values = {field.name: getattr(result, field.name) for field in fields(Reconstruction)}
    values[name] = np.concatenate([values[name], np.zeros((1, *values[name].shape[1:]))])
    with pytest.raises(FormatError, match="expected"):
        Reconstruction(**values)
