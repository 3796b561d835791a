"""A person on a USD stage: a skinned mesh with blend shapes, its skeleton, and the animation of both (UsdSkel)."""

# usd-core has no types.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from human3r.exporting.gltf.corrections import Corrections, build_corrections
from human3r.exporting.motion import NUM_INFLUENCES, PersonMotion, Skin, build_motion
from human3r.exporting.usd.stage import array, bind, define_mesh, preview_surface
from human3r.palette import person_color, srgb_to_linear
from human3r.skeleton import JOINT_NAMES

if TYPE_CHECKING:
    from pxr import Usd, UsdGeom, UsdSkel

    from human3r.bodies import SmplxBody
    from human3r.records import Track
    from human3r.results.reconstruction import Reconstruction

_REACH_M = 0.35
"""Largest distance of a vertex from the nearest joint."""


def add_person(
    stage: Usd.Stage,
    path: str,
    reconstruction: Reconstruction,
    track: Track,
    body: SmplxBody,
    skin: Skin,
    codes: np.ndarray,
) -> None:
    """Add one identity, hidden in frames without an observation.

    Args:
        path: Of the prim that holds the person; its parent is world.
        codes: ``T`` time code of every frame.
    """
    from pxr import UsdGeom, UsdShade, UsdSkel

    motion = build_motion(reconstruction, track, body)
    corrections = build_corrections(reconstruction, motion, body, skin)
    root = UsdSkel.Root.Define(stage, path)
    bones = motion.bones_world.reshape(-1, 3)
    root.CreateExtentAttr(array("Vec3f", np.stack([bones.min(axis=0) - _REACH_M, bones.max(axis=0) + _REACH_M])))
    skeleton = _add_skeleton(stage, f"{path}/skeleton", motion, skin)
    animation = _add_animation(stage, f"{path}/animation", motion, skin, codes, corrections.weights)
    UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])

    mesh = define_mesh(stage, f"{path}/mesh", motion.rest_vertices + corrections.base, skin.faces)
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    indices = skin.joint_index.astype(np.int32).reshape(-1)
    binding.CreateJointIndicesPrimvar(False, NUM_INFLUENCES).Set(array("Int", indices))
    binding.CreateJointWeightsPrimvar(False, NUM_INFLUENCES).Set(array("Float", skin.joint_weight.reshape(-1)))
    _add_blend_shapes(stage, binding, corrections)
    material = UsdShade.Material.Define(stage, f"{path}/material")
    red, green, blue = srgb_to_linear(np.array(person_color(motion.track_id)) / 255).tolist()
    preview_surface(stage, material, (red, green, blue))
    bind(mesh, material)
    _animate_presence(UsdGeom.Imageable(root), motion.frames, codes)


def joint_paths(skin: Skin) -> list[str]:
    """Return the joints as UsdSkel names them: a path from the root."""
    paths: list[str] = []
    for name, parent in zip(JOINT_NAMES, skin.parents.tolist(), strict=True):
        paths.append(name if parent < 0 else f"{paths[parent]}/{name}")
    return paths


def _add_skeleton(stage: Usd.Stage, path: str, motion: PersonMotion, skin: Skin) -> UsdSkel.Skeleton:
    from pxr import UsdSkel

    skeleton = UsdSkel.Skeleton.Define(stage, path)
    skeleton.CreateJointsAttr(joint_paths(skin))
    # USD multiplies row vectors: the last row is the translation.
    bind_pose = np.tile(np.eye(4), (len(motion.rest_joints), 1, 1))
    bind_pose[:, 3, :3] = motion.rest_joints
    rest_pose = bind_pose.copy()
    children = skin.parents >= 0
    rest_pose[children, 3, :3] -= motion.rest_joints[skin.parents[children]]
    skeleton.CreateBindTransformsAttr(array("Matrix4d", bind_pose))
    skeleton.CreateRestTransformsAttr(array("Matrix4d", rest_pose))
    return skeleton


def _add_animation(
    stage: Usd.Stage, path: str, motion: PersonMotion, skin: Skin, codes: np.ndarray, weights: np.ndarray
) -> UsdSkel.Animation:
    """Add the pose, and the weights ``n K`` of the blend shapes, in every frame that saw the person."""
    from pxr import UsdSkel

    animation = UsdSkel.Animation.Define(stage, path)
    animation.CreateJointsAttr(joint_paths(skin))
    translations = motion.bones_world.copy()
    children = np.flatnonzero(skin.parents >= 0)
    parents = skin.parents[children]
    from_parent = motion.bones_world[:, children] - motion.bones_world[:, parents]
    translations[:, children] = np.einsum("njba,njb->nja", motion.R_world_joint[:, parents], from_parent)
    rotations = motion.quat_xyzw_parent_joint
    rotations /= np.linalg.norm(rotations, axis=-1, keepdims=True)
    translate, rotate = animation.CreateTranslationsAttr(), animation.CreateRotationsAttr()
    animation.CreateScalesAttr(array("Vec3h", np.ones((len(skin.parents), 3), dtype=np.float16)))
    animation.CreateBlendShapesAttr(_shape_names(weights.shape[1]))
    shape_weights = animation.CreateBlendShapeWeightsAttr()
    for row, code in enumerate(codes[motion.frames].tolist()):
        translate.Set(array("Vec3f", translations[row].astype(np.float32)), code)
        rotate.Set(array("Quatf", rotations[row]), code)
        shape_weights.Set(array("Float", weights[row].astype(np.float32)), code)
    return animation


def _shape_names(count: int) -> list[str]:
    return [f"correction_{index}" for index in range(count)]


def _add_blend_shapes(stage: Usd.Stage, binding: UsdSkel.BindingAPI, corrections: Corrections) -> None:
    from pxr import UsdSkel

    names = _shape_names(len(corrections.targets))
    paths = [binding.GetPath().AppendChild(name) for name in names]
    for path, target in zip(paths, corrections.targets, strict=True):
        moved = np.flatnonzero(np.abs(target).max(axis=1) > 0).astype(np.int32)
        shape = UsdSkel.BlendShape.Define(stage, path)
        shape.CreateOffsetsAttr(array("Vec3f", target[moved].astype(np.float32)))
        shape.CreatePointIndicesAttr(array("Int", moved))
    if names:
        binding.CreateBlendShapesAttr(names)
        binding.CreateBlendShapeTargetsRel().SetTargets(paths)


def _animate_presence(prim: UsdGeom.Imageable, frames: np.ndarray, codes: np.ndarray) -> None:
    """Hide a person in frames without an observation."""
    from pxr import UsdGeom

    if len(frames) == len(codes):
        return
    present = np.zeros(len(codes), dtype=bool)
    present[frames] = True
    visibility = prim.CreateVisibilityAttr()
    for frame in [0, *(np.flatnonzero(np.diff(present.astype(np.int8))) + 1).tolist()]:
        token = UsdGeom.Tokens.inherited if present[frame] else UsdGeom.Tokens.invisible
        visibility.Set(token, float(codes[frame]))
