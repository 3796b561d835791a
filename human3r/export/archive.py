"""Zip files of formats that are several files each: BVH and AMASS per person, COLMAP models, whole folders."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from human3r.atomic import whole_or_absent
from human3r.export.amass import write_amass
from human3r.export.bvh import write_bvh
from human3r.export.cameras import write_colmap

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction

ARCHIVES = ("bvh.zip", "amass.zip", "colmap.zip")
"""Names that ``write_archive`` knows."""
_PACKED = (".npz", ".mp4", ".viser", ".zip", ".bin")
"""Compressed already: packing them again costs time and saves nothing."""


def write_archive(reconstruction: Reconstruction, path: Path, body: SmplxBody) -> None:
    """Write one of ``ARCHIVES``, whole or not at all; without people, those per person are empty archives."""
    with tempfile.TemporaryDirectory(prefix="human3r-export-") as name:
        folder = Path(name)
        if path.name == "bvh.zip":
            write_bvh(reconstruction, folder, body)
        elif path.name == "amass.zip":
            write_amass(reconstruction, folder, body)
        elif path.name == "colmap.zip":
            write_colmap(reconstruction, folder)
        else:
            raise ValueError(f"{path.name} is no archive of {ARCHIVES}")
        write_zip(path, [file for file in folder.rglob("*") if file.is_file()], folder)


def write_zip(path: Path, files: Iterable[Path], root: Path) -> None:
    """Pack files under their names relative to ``root``, whole or not at all."""
    with whole_or_absent(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in sorted(files):
            method = zipfile.ZIP_STORED if file.suffix in _PACKED else zipfile.ZIP_DEFLATED
            archive.write(file, file.relative_to(root).as_posix(), compress_type=method, compresslevel=1)
