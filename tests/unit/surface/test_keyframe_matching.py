"""Keyframes of a moving camera: depths that their pictures correct, what hangs in the air, colors at borders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from human3r.surface.keyframes.looks import Lens
from human3r.surface.meshing.matching import matched
from human3r.surface.meshing.parts import Part
from human3r.surface.meshing.toning import toned

H, W, DEPTH_M, FOCAL_PX = 96, 128, 4.0, 100.0


def wall_seen_from(*sides_m: float) -> list[Part]:
    """Return keyframes of a textured wall, from places so far to the right."""
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(H, 3 * W)), 1.5)
    texture = (noise / noise.std() * 40 + 128).clip(0, 255)
    K = np.array([[FOCAL_PX, 0, (W - 1) / 2], [0, FOCAL_PX, (H - 1) / 2], [0, 0, 1]])
    parts = []
    for side_m in sides_m:
        T = np.eye(4)
        T[0, 3] = side_m
        place = np.mgrid[:H, :W] + np.array([0, W + side_m * FOCAL_PX / DEPTH_M])[:, None, None]
        picture = map_coordinates(texture, place, order=1)[..., None].repeat(3, axis=2).astype(np.uint8)
        parts.append(Part(Lens(T, K, (0.0, 0.0, W, H), (H, W)), 0, np.full((H, W), DEPTH_M, np.float32), picture))
    return parts


def test_depth_that_is_wrong_in_part_of_a_keyframe_is_moved_to_where_pictures_match() -> None:
    parts = wall_seen_from(-0.6, 0.0, 0.6)
    bump = 1 + 0.06 * np.exp(-((np.mgrid[:H, :W] - [[[48]], [[64]]]) ** 2).sum(axis=0) / 2 / 15**2)
    found = matched([part.scaled(bump) if number == 1 else part for number, part in enumerate(parts)])
    assert np.abs(found[1].depth / DEPTH_M - 1).max() < 0.02
    assert all(np.abs(part.depth / DEPTH_M - 1).mean() < 0.005 for part in found)


def test_what_hangs_where_most_others_look_through_is_left_out() -> None:
    parts = wall_seen_from(-0.8, -0.4, 0.0, 0.4, 0.8)
    depth = parts[2].depth.copy()
    depth[40:56, 40:60] = 2.0
    found = matched([*parts[:2], replace(parts[2], depth=depth), *parts[3:]])
    assert (found[2].depth[42:54, 42:58] == 0).all()
    assert (found[2].depth[:30] > 0).all()
    assert all((part.depth > 0).all() for part in (found[0], found[4]))


def test_a_darker_sheet_has_the_colors_of_its_neighbor_at_their_border_and_its_own_far_from_it() -> None:
    first, second = wall_seen_from(0.0, 1.2)
    bright, dark = (
        replace(part, picture=np.full((H, W, 3), gray, np.uint8)) for part, gray in ((first, 140), (second, 100))
    )
    shown = dark.depth.copy()
    shown[:, :40] = 0  # the first one shows it
    found = toned([bright, dark], {0: bright.depth, 1: shown})
    assert (found[0].picture == 140).all()
    assert np.abs(found[1].picture[:, 30:42].astype(int) - 140).max() < 12
    assert (found[1].picture[:, -20:] == 100).all()
