"""Result folders: every format, the manifest last, nothing half-written."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from synthetic_scene import prediction_of

from human3r.atomic import whole_or_absent
from human3r.bodies import SmplxBody
from human3r.commands.results import file_beside
from human3r.errors import DiskFullError, InputError, ResourceError
from human3r.exporting import EXPORT_FORMATS, check_formats, export, fly_through, format_of, write_all
from human3r.exporting.manifest import is_listed, remove_listed, write_manifest
from human3r.exporting.viewer.moments import MOMENTS_NAME, Moments
from human3r.rendering import clip_frames
from human3r.results.reconstruction import Reconstruction
from human3r.video.writer import VideoWriter

FORMATS = [each.name for each in EXPORT_FORMATS if each.is_installed]


@pytest.fixture(autouse=True)
def _short_flights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fly_through, "DURATION_S", 0.2)


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
    assert [name for _, _, name in steps[:-1]] == FORMATS


@pytest.mark.parametrize("formats", ["viser, html", "mp4, viser, html"])
def test_the_clip_is_read_once_for_all_and_files_are_those_written_alone(
    formats: str,
    tmp_path: Path,
    walk: Reconstruction,
    small_body: SmplxBody,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = [export(walk, tmp_path / name, body=small_body, clip=clip) for name in ("a.viser", "a.html")]
    reads = []
    reader = clip_frames.FrameReader
    monkeypatch.setattr(clip_frames, "FrameReader", lambda *args, **kwargs: reads.append(1) or reader(*args, **kwargs))
    *_, viser, html, _ = write_all(walk, tmp_path / "out", formats, body=small_body, clip=clip, moments=Moments())
    assert len(reads) == 1
    assert [viser.read_bytes(), html.read_bytes()] == [path.read_bytes() for path in alone]


def test_an_unknown_format_is_named_before_anything_is_written(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody
) -> None:
    with pytest.raises(InputError, match="fbx"):
        write_all(walk, tmp_path / "out", ["npz", "fbx"], body=small_body)
    assert not (tmp_path / "out").exists()


def test_an_overlay_without_its_clip_is_refused(tmp_path: Path, walk: Reconstruction, small_body: SmplxBody) -> None:
    with pytest.raises(InputError, match="clip"):
        write_all(walk, tmp_path / "out", ["mp4"], body=small_body)


@pytest.mark.parametrize(
    ("name", "selected"),
    [
        *(("a.npz", "npz"), ("a.glb", "glb"), ("a_static.glb", "static_glb"), ("a.ply", "ply"), ("a.json", "json")),
        *(("a.txt", "tum"), ("a.viser", "viser"), ("a.html", "html"), ("a.mp4", "mp4"), ("bvh.zip", "bvh")),
        *(("a_amass.zip", "amass"), ("colmap.zip", "colmap")),
    ],
)
def test_one_file_is_exported_by_its_ending(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody, clip: Path, name: str, selected: str
) -> None:
    path = tmp_path / "new" / "folder" / name

    assert format_of(path).name == selected
    assert export(walk, path, body=small_body, clip=clip).stat().st_size > 100
    assert [each.name for each in path.parent.iterdir()] == [name]


def test_a_file_for_one_person_is_refused_where_there_are_two(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody
) -> None:
    with pytest.raises(InputError, match=r"has 2.*walk_bvh\.zip"):
        export(walk, tmp_path / "walk.bvh", body=small_body)


def test_the_contacts_of_one_person_lie_beside_its_bvh_file(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody
) -> None:
    export(walk.only(1), tmp_path / "walk.bvh", body=small_body)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["walk.bvh", "walk.contacts.json"]


@pytest.mark.parametrize("given", ["npz, Static GLB ,ply", ["ply", "static-glb", "npz"], "npz,static_glb,ply,npz"])
def test_formats_are_read_from_a_list_with_spaces(given: str | list[str]) -> None:
    assert check_formats(given) == ["npz", "static_glb", "ply"]


@pytest.mark.parametrize("given", ["", " , ", []])
def test_a_list_without_formats_is_refused(given: str | list[str]) -> None:
    with pytest.raises(InputError, match="npz"):
        check_formats(given)


def test_an_export_into_the_folder_of_a_result_goes_on_listing_its_files(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody
) -> None:
    write_all(walk, tmp_path, ["npz"], body=small_body)
    write_all(walk, tmp_path, ["tum"], body=small_body, extends=True)

    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert [entry["name"] for entry in manifest["files"]] == ["cameras_tum.txt", "reconstruction.npz"]


def test_the_points_of_single_frames_are_kept_beside_the_page_that_shows_them(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody
) -> None:
    moments = Moments()
    for frame in range(walk.num_frames):
        moments.add(prediction_of(walk, frame))
    written = write_all(walk, tmp_path, ["npz", "html"], body=small_body, moments=moments)
    assert [path.name for path in written] == ["reconstruction.npz", "moments.bin", "scene.html", "manifest.json"]
    again = export(walk, tmp_path / "again.html", body=small_body, moments=tmp_path / "moments.bin")
    kept = base64.b64encode((tmp_path / "moments.bin").read_bytes()).decode()
    assert all(kept in path.read_text() for path in (tmp_path / "scene.html", again))


def test_the_points_of_another_run_are_left_out(
    tmp_path: Path, walk: Reconstruction, nobody: Reconstruction, small_body: SmplxBody
) -> None:
    moments = Moments()
    for frame in range(walk.num_frames):
        moments.add(prediction_of(walk, frame))
    assert moments.write(tmp_path / "moments.bin", walk)
    moved = dataclasses.replace(walk, T_world_camera=walk.T_world_camera + np.float32(0.1))

    page = export(moved, tmp_path / "scene.html", body=small_body, moments=tmp_path / "moments.bin")
    assert "__H3R_MOMENTS__=" not in page.read_text()


def test_a_new_run_removes_what_the_manifest_names_inside_the_folder_and_nothing_else(tmp_path: Path) -> None:
    folder, outside = tmp_path / "out", tmp_path / "outside.txt"
    (folder / "colmap").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (folder / "linked").symlink_to(tmp_path / "other")
    (folder / "link.txt").symlink_to(outside)
    mine = [folder / "notes.txt", folder / "overlay.mp4", outside, tmp_path / "other" / "a.txt"]
    listed = [folder / "scene.glb", folder / "colmap" / "cameras.txt"]
    for path in (*mine, *listed):
        path.write_text("x")
    names = ["scene.glb", "colmap/cameras.txt", "overlay.mp4", "gone.ply", "colmap", "", "\0", "a" * 5000]
    names += ["../outside.txt", "colmap/../notes.txt", "link.txt", "linked/a.txt", str(outside)]
    document = {"schema": "human3r-manifest/1", "files": [{"name": name} for name in names]}
    (folder / "manifest.json").write_text(json.dumps(document))

    remove_listed(folder, keep=folder / "overlay.mp4")
    assert all(path.exists() for path in (*mine, folder / "link.txt"))
    assert not any(path.exists() for path in (*listed, folder / "manifest.json"))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"schema": "other/1", "files": [{"name": "a.txt"}]}', '{"files": [1]}']
)
def test_a_foreign_manifest_lists_nothing(tmp_path: Path, text: str) -> None:
    for name, content in (("manifest.json", text), ("a.txt", "x")):
        (tmp_path / name).write_text(content)
    remove_listed(tmp_path, keep=tmp_path / "clip.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "manifest.json"]
    assert not is_listed(tmp_path / "a.txt")


def test_only_a_file_that_the_manifest_lists_as_it_is_counts_as_listed(tmp_path: Path) -> None:
    first, second = tmp_path / "first.bin", tmp_path / "second.bin"
    for path in (first, second):
        path.write_bytes(b"as written")
    write_manifest(tmp_path, [first])
    assert is_listed(first)
    assert not is_listed(second)
    first.write_bytes(b"AS WRITTEN")
    assert not is_listed(first)


def test_points_beside_a_result_are_used_only_with_the_manifest_of_both(tmp_path: Path) -> None:
    result, moments = tmp_path / "reconstruction.npz", tmp_path / "moments.bin"
    result.write_bytes(b"result")
    moments.write_bytes(b"points")
    assert file_beside(result, MOMENTS_NAME) is None
    write_manifest(tmp_path, [moments])
    assert file_beside(result, MOMENTS_NAME) is None
    write_manifest(tmp_path, [result, moments])
    assert file_beside(result, MOMENTS_NAME) == file_beside(tmp_path, MOMENTS_NAME) == moments
    result.write_bytes(b"another run's")
    assert file_beside(tmp_path, MOMENTS_NAME) is None


def test_saving_a_result_under_another_ending_names_the_function_that_does_it(
    tmp_path: Path, walk: Reconstruction
) -> None:
    with pytest.raises(InputError, match=r"human3r\.export"):
        walk.save(tmp_path / "walk.glb")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_place_of_the_file_is_a_typed_error(tmp_path: Path, walk: Reconstruction) -> None:
    (tmp_path / "taken.npz").mkdir()
    with pytest.raises(InputError, match=r"Could not write taken\.npz: Is a directory"):
        walk.save(tmp_path / "taken.npz")


def test_an_unknown_ending_is_refused(tmp_path: Path, walk: Reconstruction, small_body: SmplxBody) -> None:
    with pytest.raises(InputError, match=r"\.xyz"):
        export(walk, tmp_path / "a.xyz", body=small_body)


def test_a_format_whose_package_is_missing_says_so_before_anything_is_written(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("human3r.exporting.formats.find_spec", lambda name: None)
    with pytest.raises(ResourceError, match=r"pxr.*human3r\[usd\]"):
        write_all(walk, tmp_path / "out", "npz, usdz", body=small_body)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_created_is_refused(
    tmp_path: Path, walk: Reconstruction, small_body: SmplxBody
) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(InputError, match="taken"):
        export(walk, tmp_path / "taken" / "a.glb", body=small_body)


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
