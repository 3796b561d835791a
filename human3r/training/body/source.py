"""Read Anny: sample people from its calibrated distribution, and leave plain arrays in SMPL-X's axes.

The only module that imports ``anny``; everything after it is NumPy on the record below.
Anny is z-up and faces -y; we are y-up and face +z, with left = +x in both.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import anny  # pyright: ignore[reportMissingImports]

NUM_ADULTS = 400
NUM_CHILDREN = 120
ADULT_AGE_YEARS = (18.0, 75.0)
CHILD_AGE_YEARS = (5.0, 15.0)

EXPRESSION_UNITS: tuple[tuple[str, dict[str, float]], ...] = (
    ("smile", {"mouthSmile": 1.0, "cheekSquint": 0.6, "mouthDimple": 0.3}),
    ("frown", {"mouthFrown": 1.0, "mouthShrugLower": 0.5}),
    ("brows_up", {"browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 0.4}),
    ("brows_down", {"browDown": 1.0, "eyeSquint": 0.4}),
    ("blink", {"eyeBlink": 1.0}),
    ("pucker", {"mouthPucker": 1.0}),
    ("lips_apart", {"mouthUpperUp": 0.6, "mouthLowerDown": 1.0}),
    ("cheek_puff", {"cheekPuff": 1.0}),
    ("sneer", {"noseSneer": 1.0}),
    ("stretch", {"mouthStretch": 1.0}),
)
"""Expression coefficients: sums of Anny's face units; left and right are moved together."""
EXPRESSION_SCALE = 1 / 3
"""Coefficients of +-3 are a full face unit, as coefficients of +-3 are an extreme face in SMPL-X."""

INTERIOR_LABELS = ("mouth_cavity", "eye_cavity.L", "eye_cavity.R", "eye_back.L", "eye_back.R", "tongue")


@dataclass(frozen=True)
class AnnySource:
    """Anny's people before re-posing: S samples (adults first), N vertices, B bones, y-up, meters."""

    vertices: np.ndarray
    """``S N 3`` rest vertices in Anny's own rest pose."""
    bone_heads: np.ndarray
    """``S B 3``"""
    num_adults: np.ndarray
    """() int64"""
    bone_names: np.ndarray
    """``B`` str"""
    bone_parents: np.ndarray
    """``B`` int64, -1 for the root."""
    weights: np.ndarray
    """``N B`` skinning weights of the original rig."""
    faces: np.ndarray
    """``F 3`` int64"""
    uv: np.ndarray
    """``T 2`` texture coordinates."""
    uv_faces: np.ndarray
    """``F 3`` int64, rows of ``uv``."""
    is_interior: np.ndarray
    """``N`` bool: only seen from inside the mouth or behind the eyes."""
    expressions: np.ndarray
    """``10 N 3`` displacement of one unit of each expression."""
    coco_names: np.ndarray
    """``C`` str"""
    coco_regressor: np.ndarray
    """``C N`` Anny's own COCO keypoints."""

    def save(self, path: Path) -> None:
        """Write the arrays, uncompressed."""
        np.savez(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> AnnySource:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as archive:
            return cls(**{field.name: archive[field.name] for field in fields(cls)})


def to_y_up(points: np.ndarray) -> np.ndarray:
    """Turn Anny's axes into SMPL-X's: (x, y, z) -> (x, z, -y)."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def sample_anny() -> AnnySource:
    """Instantiate Anny with the full MakeHuman rig and draw people from its height-calibrated distribution.

    The first call builds Anny's own cache and takes some minutes.
    """
    import anny  # pyright: ignore[reportMissingImports]
    import torch
    from anny.face_segmentation import get_face_segmentation_mask  # pyright: ignore[reportMissingImports]

    torch.manual_seed(0)
    model = anny.Anny(rig="makehuman", topology="anny", facial_actions="all", phenotypes="default")
    groups = [
        _sample(model, *arguments) for arguments in ((ADULT_AGE_YEARS, NUM_ADULTS), (CHILD_AGE_YEARS, NUM_CHILDREN))
    ]
    faces = model.faces.numpy().astype(np.int64)
    inside = get_face_segmentation_mask(model, list(INTERIOR_LABELS)).numpy()
    outside_vertices = np.unique(faces[~inside])
    is_interior = np.ones(len(model.template_vertices), dtype=bool)
    is_interior[outside_vertices] = False
    weights = np.zeros((len(model.template_vertices), len(model.bone_labels)))
    np.add.at(
        weights,
        (np.arange(len(weights))[:, None], model.vertex_bone_indices.numpy()),
        model.vertex_bone_weights.numpy(),
    )
    coco = anny.KeypointsRegressor.coco(model)
    return AnnySource(
        vertices=np.concatenate([vertices for vertices, _ in groups]).astype(np.float32),
        bone_heads=np.concatenate([heads for _, heads in groups]).astype(np.float32),
        num_adults=np.array(NUM_ADULTS),
        bone_names=np.array(model.bone_labels),
        bone_parents=np.array(model.bone_parents, dtype=np.int64),
        weights=weights / weights.sum(axis=1, keepdims=True),
        faces=faces,
        uv=model.texture_coordinates.numpy(),
        uv_faces=model.face_texture_coordinate_indices.numpy().astype(np.int64),
        is_interior=is_interior,
        expressions=_expressions(model).astype(np.float32),
        coco_names=np.array(coco.labels),
        coco_regressor=coco.regression_weights.numpy().astype(np.float32),
    )


def _sample(model: anny.Anny, age_years: tuple[float, float], count: int) -> tuple[np.ndarray, np.ndarray]:
    import torch
    from anny.shape_distribution import SimpleShapeDistribution  # pyright: ignore[reportMissingImports]

    low, high = (torch.tensor(year, dtype=model.dtype) for year in age_years)
    ages = torch.distributions.Uniform(low, high)
    _, phenotype = SimpleShapeDistribution(model, morphological_age_distribution=ages).sample(count)
    values = torch.stack([phenotype[label] for label in model.phenotype_labels], dim=1)
    none = torch.zeros(1, 0, dtype=model.dtype)
    still = torch.zeros(1, len(model.facial_action_labels), dtype=model.dtype)
    coefficients = model._get_phenotype_blendshape_coefficients(values, none, still)
    vertices = model.get_rest_vertices(coefficients)
    heads = model.template_bone_heads + torch.einsum("bk,kij->bij", coefficients, model.bone_heads_blendshapes)
    return to_y_up(vertices.numpy()), to_y_up(heads.numpy())


def _expressions(model: anny.Anny) -> np.ndarray:
    labels = [label.split(":")[1] if label.startswith("facial_action:") else "" for label in model.blendshape_labels]
    units = []
    for _, parts in EXPRESSION_UNITS:
        unit = np.zeros(tuple(model.template_vertices.shape))
        for name, amount in parts.items():
            sides = [row for row, label in enumerate(labels) if label in (name, f"{name}Left", f"{name}Right")]
            if not sides:
                raise ValueError(f"this version of Anny has no face unit {name}")
            unit += amount * model.blendshapes[sides].sum(dim=0).numpy()
        units.append(EXPRESSION_SCALE * to_y_up(unit))
    return np.stack(units)
