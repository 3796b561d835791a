"""The files of a result: what one of them has made, the others use."""

from __future__ import annotations

import pytest
from synthetic_scene import keyframe_of, slanted_plane, walking_reconstruction

from demo.downloads import write_download
from demo.storage import ResultStore
from human3r import KEYFRAMES_NAME, PLAYER_SCENE_NAME, SmplxBody, save_keyframes


def test_downloads_share_the_surface_and_the_players_scene(
    small_body: SmplxBody, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = walking_reconstruction(small_body, num_frames=4)
    with ResultStore(file_ttl_s=60, max_results=2) as store:
        folder = store.open("someone")
        save_keyframes(folder.path / KEYFRAMES_NAME, [keyframe_of(walk, 2, slanted_plane(48, 64))], walk)
        write_download(PLAYER_SCENE_NAME, walk, small_body, None, folder)
        monkeypatch.delattr("human3r.surface.meshing.sheets.build_surface")
        write_download("scene.glb", walk, small_body, None, folder)
        monkeypatch.delattr("human3r.exporting.viewer.finished.build_finished")
        write_download("scene.html", walk, small_body, None, folder)

        assert b"scene_0_0" in (folder.path / "scene.glb").read_bytes()
        assert {path.name for path in folder.finished_files()} == {
            *(KEYFRAMES_NAME, PLAYER_SCENE_NAME, "scene.glb", "scene.html")
        }
