"""Laws of voxel fusion, depth edges, orientation and the gravity frame."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from human3r.geometry.fusion import PointCloud, dilate, fuse_to_limit, fuse_voxels, voxel_keys
from human3r.geometry.ground import GroundEvidence, estimate_gravity
from human3r.video.orientation import Orientation

seeds = st.integers(0, 2**32 - 1)


def cloud_of(seed, count):
    rng = np.random.default_rng(seed)
    return PointCloud(
        points=rng.uniform(-2, 2, (count, 3)).astype(np.float32),
        colors=rng.uniform(0, 255, (count, 3)).astype(np.float32),
        confidence=rng.uniform(1, 9, count).astype(np.float32),
        weight=np.ones(count, np.float32),
        frame=rng.integers(0, 9, count).astype(np.int32),
    )


@given(seeds, st.integers(0, 300), st.floats(0.05, 2))
@settings(max_examples=60, deadline=None)
def test_fusing_keeps_weight_confidence_and_the_mean(seed, count, voxel_m):
    cloud = cloud_of(seed, count)
    fused = fuse_voxels(cloud, voxel_m)
    assert fused.weight.sum() == pytest.approx(count)
    assert fused.confidence.sum() == pytest.approx(cloud.confidence.sum(), rel=1e-4)
    assert len(fused) == len(np.unique(voxel_keys(cloud.points, voxel_m)))
    if count:
        expected = np.average(cloud.points, axis=0, weights=cloud.confidence)
        assert np.allclose(np.average(fused.points, axis=0, weights=fused.confidence), expected, atol=1e-3)


@given(seeds, st.integers(1, 400), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_the_limit_holds_for_every_cloud(seed, count, limit):
    fused, _ = fuse_to_limit(cloud_of(seed, count), 0.01, limit)
    assert 1 <= len(fused) <= limit


@given(seeds, st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_dilation_grows_by_exactly_the_radius(seed, radius):
    mask = np.random.default_rng(seed).random((9, 11)) < 0.1
    rows, columns = np.nonzero(mask)
    y, x = np.mgrid[:9, :11]
    near = (np.abs(y[..., None] - rows) <= radius) & (np.abs(x[..., None] - columns) <= radius)
    assert np.array_equal(dilate(mask, radius), near.any(axis=-1))


@given(st.booleans(), st.booleans(), st.booleans())
def test_orientation_size_and_handedness_agree_with_the_image(is_transposed, flip_x, flip_y):
    orientation = Orientation(is_transposed, flip_x, flip_y)
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert orientation.apply(image).shape[:2] == orientation.size(2, 3)
    # Handedness of three corners decides whether the picture is mirrored.
    places = {int(value): np.argwhere(orientation.apply(image)[..., 0] == value)[0] for value in (0, 6, 9)}
    right, down = places[6] - places[0], places[9] - places[0]
    turned = right[1] * down[0] - right[0] * down[1]
    assert (turned < 0) == orientation.is_mirrored


def scene(seed, tilt_deg, roll_deg, height_m, with_people):
    """A floor with clutter seen by a tilted camera; people stand on it. Returns evidence and T_world_gravity's up."""
    rng = np.random.default_rng(seed)
    angles = torch.tensor([np.deg2rad(180 - tilt_deg), 0.0, np.deg2rad(roll_deg)])
    R_world_gravity = roma.euler_to_rotmat("xyz", angles).double().numpy()
    up = R_world_gravity[:, 1]
    floor = np.stack([rng.uniform(-2, 2, 600), np.zeros(600), rng.uniform(-6, -2, 600)], axis=1)
    floor[:, 1] += rng.normal(0, 0.02, 600)
    clutter = rng.uniform((-2, 0.2, -6), (2, 2, -2), (300, 3))
    t = -height_m * up
    points = np.concatenate([floor, clutter]) @ R_world_gravity.T + t
    count = 40 if with_people else 0
    stands = np.stack([rng.uniform(-1, 1, count), np.full(count, 0.02), rng.uniform(-5, -3, count)], axis=1)
    feet = np.repeat((stands @ R_world_gravity.T + t)[:, None], 2, axis=1)
    spines = 0.5 * up + rng.normal(0, 0.05, (count, 3))
    evidence = GroundEvidence(np.eye(3)[None], np.zeros((1, 3)), points, feet, spines)
    return evidence, up


@given(seeds, st.floats(-5, 35), st.floats(-5, 5), st.floats(0.8, 3), st.booleans())
@settings(max_examples=15, deadline=None)
def test_gravity_is_found_for_tilted_cameras(seed, tilt_deg, roll_deg, height_m, with_people):
    evidence, up = scene(seed, tilt_deg, roll_deg, height_m, with_people)
    T = estimate_gravity(evidence)
    assert np.allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-5)
    assert np.linalg.det(T[:3, :3]) == pytest.approx(1, abs=1e-5)
    assert np.rad2deg(np.arccos(np.clip(T[1, :3] @ up, -1, 1))) < 3
    # The first camera is over the origin at its height.
    assert np.allclose(T[[0, 2], 3], 0, atol=1e-5)
    assert T[1, 3] == pytest.approx(height_m, abs=0.15)


@pytest.mark.parametrize("with_people", [False, True])
def test_gravity_without_any_scene_is_a_valid_transform(with_people):
    feet = np.full((30, 2, 3), [0.0, 1.4, 3.0]) if with_people else np.zeros((0, 2, 3))
    spines = np.tile([0.0, -0.5, 0.0], (len(feet), 1))
    evidence = GroundEvidence(np.eye(3)[None], np.zeros((1, 3)), np.zeros((0, 3)), feet, spines)
    T = estimate_gravity(evidence)
    assert T[1, :3] == pytest.approx([0, -1, 0], abs=1e-6)
    assert T[1, 3] == pytest.approx(1.42 if with_people else 1.5, abs=0.05)
