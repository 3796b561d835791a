"""The scene as surfaces: whole, cut where depth steps, without people, and where the camera saw it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic_scene import keyframe_of, prediction_of, slanted_plane, walking_reconstruction

from human3r.bodies import SmplxBody
from human3r.errors import FormatError
from human3r.exporting.gltf.scene import sheet_glb
from human3r.rendering.rasterizer import rasterize
from human3r.results.reconstruction import Reconstruction
from human3r.surface.__main__ import measure
from human3r.surface.keyframes.clean_plate import median_depth, median_picture
from human3r.surface.keyframes.collecting import KeyframeCollector, encode_jpeg
from human3r.surface.keyframes.looks import Lens
from human3r.surface.keyframes.source_pictures import with_source_pictures
from human3r.surface.keyframes_file import load_keyframes, load_surface, save_keyframes
from human3r.surface.meshing.agreement import agreed
from human3r.surface.meshing.grid_mesh import triangulate
from human3r.surface.meshing.parts import Part
from human3r.surface.meshing.sheets import Sheet, build_surface
from human3r.video.writer import VideoWriter

H, W = 48, 64


@pytest.fixture
def walk(small_body: SmplxBody) -> Reconstruction:
    return walking_reconstruction(small_body, num_frames=6)


def seen_by_camera(walk: Reconstruction, row: int, sheet: Sheet) -> tuple[np.ndarray, np.ndarray]:
    """Return depth ``H W`` (0: nothing) and color ``H W 3`` of a sheet in a frame's own camera."""
    T = walk.T_gravity_world.astype(np.float64) @ walk.T_world_camera[row]
    vertices = (sheet.vertices - T[:3, 3]) @ T[:3, :3]
    size = (int(walk.image_size[0]), int(walk.image_size[1]))
    found = rasterize(vertices, sheet.faces, walk.K[row], size)
    texture = np.asarray(Image.open(io.BytesIO(sheet.texture))).astype(np.float32)
    uv = (sheet.uv[sheet.faces[found.face]] * found.barycentric[..., None]).sum(axis=1)
    place = (uv * (texture.shape[1], texture.shape[0]) - 0.5).round().astype(int)
    depth, color = np.zeros(size[0] * size[1]), np.zeros((size[0] * size[1], 3))
    depth[found.pixel] = found.depth
    color[found.pixel] = texture[place[:, 1].clip(0, len(texture) - 1), place[:, 0].clip(0, texture.shape[1] - 1)]
    return depth.reshape(size), color.reshape(*size, 3)


def test_a_plane_is_few_triangles_where_the_camera_saw_it(walk: Reconstruction) -> None:
    sheet = build_surface(walk, [keyframe_of(walk, 2, slanted_plane(H, W))])[0]
    assert len(sheet.faces) < H * W
    depth, color = seen_by_camera(walk, 2, sheet)
    covered = depth > 0
    assert covered.mean() > 0.95
    rows = (np.arange(depth.shape[0]) + 0.5) / depth.shape[0] * H - 0.5
    expected = 1 / np.interp(rows, np.arange(H), 1 / slanted_plane(H, W)[:, 0])
    assert np.abs(depth / expected[:, None] - 1)[covered].max() < 0.02
    # Colors say from which pixel of the frame the texture comes.
    step_px = max(walk.image_size) / 255
    columns = np.arange(depth.shape[1])[None, :].repeat(depth.shape[0], axis=0)
    assert np.abs(color[..., 0] * (depth.shape[1] - 1) / 255 - columns)[covered].max() < 2 + 4 * step_px


def test_depth_steps_are_cut_and_show_no_gap_from_the_camera() -> None:
    depth = np.full((H, W), 5.0, np.float32)
    depth[10:30, 20:40] = 2.0
    mesh = triangulate(depth, 1.0)
    corners = mesh.depth[mesh.faces]
    assert (corners.max(axis=1) <= 1.06 * corners.min(axis=1)).all()
    vertices = np.stack([mesh.column * mesh.depth, mesh.row * mesh.depth, mesh.depth], axis=1)
    assert len(rasterize(vertices, mesh.faces, np.eye(3), (H, W)).pixel) >= 0.99 * (H - 1) * (W - 1)


def test_a_plane_at_a_grazing_angle_and_a_corner_are_not_cut() -> None:
    floor = np.repeat(np.linspace(0.4, 0.02, H)[:, None], W, axis=1)  # disparity
    corner = np.maximum(floor, 0.1)  # the floor ends at a wall
    for disparity in (floor, corner):
        mesh = triangulate((1 / disparity).astype(np.float32), 1.0)
        vertices = np.stack([mesh.column * mesh.depth, mesh.row * mesh.depth, mesh.depth], axis=1)
        assert len(rasterize(vertices, mesh.faces, np.eye(3), (H, W)).pixel) >= 0.99 * (H - 1) * (W - 1)
        assert len(np.unique(mesh.row * W + mesh.column)) == len(mesh.row)  # nothing goes on behind an outline


