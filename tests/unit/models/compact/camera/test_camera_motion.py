"""Camera motion between images of a textured room of known geometry."""

from __future__ import annotations

import dataclasses
import math

import pytest
import roma
import torch

from human3r.models.compact.camera.anchor import FrameView, maximum_filter
from human3r.models.compact.camera.camera_head import (
    CameraState,
    MotionCameraHead,
    advance,
    estimate_motion,
    first_anchor,
    next_anchor,
)
from human3r.models.compact.camera.motion import (
    Lens,
    Surface,
    align_matches,
    inverse,
    point_jacobian,
    small_motion,
    transform,
)
from human3r.models.parts import ScenePoints

SIZE = (224, 384)
FOCAL_PX = 330.0
INFORMATION = torch.tensor(1 / 0.17**2)
"""Of the log focal length of a single image."""


def lens() -> Lens:
    return Lens(torch.tensor(FOCAL_PX), torch.tensor([SIZE[1] // 2, SIZE[0] // 2]).float(), SIZE)


def motion(rotation_deg: tuple[float, float, float], translation_m: tuple[float, float, float]) -> torch.Tensor:
    return small_motion(torch.tensor([*(math.radians(value) for value in rotation_deg), *translation_m]))


def texture(points: torch.Tensor) -> torch.Tensor:
    """Return the gray value of a surface point: waves of several lengths, independent of the view."""
    generator = torch.Generator().manual_seed(3)
    value = torch.zeros(points.shape[:-1])
    for wavelength in (2.0, 1.0, 0.5, 0.25):
        for _ in range(4):
            direction = torch.nn.functional.normalize(torch.randn(3, generator=generator), dim=0)
            phase = torch.rand((), generator=generator) * 2 * math.pi
            value = value + 0.06 * torch.sin(points @ direction * (2 * math.pi / wavelength) + phase)
    return value


def room_depth(T_world_camera: torch.Tensor) -> torch.Tensor:
    """Depth of every half-resolution pixel in a box: floor, walls left and right, back wall."""
    height, width = SIZE[0] // 2, SIZE[1] // 2
    y, x = torch.meshgrid(torch.arange(height) * 2 + 0.5, torch.arange(width) * 2 + 0.5, indexing="ij")
    rays = torch.stack([(x - SIZE[1] // 2) / FOCAL_PX, (y - SIZE[0] // 2) / FOCAL_PX, torch.ones_like(x)], dim=-1)
    directions = rays @ T_world_camera[:3, :3].T
    origin = T_world_camera[:3, 3]
    depth = torch.full((height, width), 100.0)
    for axis, place in ((1, 1.4), (1, -1.6), (0, -2.5), (0, 2.2), (2, 6.0)):
        distance = (place - origin[axis]) / directions[..., axis]
        depth = torch.where((distance > 0) & (distance < depth), distance, depth)
    return depth


def render(T_world_camera: torch.Tensor) -> FrameView:
    """Render the room as the camera head describes a frame."""
    depth = room_depth(T_world_camera)
    height, width = depth.shape
    y, x = torch.meshgrid(torch.arange(height) * 2 + 0.5, torch.arange(width) * 2 + 0.5, indexing="ij")
    rays = torch.stack([(x - SIZE[1] // 2) / FOCAL_PX, (y - SIZE[0] // 2) / FOCAL_PX, torch.ones_like(x)], dim=-1)
    gray = texture(transform(T_world_camera, (rays * depth[..., None]).flatten(0, 1))).reshape(height, width)
    features, coarse = (unit_blocks(gray, size) for size in (4, 8))
    return FrameView(gray, depth, torch.ones_like(gray), features, coarse, torch.tensor(FOCAL_PX), INFORMATION)


def through_wrong_lens(view: FrameView, state: CameraState | None, ratio: float) -> FrameView:
    """Return a view from a network whose focal length is too long by a factor."""
    network_px = torch.tensor(ratio * FOCAL_PX)
    focal_px = network_px if state is None else state.focal.fused_with(network_px, INFORMATION)
    return dataclasses.replace(view, depth=view.depth * focal_px / FOCAL_PX, focal_px=focal_px)


def motion_between(anchor: FrameView, current: FrameView) -> torch.Tensor:
    """Return the estimated T_camera_anchor."""
    return estimate_motion(first_anchor(anchor, lens()), current, lens())[0]


def unit_blocks(gray: torch.Tensor, size: int) -> torch.Tensor:
    """Return the gray values of square blocks as features of unit length."""
    blocks = torch.nn.functional.pixel_unshuffle(gray[None], size)
    return torch.nn.functional.normalize(blocks - blocks.mean(dim=(1, 2), keepdim=True), dim=0)


def error(estimate: torch.Tensor, truth: torch.Tensor) -> tuple[float, float]:
    """Return (rotation in degrees, translation in meters)."""
    difference = inverse(truth) @ estimate
    return math.degrees(roma.rotmat_to_rotvec(difference[:3, :3]).norm()), float(difference[:3, 3].norm())


def test_identical_images_give_no_motion() -> None:
    current = render(torch.eye(4))

    estimate = motion_between(current, current)

    torch.testing.assert_close(estimate, torch.eye(4), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("rotation_deg", "translation_m"),
    [
        ((0.0, 1.0, 0.0), (0.0, 0.0, 0.0)),
        ((0.5, -0.7, 0.4), (0.0, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (0.05, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.15)),
        ((0.4, -0.8, 0.3), (0.06, -0.02, 0.1)),
        ((0.0, 3.0, 0.0), (0.0, 0.0, 0.0)),
        ((-1.0, -2.5, 0.5), (0.1, 0.0, 0.05)),
    ],
)
def test_known_motion_of_a_room_is_found(rotation_deg, translation_m) -> None:
    T_world_camera = motion(rotation_deg, translation_m)
    anchor, current = render(torch.eye(4)), render(T_world_camera)

    T_camera_anchor = motion_between(anchor, current)

    rotation_error, translation_error = error(inverse(T_camera_anchor), T_world_camera)
    assert rotation_error < 0.06
    assert translation_error < 0.005


def test_a_moving_person_does_not_move_the_camera() -> None:
    anchor, current = render(torch.eye(4)), render(torch.eye(4))
    current.gray[20:100, 80:120] = 0.5

    estimate = motion_between(anchor, current)

    rotation_error, translation_error = error(estimate, torch.eye(4))
    assert rotation_error < 0.01
    assert translation_error < 0.001


def test_a_change_of_brightness_does_not_move_the_camera() -> None:
    anchor, current = render(torch.eye(4)), render(torch.eye(4))
    current.gray.mul_(0.8).add_(0.1)

    estimate = motion_between(anchor, current)

    rotation_error, translation_error = error(estimate, torch.eye(4))
    assert rotation_error < 0.01
    assert translation_error < 0.001


def test_noise_of_a_static_camera_stays_below_a_millimeter() -> None:
    anchor, current = render(torch.eye(4)), render(torch.eye(4))
    current.gray.add_(0.03 * torch.randn(current.gray.shape, generator=torch.Generator().manual_seed(0)))

    estimate = motion_between(anchor, current)

    rotation_error, translation_error = error(estimate, torch.eye(4))
    assert rotation_error < 0.01
    assert translation_error < 0.001


def test_reprojection_recovers_motion_from_matches_with_outliers() -> None:
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(400, 3, generator=generator) * torch.tensor([3.0, 2.0, 4.0]) + torch.tensor([-1.5, -1.0, 2.5])
    truth = motion((1.0, -2.0, 0.5), (0.1, -0.05, 0.2))
    targets, _ = lens().project(transform(truth, points))
    targets[::4] += 25 * torch.randn(100, 2, generator=generator)
    ones = torch.ones(400)

    estimate = align_matches(Surface(points, ones, torch.zeros(400, 2), ones), targets, ones, torch.eye(4), lens(), 8)

    rotation_error, translation_error = error(estimate, truth)
    assert rotation_error < 0.02
    assert translation_error < 0.002


def test_the_jacobian_is_the_derivative_of_the_projection() -> None:
    point = torch.tensor([[0.4, -0.3, 3.0]], dtype=torch.float64)
    exact = Lens(torch.tensor(FOCAL_PX, dtype=torch.float64), torch.tensor([192.0, 112.0], dtype=torch.float64), SIZE)

    def moved(twist: torch.Tensor) -> torch.Tensor:
        return exact.project(transform(small_motion(twist), point))[0][0]

    expected = torch.autograd.functional.jacobian(moved, torch.full((6,), 1e-9, dtype=torch.float64))

    torch.testing.assert_close(point_jacobian(point, exact.focal_px)[0], expected, atol=1e-4, rtol=1e-5)


def test_gradients_flow_from_the_motion_to_the_depth() -> None:
    anchor, current = render(torch.eye(4)), render(motion((0.0, 0.3, 0.0), (0.05, 0.0, 0.0)))
    log_depth = anchor.depth.log().requires_grad_(True)
    trainable = dataclasses.replace(anchor, depth=log_depth.exp())

    motion_between(trainable, current)[:3, 3].norm().backward()

    assert torch.isfinite(log_depth.grad).all()
    assert log_depth.grad.abs().sum() > 0


@pytest.mark.parametrize("radius", [1, 4, 9])
def test_the_maximum_filter_equals_max_pooling(radius: int) -> None:
    image = torch.rand(7, 30, generator=torch.Generator().manual_seed(5))

    expected = torch.nn.functional.max_pool2d(image[None], 2 * radius + 1, 1, radius)[0]

    assert torch.equal(maximum_filter(image, radius), expected)


def test_a_small_motion_is_the_exponential_of_its_rotation() -> None:
    twist = torch.tensor([0.3, -0.7, 0.2, 1.0, 2.0, 3.0], dtype=torch.float64)

    T = small_motion(twist)

    torch.testing.assert_close(T[:3, :3], roma.rotvec_to_rotmat(twist[:3]), atol=1e-12, rtol=0)
    assert torch.equal(T[:3, 3], twist[3:])
    assert torch.equal(T[3], torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64))


@pytest.fixture
def chained() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return true depth of a second anchor, predicted depth (wrong scale, one bulge), and corrected depth."""
    T_old_new = motion((0, 2, 0), (0.2, 0, 0.1))
    new = render(T_old_new)
    bulge = torch.ones_like(new.depth)
    bulge[32:80, 80:144] = 1.2
    wrong = dataclasses.replace(new, depth=new.depth * 0.8 * bulge)
    old = dataclasses.replace(first_anchor(render(torch.eye(4)), lens()), T_previous_anchor=inverse(T_old_new))
    return new.depth, wrong.depth, corrected_depth(next_anchor(old, wrong, lens(), T_old_new))


def corrected_depth(anchor: CameraState) -> torch.Tensor:
    """Return ``h w`` depth of an anchor with its corrections."""
    maps = anchor.depth.correction.view(1, 1, *anchor.depth.grid)
    correction = torch.nn.functional.interpolate(maps, size=anchor.view.depth.shape, mode="bilinear")[0, 0]
    return anchor.view.depth * correction.exp()


def test_a_new_anchor_takes_the_scale_of_the_old_one(chained) -> None:
    truth, _, after = chained

    assert abs(float((after / truth).log().median())) < 0.03


def test_a_new_anchor_moves_towards_the_old_surface_where_they_differ(chained) -> None:
    truth, wrong, after = chained
    inside = (slice(44, 68), slice(96, 128))

    before_error = float((wrong[inside] / 0.8 / truth[inside]).log().mean())
    after_error = float((after[inside] / truth[inside]).log().mean())

    assert 0 < after_error < 0.8 * before_error


def test_an_anchor_without_overlap_with_the_old_one_keeps_its_depth() -> None:
    turn = motion((0, 170, 0), (0, 0, 0))
    old = dataclasses.replace(first_anchor(render(torch.eye(4)), lens()), T_previous_anchor=turn)
    new = render(torch.eye(4))

    assert torch.equal(corrected_depth(next_anchor(old, new, lens(), inverse(turn))), new.depth)


def test_parallax_corrects_a_bent_wall() -> None:
    first = render(torch.eye(4))
    _, width = first.depth.shape
    bend = torch.linspace(-0.25, 0.25, width).exp()
    state, path = None, []
    for step in range(6):
        T_world_camera = motion((0, 0.2 * step, 0), (0.1 * step, 0.0, 0.03 * step))
        seen = render(T_world_camera)
        T, state = advance(dataclasses.replace(seen, depth=seen.depth * bend), state, SIZE)
        path.append((T, T_world_camera))

    error_before = (bend.log() - bend.log().median()).abs().mean()
    wrong = (corrected_depth(state) / first.depth).log()
    assert torch.equal(state.view.gray, first.gray)
    assert float((wrong - wrong.median()).abs().mean()) < 0.5 * float(error_before)
    assert error(*path[-1])[1] < 0.1 * float(path[-1][1][:3, 3].norm())


def test_a_static_camera_corrects_no_depth() -> None:
    view = render(torch.eye(4))
    generator = torch.Generator().manual_seed(2)
    state = None
    for _ in range(4):
        noisy = view.gray + 0.02 * torch.randn(view.gray.shape, generator=generator)
        T, state = advance(dataclasses.replace(view, gray=noisy), state, SIZE)

    assert float(state.depth.correction.abs().max()) < 0.01
    rotation_error, translation_error = error(T, torch.eye(4))
    assert rotation_error < 0.01
    assert translation_error < 0.001


def test_a_large_rotation_is_found_by_features() -> None:
    T_world_camera = motion((0.0, 9.0, 0.0), (0.1, 0.0, 0.1))

    rotation_error, translation_error = error(
        inverse(motion_between(render(torch.eye(4)), render(T_world_camera))), T_world_camera
    )

    assert rotation_error < 0.1
    assert translation_error < 0.02


def test_poses_of_a_long_path_stay_rotations() -> None:
    # At constant velocity, rounding errors would double with every frame.
    T_world_camera, state = torch.eye(4), None
    for _ in range(30):
        T_segment_camera, state = advance(render(T_world_camera), state, SIZE)
        T_world_camera = T_world_camera @ motion((0.0, 1.0, 0.0), (0.05, 0.0, 0.0))

    rotation = T_segment_camera[:3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("ratio", [0.8, 1.25])
def test_a_turning_camera_finds_its_focal_length(ratio: float) -> None:
    state = None
    for step in range(8):
        T_world_camera = motion((0.2 * step, 1.5 * step, 0.0), (0.03 * step, 0.0, 0.0))
        view = through_wrong_lens(render(T_world_camera), state, ratio)
        T, state = advance(view, state, SIZE)

    assert abs(math.log(float(view.focal_px) / FOCAL_PX)) < 0.15 * abs(math.log(ratio))
    assert error(T, T_world_camera)[0] < 0.02 * 1.5 * 7


def test_a_static_camera_keeps_the_focal_length_of_the_network() -> None:
    generator = torch.Generator().manual_seed(4)
    seen, state = render(torch.eye(4)), None
    for _ in range(4):
        noisy = dataclasses.replace(seen, gray=seen.gray + 0.02 * torch.randn(seen.gray.shape, generator=generator))
        view = through_wrong_lens(noisy, state, 1.25)
        _, state = advance(view, state, SIZE)

    torch.testing.assert_close(view.focal_px, torch.tensor(1.25 * FOCAL_PX))


def test_points_under_a_longer_focal_length_project_to_the_same_pixels() -> None:
    network_px, pixels = torch.tensor(300.0), torch.tensor([[10.0, 20.0], [300.0, 200.0]])
    depth = torch.tensor([2.0, 5.0])
    through = dataclasses.replace(lens(), focal_px=network_px)
    rays = torch.cat([(pixels - through.center_px) / network_px, torch.ones(2, 1)], dim=1)
    points = ScenePoints((rays * depth[:, None])[None], torch.ones(1, 2), network_px, INFORMATION)
    state = first_anchor(render(torch.eye(4)), lens())
    state = dataclasses.replace(state, focal=state.focal.updated(torch.tensor(6.0), torch.tensor(100.0)))

    after = MotionCameraHead().refine_focal(points, state)

    assert float(after.focal_px) > 350
    first = MotionCameraHead().refine_focal(points, None)
    assert float(first.focal_sigma) == pytest.approx(float(INFORMATION) ** -0.5)
    assert float(after.focal_sigma) < float(first.focal_sigma)
    seen, _ = dataclasses.replace(through, focal_px=after.focal_px).project(after.pointmap_camera[0])
    torch.testing.assert_close(seen, pixels)
