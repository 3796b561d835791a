"""Pieces of a USD stage: meshes, poses over time, materials. All of it needs the optional package ``usd-core``."""

# usd-core has no types.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from human3r.exporting.motion import continuous_quat_xyzw

if TYPE_CHECKING:
    from pxr import Usd, UsdGeom, UsdShade


def array(kind: Literal["Vec2f", "Vec3f", "Vec3h", "Quatf", "Matrix4d", "Int", "Float"], values: np.ndarray) -> Any:
    """Return USD's own array of a kind; quaternions are w last, as USD holds them in memory."""
    from pxr import Vt

    return getattr(Vt, f"{kind}Array").FromNumpy(np.ascontiguousarray(values))


def set_pose(prim: UsdGeom.Xformable, T: np.ndarray, codes: np.ndarray | None = None) -> None:
    """Give an xformable prim the poses ``n 4 4`` at time codes ``n``, or one constant pose."""
    from pxr import Gf, Usd

    translate, orient = prim.AddTranslateOp(), prim.AddOrientOp()
    quats = continuous_quat_xyzw(T[:, :3, :3])
    for index, (x, y, z, w) in enumerate(quats.tolist()):
        time = Usd.TimeCode.Default() if codes is None else Usd.TimeCode(float(codes[index]))
        translate.Set(Gf.Vec3d(*T[index, :3, 3].tolist()), time)
        orient.Set(Gf.Quatf(w, x, y, z), time)


def define_mesh(stage: Usd.Stage, path: str, vertices: np.ndarray, faces: np.ndarray) -> UsdGeom.Mesh:
    """Define a polygon mesh without subdivision, visible from both sides.

    Args:
        vertices: ``V 3`` meters.
        faces: ``F 3``, counter-clockwise.
    """
    from pxr import UsdGeom

    mesh = UsdGeom.Mesh.Define(stage, path)
    mesh.CreatePointsAttr(array("Vec3f", vertices.astype(np.float32)))
    mesh.CreateFaceVertexCountsAttr(array("Int", np.full(len(faces), 3, dtype=np.int32)))
    mesh.CreateFaceVertexIndicesAttr(array("Int", faces.astype(np.int32).reshape(-1)))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateDoubleSidedAttr(True)
    mesh.CreateExtentAttr(array("Vec3f", np.stack([vertices.min(axis=0), vertices.max(axis=0)]).astype(np.float32)))
    return mesh


def preview_surface(
    stage: Usd.Stage, material: UsdShade.Material, color_linear: tuple[float, float, float]
) -> UsdShade.Shader:
    """Give a material a rough surface of one color, linear RGB, and return its shader."""
    from pxr import Gf, Sdf, UsdShade

    shader = UsdShade.Shader.Define(stage, f"{material.GetPath()}/surface")
    shader.CreateIdAttr("UsdPreviewSurface")
    shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(*color_linear))
    shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(0.75)
    shader.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
    shader.CreateOutput("surface", Sdf.ValueTypeNames.Token)
    material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    return shader


def bind(mesh: UsdGeom.Mesh, material: UsdShade.Material) -> None:
    """Bind a material to a mesh."""
    from pxr import UsdShade

    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
