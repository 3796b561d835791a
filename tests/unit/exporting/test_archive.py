"""Zip files: formats that are several files each, and whole folders."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from human3r.bodies import SmplxBody
from human3r.errors import DiskFullError
from human3r.exporting import export, write_zip
from human3r.results.reconstruction import Reconstruction


def _names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return archive.namelist()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bvh.zip", [f"person_{track}.{ending}" for track in (1, 2) for ending in ("bvh", "contacts.json")]),
        ("walk_amass.zip", ["smplx_person_1.npz", "smplx_person_2.npz"]),
        ("colmap.zip", ["cameras.txt", "images.txt", "points3D.txt"]),
    ],
)
def test_an_archive_holds_its_files_at_the_top(
    name: str, expected: list[str], tmp_path: Path, walk: Reconstruction, small_body: SmplxBody
) -> None:
    export(walk, tmp_path / name, body=small_body)

    assert _names(tmp_path / name) == expected
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["bvh.zip", "amass.zip", "colmap.zip"])
def test_a_clip_without_people_gives_archives_too(
    name: str, tmp_path: Path, nobody: Reconstruction, small_body: SmplxBody
) -> None:
    export(nobody, tmp_path / name, body=small_body)

    assert not [entry for entry in _names(tmp_path / name) if "person" in entry]


def test_what_is_packed_comes_back_as_it_was(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    np.save(inner / "array.npy", np.arange(5))
    (inner / "text.txt").write_text("words " * 1000)
    write_zip(tmp_path / "all.zip", inner.iterdir(), tmp_path)

    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.read("inner/text.txt").decode() == "words " * 1000
        assert archive.getinfo("inner/text.txt").compress_size < 1000
    assert _names(tmp_path / "all.zip") == ["inner/array.npy", "inner/text.txt"]


def test_an_archive_that_fails_half_way_is_absent(tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_text("here")
    with pytest.raises(DiskFullError):
        write_zip(tmp_path / "all.zip", [tmp_path / "here.txt", tmp_path / "missing.txt"], tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["here.txt"]
