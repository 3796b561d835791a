"""One estimate: simulated people on a floor, whose scene or size was guessed wrong, come back to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from human3r.refinement.world.depth_correction import bend_basis, depth_factor, pixels_of_grid
from human3r.refinement.world.evidence import ShotEvidence
from human3r.refinement.world.fit import WITNESSES, WorldFit, fit_world

_HEIGHT = 1.6
_UP = np.array([0.0, -1.0, 0.0])
"""A level camera: its y axis points down."""


def _evidence(
    places: list[tuple[float, float]], sizes: list[float], log_scale: float = 0.0, bend: float = 0.0
) -> ShotEvidence:
    """People at (x, z), as far away as ``sizes`` says, on a floor whose depth is off by ``log_scale`` and ``bend``."""
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.uniform(-3, 3, 6000), np.full(6000, _HEIGHT), rng.uniform(2, 9, 6000)])
    pixels = 500 * floor[:, :2] / floor[:, 2:] + 500
    bends = bend_basis(pixels, (1000, 1000), floor[:, 2])
    soles = np.array([(x, _HEIGHT, z) for x, z in places]) * np.array(sizes)[:, None]
    return ShotEvidence(
        soles=np.repeat(soles, 8, axis=0),
        cameras=np.zeros((8 * len(places), 3)),
        weight=np.ones(8 * len(places)),
        is_seen=np.ones(8 * len(places), dtype=bool),
        identity=np.repeat(np.arange(len(places)), 8),
        num_identities=len(places),
        points=floor * np.exp(log_scale + bends[:, :1] * bend),
        point_cameras=np.zeros_like(floor),
        point_bends=bends,
        up=_UP,
        tilt_axes=np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
    )


def _fit(evidence: ShotEvidence, witnesses: tuple[str, ...] = WITNESSES) -> WorldFit:
    fit = fit_world(evidence, witnesses)
    assert fit is not None
    return fit


def _roughness(evidence: ShotEvidence, fit: WorldFit) -> float:
    """Return the standard deviation of the floor's heights after the correction of its depth."""
    return float(np.std(evidence.points * np.exp(evidence.point_bends @ fit.bend)[:, None] @ fit.up))


_OF_POINTS = ("points", "point_cameras", "point_bends")
_PLACES = [(-1.0, 3.0), (0.5, 5.0), (1.0, 7.0)]


def test_people_and_scene_that_agree_are_left_alone() -> None:
    fit = _fit(_evidence(_PLACES, [1.0, 1.0, 1.0]))

    assert abs(fit.log_scale) < 0.01
    assert np.abs(fit.log_size).max() < 0.01
    assert fit.height == pytest.approx(-_HEIGHT, abs=0.02)
    assert fit.witnesses == WITNESSES


@pytest.mark.parametrize("log_scale", [-0.25, 0.2])
def test_a_scene_of_another_scale_moves_and_the_people_stay(log_scale: float) -> None:
    fit = _fit(_evidence(_PLACES, [1.0, 1.0, 1.0], log_scale))

    assert fit.log_scale == pytest.approx(-log_scale, abs=0.08)
    assert np.abs(fit.log_size).max() < 0.06


def test_a_bent_floor_is_straightened() -> None:
    bent = _evidence([(0.0, 2.4), (-1.0, 3.0), (1.0, 8.0), (-1.0, 8.5)], [1.0] * 4, bend=0.3)

    with_bend, without = _fit(bent), _fit(bent, tuple(one for one in WITNESSES if one != "bend"))

    assert _roughness(bent, with_bend) < 0.3 * _roughness(bent, without)
    assert np.abs(without.bend).max() < 1e-6


@pytest.mark.parametrize("wave", [3, 4])
def test_a_floor_that_is_curved_along_the_view_becomes_level(wave: int) -> None:
    flat = _evidence(_PLACES, [1.0] * 3)
    curved = replace(flat, points=flat.points * np.exp(0.2 * flat.point_bends[:, [wave]]))

    level, without = _fit(curved), _fit(curved, tuple(one for one in WITNESSES if one != "level"))

    assert _roughness(curved, level) < 0.5 * _roughness(curved, without)
    assert level.height == pytest.approx(-_HEIGHT, abs=0.1)


def test_a_floor_whose_sides_are_too_near_becomes_level() -> None:
    flat = _evidence(_PLACES, [1.0] * 3)
    curved = replace(flat, points=flat.points * np.exp(-0.2 * flat.point_bends[:, [5]]))

    level = _fit(curved)
    without = _fit(replace(curved, point_bends=flat.point_bends * np.array([1, 1, 1, 1, 1, 0])))

    assert _roughness(curved, level) < 0.7 * _roughness(curved, without)
    assert level.bend[5] > 0.05


def test_what_stands_on_the_floor_does_not_bend_it() -> None:
    flat = _evidence(_PLACES, [1.0] * 3)
    is_crate = (np.abs(flat.points[:, [0, 2]] - [-1.5, 6.0]) < 0.5).all(axis=1)

    fit = _fit(replace(flat, points=flat.points * np.where(is_crate, 0.7, 1.0)[:, None]))

    assert np.abs(fit.bend).max() < 0.03
    assert abs(fit.log_scale) < 0.03


