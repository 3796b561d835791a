"""A folder of motion files, or the clips inside the ``pybullet`` wheel, as retargeted motions."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import numpy as np

from human3r.errors import AssetMissingError, FormatError
from human3r.training.motion.acclaim import read_acclaim
from human3r.training.motion.bvh import read_bvh
from human3r.training.motion.humanoids import read_amp, read_deepmimic
from human3r.training.motion.retarget import Motion, retarget
from human3r.training.motion.source import STANDARD_REST_JOINTS, SourceMotion

_LOG = logging.getLogger(__name__)
_RESERVED = ("12_01",)
"""CMU takes reserved for independent evaluation."""


def load_motions(folder: Path | str | None = None, rest_joints: np.ndarray | None = None) -> list[Motion]:
    """Read every motion file under a folder and retarget it.

    Known endings: ``.bvh``, ``.amc`` (with an ``.asf`` of the same subject beside it), ``.npz`` (AMP) and ``.txt``
    (DeepMimic's humanoid). A file of another layout is skipped with a warning.

    Args:
        folder: Folder to search; the default is ``pybullet_motion_folder()``.
        rest_joints: ``22 3`` rest joints of the body, meters; the default is ``STANDARD_REST_JOINTS``.

    Returns:
        The motions, sorted by path.

    Raises:
        AssetMissingError: The folder does not exist or holds no readable motion.
    """
    root = pybullet_motion_folder() if folder is None else Path(folder)
    rest = STANDARD_REST_JOINTS if rest_joints is None else np.asarray(rest_joints, dtype=np.float64)
    rest = rest - rest[0]
    motions = []
    for path in sorted(root.rglob("*")):
        if any(take in path.stem for take in _RESERVED):
            continue
        try:
            source = _read(path)
            if source is not None and len(source.global_rotations):
                motions.append(retarget(source, rest))
        except FormatError as error:
            _LOG.warning("Skipped a motion file: %s", error)
    if not motions:
        raise AssetMissingError(
            f"No motion file was found in {root}.", "Give a folder with .bvh, .amc + .asf, .npz or .txt motion clips."
        )
    return motions


def pybullet_motion_folder() -> Path:
    """Return the folder of motion clips inside the installed PyPI package ``pybullet`` (zlib license).

    Raises:
        AssetMissingError: The package is not installed.
    """
    spec = importlib.util.find_spec("pybullet_data")
    if spec is None or spec.origin is None:
        raise AssetMissingError(
            "No motion folder was given and the package pybullet is not installed.",
            "Give --motion DIR, or run: pip install pybullet",
        )
    return Path(spec.origin).parent / "data" / "motions"


def _read(path: Path) -> SourceMotion | None:
    ending = path.suffix.lower()
    if ending == ".bvh":
        return read_bvh(path)
    if ending == ".npz":
        return read_amp(path)
    if ending == ".txt":
        return read_deepmimic(path)
    if ending == ".amc":
        subject = path.stem.rpartition("_")[0]
        skeletons = sorted(path.parent.glob(f"{subject}.asf"))
        if not skeletons:
            raise FormatError(f"{path.name} has no skeleton file.", f"Put {subject}.asf beside it.")
        return read_acclaim(path, skeletons[0])
    return None
