"""People in the clip's colors: seen vertices have the picture's color, unseen ones that of the other side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_scene import keyframe_of, prediction_of, slanted_plane, walking_reconstruction

from human3r.bodies import SmplxBody
from human3r.cli import main
from human3r.errors import InputError
from human3r.exporting.bundle import export
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.pipeline import reconstruct
from human3r.records import FramePrediction
from human3r.results.reconstruction import Reconstruction
from human3r.surface.keyframes.collecting import KeyframeCollector
from human3r.surface.keyframes.from_clip import gather_again
from human3r.surface.keyframes_file import load_surface, save_keyframes
from human3r.surface.people_colors import PeopleColorCollector

RED, GREEN = (200, 30, 20), (20, 180, 40)


@pytest.fixture
def walk(small_body: SmplxBody) -> Reconstruction:
    return walking_reconstruction(small_body, num_frames=6)


def frame(walk: Reconstruction, row: int, mask: float = 1.0) -> FramePrediction:
    prediction = prediction_of(walk, row, (120, 160))
    return replace(prediction, person_mask=torch.full((120, 160), mask), image=torch.zeros(120, 160, 3).byte())


def one_color(walk: Reconstruction, color: tuple[int, int, int]) -> np.ndarray:
    return np.full((*walk.image_size.tolist(), 3), color, np.uint8)


def test_people_have_the_color_of_the_source_frame(walk: Reconstruction, small_body: SmplxBody) -> None:
    collector = PeopleColorCollector(small_body)
    collector.add(frame(walk, 0))
    collector.add_source(one_color(walk, RED))
    colors = collector.finish()
    assert sorted(colors) == [1, 2]
    assert all(np.abs(each.astype(int) - RED).max() <= 1 for each in colors.values())


def test_without_its_source_a_frame_counts_as_the_network_saw_it(walk: Reconstruction, small_body: SmplxBody) -> None:
    collector = PeopleColorCollector(small_body)
    collector.add(replace(frame(walk, 0), image=torch.tensor(GREEN).byte().expand(120, 160, 3)))
    assert all(np.abs(each.astype(int) - GREEN).max() <= 1 for each in collector.finish().values())


def test_pixels_that_show_nobody_color_nobody(walk: Reconstruction, small_body: SmplxBody) -> None:
    collector = PeopleColorCollector(small_body)
    collector.add(frame(walk, 0, mask=0.1))
    collector.add_source(one_color(walk, RED))
    assert collector.finish() == {}


def test_colors_are_kept_with_the_surface_and_worn_in_the_glb(
    walk: Reconstruction, small_body: SmplxBody, tmp_path: Path
) -> None:
    collector = KeyframeCollector(small_body)
    collector.add(frame(walk, 0))
    collector.add_source(one_color(walk, RED))
    keyframes = [keyframe_of(walk, 0, slanted_plane(48, 64))]
    save_keyframes(tmp_path / "surface.npz", keyframes, walk, collector.people_colors())
    surface = load_surface(tmp_path / "surface.npz", walk)
    assert {track: colors.shape for track, colors in surface.people_colors.items()} == {
        track: (len(small_body.template), 3) for track in (1, 2)
    }
    plain = export(walk, tmp_path / "plain.glb", body=small_body, keyframes=surface).read_bytes()
    worn = export(walk, tmp_path / "worn.glb", body=small_body, keyframes=surface, people_wear="clip").read_bytes()
    assert b"COLOR_0" not in plain
    assert worn.count(b"COLOR_0") == 2


def test_keyframes_are_gathered_again_from_the_clip(tiny: LoadedModel, clip: Path) -> None:
    first = KeyframeCollector()
    result = reconstruct(clip, tiny, sinks=[first])
    again = gather_again(result, clip, tiny.body, model=tiny).finish()
    assert [each.picture for each in again] == [each.picture for each in first.finish()]
    with pytest.raises(InputError, match="other frames"):
        gather_again(replace(result, frame_index=result.frame_index + 1), clip, model=tiny)
    with pytest.raises(InputError, match="other weights"):
        gather_again(replace(result, meta={**result.meta, "model_sha256": "0"}), clip, model=tiny)


def test_colors_that_were_not_kept_need_the_clip(
    walk: Reconstruction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(walk, meta={}).save(tmp_path / "reconstruction.npz")
    arguments = ["export", str(tmp_path), "-o", str(tmp_path / "x.glb"), "--people-colors", "clip"]
    assert main(arguments) == 2
    assert "Give the source clip with --clip." in capsys.readouterr().err