def test_people_below_whom_no_floor_is_seen_stand_on_the_level_of_that_beside_them() -> None:
    flat = _evidence([(-1.0, 3.0), (-0.5, 5.0), (0.0, 6.0)], [1.0] * 3, log_scale=-0.2)
    is_beside = flat.points[:, 0] > 0.8

    fit = _fit(replace(flat, **{name: getattr(flat, name)[is_beside] for name in _OF_POINTS}))

    assert fit.log_scale == pytest.approx(0.2, abs=0.08)


def test_a_person_placed_too_far_away_is_moved_nearer() -> None:
    fit = _fit(_evidence(_PLACES, [1.0, 1.0, 1.1]))

    assert fit.log_size[2] < -0.02
    assert fit.log_size[2] < fit.log_size[:2].min() - 0.02


def test_a_child_among_adults_becomes_small() -> None:
    fit = _fit(_evidence([*_PLACES, (0.0, 4.0)], [1.0, 1.0, 1.0, 1.5]))

    assert fit.log_size[3] == pytest.approx(-np.log(1.5), abs=0.1)
    assert np.abs(fit.log_size[:3]).max() < 0.06


def test_a_child_is_told_only_by_feet_in_the_image() -> None:
    evidence = _evidence([*_PLACES, (0.0, 4.0)], [1.0, 1.0, 1.0, 1.5])

    fit = _fit(replace(evidence, is_seen=evidence.identity != 3))

    assert fit.log_size[3] > -0.2


def test_one_of_two_people_at_different_heights_is_no_child() -> None:
    flat = _evidence([(-1.0, 3.0), (1.0, 5.0)], [1.0, 1.0])
    is_on_roof = flat.identity == 1
    is_seen = (np.abs(flat.points[:, [0, 2]] - [1.0, 5.0]) > 0.6).any(axis=1)

    fit = _fit(
        replace(
            flat,
            soles=flat.soles - is_on_roof[:, None] * np.array([0.0, 0.5, 0.0]),
            points=flat.points[is_seen],
            point_cameras=flat.point_cameras[is_seen],
            point_bends=flat.point_bends[is_seen],
        )
    )

    assert fit.log_size.min() > -0.2


def test_floors_that_contradict_each_other_are_not_fled() -> None:
    flat = _evidence([(-1.0, 3.0), (1.0, 3.2)], [1.0, 1.0])
    side = np.sign(flat.points[:, 0])
    is_near = (np.abs(flat.points[:, 0] - side) < 0.3) & (np.abs(flat.points[:, 2] - 3.1) < 0.3)

    fit = _fit(
        replace(
            flat,
            points=(flat.points * np.exp(0.1 * side)[:, None])[is_near],
            point_cameras=flat.point_cameras[is_near],
            point_bends=0 * flat.point_bends[is_near],
        )
    )

    assert abs(fit.log_scale) < 0.05


def test_the_more_certain_a_scale_is_the_more_feet_count() -> None:
    many, few = (_fit(_evidence(places, [1.0] * len(places))) for places in (_PLACES, _PLACES[:1]))

    assert many.log_scale_sigma < few.log_scale_sigma < 0.2


def test_without_contact_evidence_the_scene_stays() -> None:
    fit = _fit(_evidence(_PLACES, [1.0, 1.0, 1.0], 0.2), ("depth", "size", "plane"))

    assert fit.log_scale == pytest.approx(0, abs=1e-6)
    assert "contact" not in fit.witnesses


def test_a_scene_without_a_floor_stays_bounded() -> None:
    evidence = _evidence(_PLACES, [1.0, 1.0, 1.0])
    fit = _fit(replace(evidence, points=evidence.points + np.array([50.0, 0.0, 0.0])))

    assert abs(fit.log_scale) < 0.05
    assert not {"contact", "level"} & set(fit.witnesses)


def test_without_standing_people_there_is_no_estimate() -> None:
    evidence = _evidence(_PLACES, [1.0, 1.0, 1.0])
    assert fit_world(replace(evidence, weight=np.zeros(24))) is None
    none = {name: getattr(evidence, name)[:0] for name in ("soles", "cameras", "weight", "is_seen", "identity")}
    assert fit_world(replace(evidence, **none)) is None


def test_the_factor_of_a_depth_map_has_no_mean_bend() -> None:
    pixels = pixels_of_grid((40, 60), (0, 0, 120, 80))
    factor = depth_factor(pixels, (80, 120), np.full((40, 60), 3.0), 0.1, np.array([0.05, 0.03, 0.02]))

    assert factor.shape == (40, 60)
    assert np.log(factor).mean() == pytest.approx(0.1, abs=1e-3)
    assert np.log(factor[-1, 30] / factor[0, 30]) == pytest.approx(0.1, abs=5e-3)


@pytest.mark.parametrize("size", [(80, 120), (120, 80)])
def test_a_bend_aside_is_one_of_the_angle_and_so_smaller_in_a_portrait(size: tuple[int, int]) -> None:
    pixels = pixels_of_grid(size, (0, 0, size[1], size[0]))
    bend = bend_basis(pixels, size, np.full(size, 3.0))[..., 5]

    assert bend.mean() == pytest.approx(0, abs=1e-3)
    assert bend[0, 0] - bend[0, size[1] // 2] == pytest.approx((size[1] / 120) ** 2, abs=0.05)