def test_depths_of_overlapping_keyframes_are_made_to_agree(walk: Reconstruction) -> None:
    keyframes = [keyframe_of(walk, 0, factor * slanted_plane(4 * H, 4 * W)) for factor in (1.0, 1.06)]
    parts = [Part.of(keyframe, lens_at(walk, 0), 0) for keyframe in keyframes]
    before, after = (abs(np.log(pair[0].depth / pair[1].depth)).max() for pair in (parts, agreed(parts)))
    assert before > 0.05
    assert after < 0.01


def lens_at(walk: Reconstruction, row: int) -> Lens:
    size = int(walk.image_size[0]), int(walk.image_size[1])
    rect_px = (0.0, 0.0, float(size[1]), float(size[0]))
    return Lens(walk.T_world_camera[row].astype(np.float64), walk.K[row].astype(np.float64), rect_px, size)


def test_unknown_pixels_are_holes() -> None:
    depth = np.full((H, W), 3.0, np.float32)
    depth[8:24, 8:40] = 0
    mesh = triangulate(depth, 1.0)
    assert (depth[mesh.row, mesh.column] > 0).all()
    vertices = np.stack([mesh.column * mesh.depth, mesh.row * mesh.depth, mesh.depth], axis=1)
    pixel = rasterize(vertices, mesh.faces, np.eye(3), (H, W)).pixel
    assert not np.isin(pixel, np.flatnonzero(depth == 0)).any()


def test_holes_take_the_color_beside_them_in_the_texture() -> None:
    depth, picture = np.ones((6, 8), np.float32), np.full((12, 16, 3), 80, np.uint8)
    depth[2:4, 3:6] = 0
    picture[4:8, 6:12] = 255
    part = Part(Lens(np.eye(4), np.eye(3), (0.0, 0.0, 16.0, 12.0), (12, 16)), 0, depth, picture)
    assert (part.texture == 80).all()
    picture[0, 0] = 0
    assert (part.texture[0, 0] == 0).all()


