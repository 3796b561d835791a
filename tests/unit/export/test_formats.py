"""Result folders: every format, the manifest last, nothing half-written."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from synthetic_scene import prediction_of

from human3r.atomic import whole_or_absent
from human3r.bodies import SmplxBody
from human3r.errors import DiskFullError, InputError
from human3r.export import FORMATS, export_file, write_all
from human3r.export.viewer.moments import Moments
from human3r.results.reconstruction import Reconstruction
from human3r.video.writer import VideoWriter


@pytest.fixture
def clip(tmp_path: Path, walk: Reconstruction) -> Path:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, walk.fps) as video:
        for index in range(walk.num_frames):
            video.append(np.full((*walk.image_size, 3), 10 * index, np.uint8))
    return path


def test_all_formats_are_written_and_listed(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody, clip: Path
) -> None:
    steps: list[tuple[int, int, str]] = []
    folder = tmp_path / "out"
    paths = write_all(walk, folder, FORMATS, body=small_body, clip=clip, progress=lambda *step: steps.append(step))
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {path.relative_to(folder).as_posix() for path in paths} == present
    assert present >= {
        *("reconstruction.npz", "scene.glb", "scene_static.glb", "scene.viser", "scene.html", "points.ply"),
        *("overlay.mp4", "cameras.json", "manifest.json"),
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {entry["name"] for entry in manifest["files"]} == present - {"manifest.json"}
    for entry in manifest["files"]:
        content = (folder / entry["name"]).read_bytes()
        assert entry["bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert steps[-1] == (len(FORMATS), len(FORMATS), "")
    assert [name for _, _, name in steps[:-1]] == list(FORMATS)


def test_an_unknown_format_is_named_before_anything_is_written(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody
) -> None:
    with pytest.raises(InputError, match="fbx"):
        write_all(walk, tmp_path / "out", ["npz", "fbx"], body=small_body)
    assert not (tmp_path / "out").exists()


def test_an_overlay_without_its_clip_is_refused(tmp_path: Path, walk: Reconstruction, small_body: SmplxBody) -> None:
    with pytest.raises(InputError, match="clip"):
        write_all(walk, tmp_path / "out", ["mp4"], body=small_body)


@pytest.mark.parametrize("name", ["a.npz", "a.glb", "a_static.glb", "a.ply", "a.json", "a.txt", "a.viser", "a.html"])
def test_one_file_is_exported_by_its_ending(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody, name: str
) -> None:
    assert export_file(walk, tmp_path / name, body=small_body).stat().st_size > 100
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_points_of_single_frames_are_kept_beside_the_page_that_shows_them(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody
) -> None:
    moments = Moments()
    for frame in range(walk.num_frames):
        moments.add(prediction_of(walk, frame))
    written = write_all(walk, tmp_path, ["npz", "html"], body=small_body, moments=moments)
    assert [path.name for path in written] == ["reconstruction.npz", "moments.bin", "scene.html", "manifest.json"]
    again = export_file(walk, tmp_path / "again.html", body=small_body, moments=tmp_path / "moments.bin")
    kept = base64.b64encode((tmp_path / "moments.bin").read_bytes()).decode()
    assert all(kept in path.read_text() for path in (tmp_path / "scene.html", again))


def test_an_unknown_ending_is_refused(tmp_path: Path, walk: Reconstruction, small_body: SmplxBody) -> None:
    with pytest.raises(InputError, match=r"\.xyz"):
        export_file(walk, tmp_path / "a.xyz", body=small_body)


def test_a_missing_folder_is_refused(tmp_path: Path, walk: Reconstruction, small_body: SmplxBody) -> None:
    with pytest.raises(InputError, match="nowhere"):
        export_file(walk, tmp_path / "nowhere" / "a.glb", body=small_body)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def fill_the_disk() -> None:
        with whole_or_absent(path) as temporary:
            temporary.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(DiskFullError, match="No space left"):
        fill_the_disk()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.bin"]


def test_a_clip_without_people_exports_in_every_format(
    tmp_path: Path, nobody: Reconstruction, small_body: SmplxBody, clip: Path
) -> None:
    paths = write_all(nobody, tmp_path / "out", FORMATS, body=small_body, clip=clip)
    assert all(path.stat().st_size > 0 for path in paths)
