"""Body models as released: an ``.npz`` is read directly, a ``.pkl`` is converted once in a child process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from human3r.assets.registry import sha256_of, weights_folder
from human3r.atomic import whole_or_absent
from human3r.bodies import SmplxBody, load_body
from human3r.bodies.loading import MEMBER_NAMES, read_body_arrays
from human3r.errors import AssetIntegrityError, AssetMissingError


def open_body(path: str | Path | None = None) -> SmplxBody:
    """Load a body model from an SMPL-X ``.npz`` or ``.pkl``; without a path, the embedded one.

    A pickle is read as data, checked, and cached as ``.npz`` beside the weights under the hash of the original.

    Raises:
        AssetMissingError: There is no such file.
        AssetIntegrityError: The file is not an SMPL-X body.
        DiskFullError: The converted file could not be written.
    """
    if path is None or Path(path).suffix != ".pkl":
        return load_body(path)
    source = Path(path)
    if not source.is_file():
        raise AssetMissingError(f"The body model {source.name} does not exist.", "Check the path.")
    folder = weights_folder().parent / "bodies"
    converted = folder / f"{sha256_of(source)}.npz"
    if not converted.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        convert_body(source, converted)
    return load_body(converted)


def convert_body(source: Path, target: Path) -> None:
    """Read a pickled SMPL-X body as data, in a child process, check it like every body, and write it as ``.npz``.

    Raises:
        FormatError: Not a pickle of arrays.
        AssetIntegrityError: Not an SMPL-X body.
        DiskFullError: The file could not be written; nothing is left of it.
    """
    from scipy import sparse

    from human3r.assets.conversion.foreign_arrays import read_foreign_pickle

    content = read_foreign_pickle(source)
    content = content if isinstance(content, dict) else {}
    dense = {key: value.toarray() if sparse.issparse(value) else value for key, value in content.items()}
    arrays = {name: dense[name] for name in MEMBER_NAMES if isinstance(dense.get(name), np.ndarray)}
    missing = sorted(set(MEMBER_NAMES) - arrays.keys())
    if missing:
        raise AssetIntegrityError(
            f"The body model {source.name} lacks {', '.join(missing)}.",
            "Give SMPLX_NEUTRAL of https://smpl-x.is.tue.mpg.de, not SMPL or SMPL-H.",
        )
    with whole_or_absent(target) as temporary:
        np.savez(temporary, **arrays)
        read_body_arrays(temporary)
