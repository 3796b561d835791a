"""Zip the files of a folder: formats of several files, and whole results."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

from human3r.atomic import whole_or_absent

_COMPRESSED = (".npz", ".mp4", ".viser", ".zip", ".bin")
"""Suffixes of files that are already compressed and only stored."""


def write_zip(path: Path, files: Iterable[Path], root: Path) -> None:
    """Pack files under their names relative to ``root``; atomic."""
    with whole_or_absent(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in sorted(files):
            method = zipfile.ZIP_STORED if file.suffix in _COMPRESSED else zipfile.ZIP_DEFLATED
            archive.write(file, file.relative_to(root).as_posix(), compress_type=method, compresslevel=1)
