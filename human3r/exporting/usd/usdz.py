"""``scene.usdz``: skinned people, the animated camera and the scene's surface as one package.

Needs the optional package ``usd-core``. The world is y-up with its floor at y = 0, in meters; time codes are seconds
from the first processed frame times ``CODES_PER_SECOND``. The surface is unlit: its texture is the emission of a black
material.
Source: AR Quick Look's rules for USDZ, as ``UsdUtils.CreateNewARKitUsdzPackage`` packs them.
"""

# usd-core has no types.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from human3r.atomic import whole_or_absent
from human3r.errors import ResourceError
from human3r.exporting.motion import OPENCV_FROM_GL_CAMERA, build_skin
from human3r.exporting.usd.stage import array, bind, define_mesh, preview_surface, set_pose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pxr import Usd, UsdShade

    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import Sheet

CODES_PER_SECOND = 30.0
_APERTURE_MM = 36.0
"""Only its ratio to the focal length matters; this is the width of full-frame film."""
_NEAR_M, _FAR_M = 0.02, 200.0
_STAGE_NAME = "scene.usdc"


def write_usdz(reconstruction: Reconstruction, path: Path, body: SmplxBody, surface: Sequence[Sheet] = ()) -> None:
    """Write the package atomically.

    Args:
        surface: The scene's surface; without it there are people and camera only, since AR viewers show no points.

    Raises:
        ResourceError: The file could not be packed.
    """
    from pxr import Sdf, UsdUtils

    with TemporaryDirectory(prefix="human3r-usd-") as name, whole_or_absent(path) as temporary:
        folder = Path(name)
        stage = _build_stage(reconstruction, folder, body, surface)
        stage.Save()
        packed = folder / "packed.usdz"
        if not UsdUtils.CreateNewARKitUsdzPackage(Sdf.AssetPath(str(folder / _STAGE_NAME)), str(packed)):
            raise ResourceError("usd-core could not pack the USDZ file.", "Check the free space for temporary files.")
        shutil.copyfile(packed, temporary)


def _build_stage(reconstruction: Reconstruction, folder: Path, body: SmplxBody, surface: Sequence[Sheet]) -> Usd.Stage:
    from pxr import Usd, UsdGeom

    from human3r.exporting.usd.people import add_person

    stage = Usd.Stage.CreateNew(str(folder / _STAGE_NAME))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(CODES_PER_SECOND)
    stage.SetFramesPerSecond(CODES_PER_SECOND)
    codes = _time_codes(reconstruction)
    if len(codes):
        stage.SetStartTimeCode(0.0)
        stage.SetEndTimeCode(float(codes[-1]))
    root = UsdGeom.Xform.Define(stage, "/human3r")
    stage.SetDefaultPrim(root.GetPrim())
    root.GetPrim().SetMetadata("kind", "component")
    world = UsdGeom.Xform.Define(stage, "/human3r/world")
    set_pose(world, np.asarray(reconstruction.T_gravity_world, dtype=np.float64)[None])
    skin = build_skin(body)
    for track in reconstruction.tracks:
        if len(track.frames):
            add_person(stage, f"/human3r/world/person_{track.track_id}", reconstruction, track, body, skin, codes)
    if len(codes):
        _add_camera(stage, reconstruction, codes)
    for sheet in surface:
        _add_sheet(stage, sheet, folder)
    return stage


def _time_codes(reconstruction: Reconstruction) -> np.ndarray:
    if not reconstruction.num_frames:
        return np.zeros(0)
    return (reconstruction.time_s - reconstruction.time_s[0]) * CODES_PER_SECOND


def _add_camera(stage: Usd.Stage, reconstruction: Reconstruction, codes: np.ndarray) -> None:
    from pxr import Gf, UsdGeom

    height, width = (float(side) for side in reconstruction.image_size)
    focal_px = float(np.median(reconstruction.K[:, 1, 1]))
    camera = UsdGeom.Camera.Define(stage, "/human3r/world/camera")
    camera.CreateHorizontalApertureAttr(_APERTURE_MM)
    camera.CreateVerticalApertureAttr(_APERTURE_MM * height / width)
    camera.CreateFocalLengthAttr(_APERTURE_MM * focal_px / width)
    camera.CreateClippingRangeAttr(Gf.Vec2f(_NEAR_M, _FAR_M))
    T = reconstruction.T_world_camera.astype(np.float64)
    T[:, :3, :3] = T[:, :3, :3] @ OPENCV_FROM_GL_CAMERA
    set_pose(camera, T, codes)


def _add_sheet(stage: Usd.Stage, sheet: Sheet, folder: Path) -> None:
    """Add one piece of the surface, with its texture as a file beside the stage."""
    from pxr import Sdf, UsdGeom

    (folder / f"{sheet.name}.jpg").write_bytes(sheet.texture)
    mesh = define_mesh(stage, f"/human3r/{sheet.name}", sheet.vertices, sheet.faces)
    # As in the GLB: no ceiling hides the people below it.
    mesh.GetDoubleSidedAttr().Set(False)
    uv = np.stack([sheet.uv[:, 0], 1 - sheet.uv[:, 1]], axis=1).astype(np.float32)
    coordinates = Sdf.ValueTypeNames.TexCoord2fArray
    UsdGeom.PrimvarsAPI(mesh).CreatePrimvar("st", coordinates, UsdGeom.Tokens.vertex).Set(array("Vec2f", uv))
    bind(mesh, _picture_material(stage, f"/human3r/{sheet.name}/material", f"./{sheet.name}.jpg"))


def _picture_material(stage: Usd.Stage, path: str, file: str) -> UsdShade.Material:
    from pxr import Sdf, UsdShade

    material = UsdShade.Material.Define(stage, path)
    coordinates = UsdShade.Shader.Define(stage, f"{path}/coordinates")
    coordinates.CreateIdAttr("UsdPrimvarReader_float2")
    coordinates.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    coordinates.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    texture = UsdShade.Shader.Define(stage, f"{path}/texture")
    texture.CreateIdAttr("UsdUVTexture")
    texture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(Sdf.AssetPath(file))
    texture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
    texture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(coordinates.ConnectableAPI(), "result")
    texture.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
    surface = preview_surface(stage, material, (0.0, 0.0, 0.0))
    surface.CreateInput("emissiveColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(texture.ConnectableAPI(), "rgb")
    return material
