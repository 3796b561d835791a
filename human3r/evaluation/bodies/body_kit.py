"""The licensed files of the people benchmarks, found by name in one folder and read without unpickling.

SMPL and SMPL-X bodies, the matrix between their surfaces, and the H36M joint regressor; none is distributed here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy import sparse

from human3r.assets.conversion.foreign_arrays import read_foreign_pickle
from human3r.bodies.base import NUM_VERTICES
from human3r.bodies.loading import read_body_arrays
from human3r.bodies.smplx import SmplxBody
from human3r.errors import AssetIntegrityError, AssetMissingError, FormatError
from human3r.evaluation.bodies.smpl_file import NUM_SMPL_VERTICES, read_smpl_arrays
from human3r.evaluation.protocol import JointSet
from human3r.geometry.rigid import rotation_from_axis_angle

Gender = Literal["neutral", "male", "female"]
LSP14_ROWS = (6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10)
"""Rows of the H36M regressor: right ankle, knee, hip; left hip, knee, ankle; right wrist, elbow, shoulder; left
shoulder, elbow, wrist; neck, head top. Source: SPIN (arXiv 1909.12828), 3DPW evaluation."""


@dataclass(frozen=True)
class _Asset:
    names: tuple[str, ...]
    """Released file names; messages name the first."""
    where: str


_SMPL_PAGE = "https://smpl.is.tue.mpg.de (registration)"
_SMPLX_PAGE = "https://smpl-x.is.tue.mpg.de (registration)"


def _smpl(gender: str, letter: str) -> _Asset:
    versions = (f"basicmodel_{letter}_lbs_10_207_0_v1.1.0.pkl", f"basicModel_{letter}_lbs_10_207_0_v1.0.0.pkl")
    return _Asset((f"SMPL_{gender.upper()}.pkl", *versions), _SMPL_PAGE)


_ASSETS: dict[str, _Asset] = {
    "smpl_neutral": _smpl("neutral", "neutral"),
    "smpl_male": _smpl("male", "m"),
    "smpl_female": _smpl("female", "f"),
    **{f"smplx_{g}": _Asset((f"SMPLX_{g.upper()}.npz",), _SMPLX_PAGE) for g in ("neutral", "male", "female")},
    "transfer": _Asset(("smplx2smpl.pkl",), "https://bedlam.is.tue.mpg.de (registration)"),
    "h36m": _Asset(("J_regressor_h36m.npy",), "https://github.com/nkolot/SPIN (its data archive)"),
}
_REMEDY = "Download it again."


class BodyKit:
    """The files of one folder and its direct subfolders, each read at first use.

    Args:
        folder: Of the files; None: no files.
        neutral_body: The SMPL-X file that predictions are posed with, if not the folder's SMPLX_NEUTRAL.npz.
    """

    def __init__(self, folder: Path | None, neutral_body: Path | None = None) -> None:
        self._folder = folder
        self._neutral_body = neutral_body
        self._smpl = cache(self._read_smpl)
        self._smplx = cache(self._read_smplx)

    def require(self, *names: str) -> None:
        """Check that files exist.

        Args:
            names: ``smpl_male``, ``smplx_neutral``, ``transfer``, ``h36m`` and so on.

        Raises:
            AssetMissingError: Files are missing; the remedy names each file, its source, and the option.
        """
        missing = [name for name in names if self._find(name) is None]
        if not missing:
            return
        wanted = "; ".join(f"{_ASSETS[name].names[0]} from {_ASSETS[name].where}" for name in missing)
        place = f"in {str(self._folder)!r}" if self._folder else "without --bodies"
        raise AssetMissingError(
            f"This evaluation needs licensed body files, and {len(missing)} of {len(names)} are missing {place}.",
            f"Put them into one folder and give it with --bodies DIR: {wanted}.",
        )

    def path(self, name: str) -> Path:
        """Return the path of one file.

        Raises:
            AssetMissingError: It is not there.
        """
        self.require(name)
        found = self._find(name)
        assert found is not None
        return found

    def _find(self, name: str) -> Path | None:
        if name == "smplx_neutral" and self._neutral_body is not None:
            return self._neutral_body
        if self._folder is None or not self._folder.is_dir():
            return None
        folders = [self._folder, *sorted(path for path in self._folder.iterdir() if path.is_dir())]
        paths = [folder / file_name for file_name in _ASSETS[name].names for folder in folders]
        return next((path for path in paths if path.is_file()), None)

    def pose_smpl(self, gender: Gender, axis_angle: np.ndarray, betas: np.ndarray, transl: np.ndarray) -> np.ndarray:
        """Pose P SMPL bodies: ``P 6890 3`` float64, in the frame of the root rotation.

        Args:
            axis_angle: ``P 24 3`` radians, root first.
            betas: ``P 10`` (further ones are dropped).
            transl: ``P 3`` meters.
        """
        body, _ = self._smpl(gender)
        return _posed(body, axis_angle, betas, transl)

    def pose_smplx(self, gender: Gender, axis_angle: np.ndarray, betas: np.ndarray, transl: np.ndarray) -> np.ndarray:
        """Pose P SMPL-X bodies without expression as SMPL surfaces: ``P 6890 3`` float64.

        Args:
            axis_angle: ``P 55 3`` radians in SMPL-X order, hands from flat.
            betas: ``P S``; all are used that the body's file has.
            transl: ``P 3`` meters.
        """
        return self.to_smpl(_posed(self._smplx(gender, betas.shape[1]), axis_angle, betas, transl))

    def neutral_body(self) -> SmplxBody:
        """Return the body that predictions are posed with."""
        return self._smplx("neutral", 10)

    def hand_means(self, gender: Gender) -> np.ndarray:
        """Return ``30 3`` axis-angle of the mean hands, left then right: the pose of zero hand components."""
        path = self.path(f"smplx_{gender}")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                means = [np.asarray(arrays[name], np.float64) for name in ("hands_meanl", "hands_meanr")]
            return np.concatenate(means).reshape(30, 3)
        except (OSError, KeyError, ValueError) as error:
            raise AssetIntegrityError(f"The body model {path.name} has no mean hands.", _REMEDY) from error

    def to_smpl(self, vertices: np.ndarray) -> np.ndarray:
        """Convert ``P 10475 3`` vertices of SMPL-X to SMPL's surface: ``P 6890 3``, same frame and unit."""
        flat = vertices.transpose(1, 0, 2).reshape(NUM_VERTICES, -1)
        return (self.transfer @ flat).reshape(NUM_SMPL_VERTICES, len(vertices), 3).transpose(1, 0, 2)

    def joints(self, joint_set: JointSet, vertices: np.ndarray) -> np.ndarray:
        """Regress the joints of a set from ``P 6890 3`` vertices of SMPL: ``P J 3``."""
        regressor = self.lsp14_regressor if joint_set == "lsp14" else self.smpl24_regressor
        return np.einsum("jv,pvc->pjc", regressor, vertices)

    @cached_property
    def transfer(self) -> sparse.csr_matrix:
        """``6890 10475`` weights from SMPL-X's vertices to SMPL's."""
        path = self.path("transfer")
        content = read_foreign_pickle(path)
        matrix = content.get("matrix") if isinstance(content, dict) else content
        if getattr(matrix, "shape", None) != (NUM_SMPL_VERTICES, NUM_VERTICES):
            raise FormatError(f"{path.name} has no matrix of {NUM_SMPL_VERTICES} x {NUM_VERTICES}.", _REMEDY)
        return sparse.csr_matrix(matrix, dtype=np.float64)

    @cached_property
    def smpl24_regressor(self) -> np.ndarray:
        """``24 6890`` joint regressor of the neutral SMPL body."""
        return self._smpl("neutral")[1].astype(np.float64)

    @cached_property
    def lsp14_regressor(self) -> np.ndarray:
        """``14 6890`` rows of the H36M regressor."""
        path = self.path("h36m")
        try:
            regressor = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise FormatError(f"{path.name} is not a NumPy array.", _REMEDY) from error
        if regressor.shape != (17, NUM_SMPL_VERTICES):
            raise FormatError(f"{path.name} has the shape {regressor.shape}, expected 17 x 6890.", _REMEDY)
        return regressor[list(LSP14_ROWS)].astype(np.float64)

    def _read_smpl(self, gender: Gender) -> tuple[SmplxBody, np.ndarray]:
        """Read a body and its joint regressor."""
        arrays = read_smpl_arrays(self.path(f"smpl_{gender}"))
        return SmplxBody(arrays), arrays.joint_regressor

    def _read_smplx(self, gender: Gender, num_betas: int) -> SmplxBody:
        path = self.path(f"smplx_{gender}")
        arrays = read_body_arrays(path)
        if num_betas > arrays.shape_directions.shape[-1]:
            with np.load(path, allow_pickle=False) as file:
                directions = file["shapedirs"].astype(np.float32)
            if directions.shape[-1] > 2 * arrays.shape_directions.shape[-1]:
                arrays = replace(arrays, shape_directions=directions[..., :num_betas])
        return SmplxBody(arrays)


@torch.inference_mode()
def _posed(body: SmplxBody, axis_angle: np.ndarray, betas: np.ndarray, transl: np.ndarray) -> np.ndarray:
    """Pose P bodies without expression, with the shape coefficients that the body has."""
    rotations = rotation_from_axis_angle(_tensor(axis_angle))
    num_expression = body.expression_directions.shape[-1]
    shape = _tensor(betas)[:, : body.shape_directions.shape[-1]]
    mesh = body.mesh(rotations, shape, torch.zeros(len(rotations), num_expression), _tensor(transl))
    return mesh.vertices.double().numpy()


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(values, np.float32))
