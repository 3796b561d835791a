"""Annotations of SMPL bodies: fields of pickles with their shapes checked, the images that belong to them, posing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from human3r.errors import FormatError
from human3r.evaluation.bodies.body_kit import BodyKit, Gender
from human3r.evaluation.bodies.smpl_people import people_from_smpl
from human3r.evaluation.protocol import JointSet, PosedPeople
from human3r.geometry.rigid import inverse_transform_points


@dataclass(frozen=True)
class Annotation:
    """One sequence: S persons over T images as SMPL bodies."""

    poses: np.ndarray
    """``S T 24 3`` radians, world."""
    betas: np.ndarray
    """``S 10``"""
    transl: np.ndarray
    """``S T 3`` meters, world."""
    genders: tuple[Gender, ...]
    is_valid: np.ndarray
    """``S T`` bool: the person is there, and the pose fits the camera."""
    T_world_camera: np.ndarray
    """``T 4 4``"""
    K: np.ndarray
    """``3 3`` pixels"""


def true_people(
    kit: BodyKit,
    joint_set: JointSet,
    annotation: Annotation,
    rows: np.ndarray,
    genders: dict[tuple[int, int], Gender] | None,
    index: int,
) -> PosedPeople:
    """Pose all valid people of scored frame ``index``; ``genders`` by (frame, place) replaces the annotated ones."""
    row = rows[index]
    people = np.flatnonzero(annotation.is_valid[:, row])
    T_world_camera = annotation.T_world_camera[row]
    vertices = []
    for place, person in enumerate(people):
        gender = annotation.genders[person] if genders is None else genders[index, place]
        pose, transl = annotation.poses[person, row][None], annotation.transl[person, row][None]
        vertices.append(kit.pose_smpl(gender, pose, annotation.betas[person][None], transl)[0])
    vertices_camera = inverse_transform_points(T_world_camera, np.stack(vertices))
    return people_from_smpl(kit, joint_set, vertices_camera, T_world_camera, annotation.K, people)


def field(path: Path, content: object, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return a numeric field as float64.

    Args:
        path: File of the content, for messages.
        shape: Expected shape; None is any size.

    Raises:
        FormatError: The field is missing, has another shape, or is not finite.
    """
    value = content.get(name) if isinstance(content, dict) else None
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf" or value.ndim != len(shape):
        raise FormatError(f"{path.name} has no field {name!r} of numbers in {len(shape)} axes.", "Download it again.")
    if any(wanted not in (None, found) for wanted, found in zip(shape, value.shape, strict=True)):
        raise FormatError(f"The field {name!r} of {path.name} has the shape {value.shape}.", f"Expected {shape}.")
    if not np.isfinite(value).all():
        raise FormatError(f"The field {name!r} of {path.name} has numbers that are not finite.", "Download it again.")
    return value.astype(np.float64)


def list_field(path: Path, content: object, name: str, length: int | None = None) -> list[Any]:
    """Return a field that is a list of that length, or an array with such a first axis.

    Raises:
        FormatError: The field is missing or has another length.
    """
    value = content.get(name) if isinstance(content, dict) else None
    if not isinstance(value, (list, tuple, np.ndarray)) or length not in (None, len(value)):
        raise FormatError(f"{path.name} has no list {name!r} of {length or 'any'} items.", "Download it again.")
    return list(value)


def images_of_rows(name: str, images: tuple[Path, ...], num_rows: int, rows: np.ndarray) -> tuple[Path, ...]:
    """Return the images of annotated rows; the images of a sequence are in the order of its rows.

    Raises:
        FormatError: There are fewer images than rows.
    """
    if len(images) < num_rows:
        raise FormatError(
            f"Sequence {name} has {len(images)} images and {num_rows} annotated frames.", "Complete the download."
        )
    return tuple(images[row] for row in rows)