@pytest.mark.parametrize("num_hidden", [0, 1, 4])
def test_the_median_picture_is_that_of_the_looks_that_count(num_hidden: int) -> None:
    rng = np.random.default_rng(num_hidden)
    pictures = rng.integers(0, 255, (5, 6, 7, 3), dtype=np.uint8)
    hidden = np.zeros((5, 6, 7), dtype=bool)
    hidden[:num_hidden] = True
    seen = np.sort(pictures[num_hidden:], axis=0)
    middle = median_picture(list(pictures), list(hidden))
    assert ((middle >= seen[(len(seen) - 1) // 2]) & (middle <= seen[len(seen) // 2])).all()


def test_the_median_depth_ignores_the_unknown() -> None:
    depths = [np.array([[value, 0.0]]) for value in (1.0, 0.0, 3.0)]
    assert median_depth(depths).tolist() == [[1.0, 0.0]]


def test_keyframes_of_another_run_are_not_used(walk: Reconstruction, tmp_path: Path) -> None:
    keyframes = [keyframe_of(walk, 0, slanted_plane(H, W))]
    save_keyframes(tmp_path / "surface.npz", keyframes, walk)
    same = load_keyframes(tmp_path / "surface.npz", walk)
    assert [each.picture for each in same] == [keyframes[0].picture]
    assert np.array_equal(same[0].depth, keyframes[0].depth)
    other = replace(walk, frame_index=walk.frame_index + 1)
    assert load_keyframes(tmp_path / "surface.npz", other) == []


def test_a_kept_surface_is_built_once_and_stays_the_same(
    walk: Reconstruction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, kept_in = tmp_path / "surface.npz", tmp_path / ".sheets.npz"
    save_keyframes(path, [keyframe_of(walk, row, slanted_plane(H, W)) for row in (0, 5)], walk)
    first = load_surface(path, walk, kept_in=kept_in).sheets
    monkeypatch.delattr("human3r.surface.meshing.sheets.build_surface")
    again = load_surface(path, walk, kept_in=kept_in).sheets
    assert first
    assert [sheet_glb(sheet) for sheet in again] == [sheet_glb(sheet) for sheet in first]


def test_keyframes_of_shots_with_other_borders_share_a_file(walk: Reconstruction, tmp_path: Path) -> None:
    height, width = (int(side) for side in walk.image_size)
    whole, plane = keyframe_of(walk, 0, slanted_plane(H, W)), slanted_plane(H // 2, W)
    rect_px = (0.0, height / 4, float(width), 3 * height / 4)
    between_bars = replace(keyframe_of(walk, 1, plane), rect_px=rect_px)
    save_keyframes(tmp_path / "surface.npz", [whole, between_bars], walk)
    loaded = load_keyframes(tmp_path / "surface.npz", walk)
    assert [each.rect_px for each in loaded] == [whole.rect_px, rect_px]
    for each, kept in zip(loaded, (whole, between_bars), strict=True):
        assert np.array_equal(each.depth, kept.depth)


def test_a_whole_plane_is_measured_as_covered(walk: Reconstruction, tmp_path: Path) -> None:
    walk.save(tmp_path / "reconstruction.npz")
    save_keyframes(tmp_path / "surface.npz", [keyframe_of(walk, 0, slanted_plane(H, W))], walk)
    measured = measure(tmp_path / "reconstruction.npz", tmp_path / "surface.npz")
    assert measured["covered"] > 0.9
    assert 0 < measured["triangles"] < 4 * H * W


def test_a_damaged_file_is_one_sentence(walk: Reconstruction, tmp_path: Path) -> None:
    (tmp_path / "surface.npz").write_bytes(b"PK damaged")
    with pytest.raises(FormatError, match=r"surface\.npz"):
        load_keyframes(tmp_path / "surface.npz", walk)


def test_a_standing_camera_gives_one_keyframe_and_a_turn_another(walk: Reconstruction) -> None:
    collector = KeyframeCollector()
    first = prediction_of(walk, 0, (H, W))
    height, width = first.camera.image_size
    for number in range(4):
        collector.add(replace(first, time_s=0.2 * number, frame_index=number))
        collector.add_source(np.full((height, width, 3), 50 + number, np.uint8))
    assert [keyframe.frame_index for keyframe in collector.finish()] == [0]
    turn = torch.tensor([[0.0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]])
    turned = replace(first.camera, T_world_camera=first.camera.T_world_camera @ turn)
    collector.add(replace(first, camera=turned, time_s=1.0, frame_index=9))
    keyframes = collector.finish()
    assert [keyframe.frame_index for keyframe in keyframes] == [0, 9]
    assert Image.open(io.BytesIO(keyframes[0].picture)).size == (width, height)


def test_a_keyframe_has_the_scale_of_its_own_frame_and_a_live_one_the_latest(walk: Reconstruction) -> None:
    collector = KeyframeCollector()
    first = prediction_of(walk, 0, (H, W))
    for number, log_scale in enumerate(torch.linspace(0, 0.3, 5)):
        camera = replace(first.camera, log_scale=log_scale)
        scaled = first.pointmap_camera * log_scale.exp()
        collector.add(replace(first, camera=camera, pointmap_camera=scaled, time_s=0.2 * number, frame_index=number))
    depth = collector.finish()[0].depth
    seen = depth > 0
    expected = first.pointmap_camera[..., 2].numpy()[seen]
    np.testing.assert_allclose(depth[seen], expected, rtol=2e-3)
    np.testing.assert_allclose(collector.newest()[0].depth[seen], expected * np.exp(0.3), rtol=2e-3)


def test_a_standing_camera_that_trembles_gives_the_middle_scale_and_one_that_goes_on_that_of_the_frame(
    walk: Reconstruction,
) -> None:
    collector = KeyframeCollector()
    first = prediction_of(walk, 0, (H, W))
    turn = torch.eye(4)
    turn[:2, :2] = torch.tensor([[np.cos(0.01), -np.sin(0.01)], [np.sin(0.01), np.cos(0.01)]])
    for number, scale in enumerate((0.9, 1.0, 1.0)):
        T_world_camera = first.camera.T_world_camera @ (turn if number else torch.eye(4))
        camera, points = replace(first.camera, T_world_camera=T_world_camera), scale * first.pointmap_camera
        collector.add(replace(first, camera=camera, pointmap_camera=points, time_s=0.2 * number, frame_index=number))
    seen = collector.finish()[0].depth > 0
    expected = first.pointmap_camera[..., 2].numpy()
    assert np.median(collector.finish()[0].depth[seen] / expected[seen]) == pytest.approx(1.0, abs=0.02)
    around = torch.tensor([[0.0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]])
    camera = replace(first.camera, T_world_camera=first.camera.T_world_camera @ around)
    collector.add(replace(first, camera=camera, time_s=1.0, frame_index=9))
    assert np.median(collector.finish()[0].depth[seen] / expected[seen]) == pytest.approx(0.9, abs=0.02)


def test_pictures_that_stayed_behind_are_read_again_without_people(walk: Reconstruction, tmp_path: Path) -> None:
    height, width = (int(side) for side in walk.image_size)
    frame = np.full((height, width, 3), 60, np.uint8)
    frame[:, ::2] = 90  # detail that the small picture lacks
    frame[:, : width // 4] = 220  # somebody whom the clean picture leaves out
    clip = tmp_path / "clip.mp4"
    with VideoWriter(clip, walk.fps) as video:
        for row in range(walk.num_frames):
            video.append(frame, time_s=float(walk.time_s[row] - walk.time_s[0]))
    clean = replace(
        keyframe_of(walk, 0, slanted_plane(H, W)), picture=encode_jpeg(np.full((H, W, 3), 75, np.uint8), 95)
    )
    found = with_source_pictures([clean], walk, clip)[0]
    picture = np.asarray(Image.open(io.BytesIO(found.picture))).astype(int)
    assert picture.shape[:2] == (height, width)
    assert picture[:, : width // 5].max() < 120
    assert picture[:, width // 2 :].std() > 5
    assert with_source_pictures([clean], walk, tmp_path / "gone.mp4") == [clean]
