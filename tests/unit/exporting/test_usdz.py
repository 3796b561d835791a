"""``scene.usdz`` read back with Pixar's own library: its validators, and where it puts every vertex."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_scene import keyframe_of, slanted_plane, stand_in_body, walking_reconstruction

from human3r.bodies import SmplxBody
from human3r.exporting.usd.usdz import CODES_PER_SECOND, write_usdz
from human3r.results.posing import parameters_of_rows
from human3r.results.reconstruction import Reconstruction
from human3r.surface.meshing.sheets import build_surface

pytest.importorskip("pxr", reason="usd-core is not installed")
from pxr import Usd, UsdGeom, UsdSkel, UsdValidation  # pyright: ignore[reportMissingImports]


@pytest.fixture(scope="module")
def body() -> SmplxBody:
    """With pose correctives, which bones alone cannot say."""
    return stand_in_body(with_pose_directions=True)


@pytest.fixture(scope="module")
def walk(body: SmplxBody) -> Reconstruction:
    return walking_reconstruction(body)


@pytest.fixture(scope="module")
def stage(walk: Reconstruction, body: SmplxBody, tmp_path_factory: pytest.TempPathFactory) -> Usd.Stage:
    path = tmp_path_factory.mktemp("usd") / "scene.usdz"
    write_usdz(walk, path, body, build_surface(walk, [keyframe_of(walk, 0, slanted_plane(48, 64))]))
    assert [each.name for each in path.parent.iterdir()] == ["scene.usdz"]
    return Usd.Stage.Open(str(path))


def test_the_validators_find_nothing(stage: Usd.Stage) -> None:
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert len(validators) > 10
    found = UsdValidation.ValidationContext(validators).Validate(stage)
    assert [error.GetMessage() for error in found] == []


def test_vertices_are_where_the_arrays_put_them(stage: Usd.Stage, walk: Reconstruction, body: SmplxBody) -> None:
    for track in walk.tracks:
        for row in (0, len(track.frames) // 2, len(track.frames) - 1):
            time_s = float(walk.time_s[track.frames[row]])
            wanted = body(parameters_of_rows(walk, track.observations[row : row + 1])).vertices[0].numpy()
            found = _posed_vertices(stage, f"/human3r/world/person_{track.track_id}", time_s)
            assert np.linalg.norm(found - wanted, axis=1).max() < 1e-3


def test_bodies_are_seen_from_both_sides_and_the_surface_from_its_front(stage: Usd.Stage) -> None:
    meshes = {str(prim.GetPath()): UsdGeom.Mesh(prim) for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh)}
    for path, mesh in meshes.items():
        assert mesh.GetDoubleSidedAttr().Get() is ("person_" in path)
    assert {"person_" in path for path in meshes} == {True, False}


def test_people_are_hidden_in_frames_without_an_observation(stage: Usd.Stage, walk: Reconstruction) -> None:
    person = UsdGeom.Imageable(stage.GetPrimAtPath("/human3r/world/person_2"))
    seen = set(walk.tracks[1].frames.tolist())
    for frame, time_s in enumerate(walk.time_s):
        is_shown = person.ComputeVisibility(float(time_s) * CODES_PER_SECOND) == UsdGeom.Tokens.inherited
        assert is_shown == (frame in seen)


def test_the_camera_and_the_level_world(stage: Usd.Stage, walk: Reconstruction) -> None:
    camera = UsdGeom.Camera(stage.GetPrimAtPath("/human3r/world/camera"))
    cache = UsdGeom.XformCache(float(walk.time_s[-1]) * CODES_PER_SECOND)
    found = np.array(cache.GetLocalToWorldTransform(camera.GetPrim())).T
    wanted = walk.T_gravity_world @ walk.T_world_camera[-1] @ np.diag([1, -1, -1, 1])
    assert found == pytest.approx(wanted, abs=1e-5)
    half_height = camera.GetVerticalApertureAttr().Get() / 2 / camera.GetFocalLengthAttr().Get()
    assert half_height == pytest.approx(walk.image_size[0] / 2 / walk.K[0, 1, 1], rel=1e-5)


def _posed_vertices(stage: Usd.Stage, path: str, time_s: float) -> np.ndarray:
    """Blend, then skin, as UsdSkel defines it; in world."""
    code = Usd.TimeCode(time_s * CODES_PER_SECOND)
    cache = UsdSkel.Cache()
    cache.Populate(UsdSkel.Root(stage.GetPrimAtPath(path)), Usd.PrimDefaultPredicate)
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath(f"{path}/mesh"))
    skeleton = cache.GetSkelQuery(UsdSkel.Skeleton(stage.GetPrimAtPath(f"{path}/skeleton")))
    points = mesh.GetPointsAttr().Get()
    shapes = UsdSkel.BlendShapeQuery(UsdSkel.BindingAPI(mesh))
    weights = shapes.ComputeSubShapeWeights(skeleton.GetAnimQuery().ComputeBlendShapeWeights(code))
    shapes.ComputeDeformedPoints(
        *weights, shapes.ComputeBlendShapePointIndices(), shapes.ComputeSubShapePointOffsets(), points
    )
    skinning = cache.GetSkinningQuery(mesh.GetPrim())
    skinning.ComputeSkinnedPoints(skeleton.ComputeSkinningTransforms(code), points, code)
    return np.array(points)
