"""Option fields, the changes of the page, and its markup."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from fake_engine import FakeEngine, make_reconstruction
from gradio.route_utils import delete_files_created_by_app

from demo.engine import RunRequest
from demo.examples import EXAMPLES, Gallery
from demo.page import panels
from demo.page.actions import changes_of
from demo.page.api import Services, read_request, upload_field
from demo.page.ui import build_page
from demo.settings import Settings
from demo.storage import ResultStore
from demo.updates import Update, outcome_of
from human3r import InputError, ReconstructOptions

NAMES = ("compact", "other")


def test_empty_option_fields_select_the_whole_clip() -> None:
    request = read_request(Settings(default_frames=50), NAMES, "clip.mp4", 0, 0, 0, None, None, False, 0, "auto")

    assert request == RunRequest(Path("clip.mp4"), "compact", ReconstructOptions(max_frames=50))


@pytest.mark.parametrize("place", ["http://example.com/clip.mp4", "/no/such/clip.mp4"])
def test_a_clip_that_was_not_uploaded_is_a_sentence_and_nothing_is_downloaded(place: str) -> None:
    field = upload_field(gr.File())
    with pytest.raises(gr.Error, match="Upload it first") as raised:
        # In a thread: the browser tests, which may come first, keep an event loop running in this one.
        ThreadPoolExecutor(1).submit(asyncio.run, field.async_move_resource_to_block_cache(place)).result()
    assert not raised.value.print_exception
    with pytest.raises(gr.Error, match="Upload it first"):
        field.preprocess(5)


def test_option_fields_are_read() -> None:
    request = read_request(Settings(), NAMES, None, 1.5, 4, 10, 60, "other", True, 100, 270)

    assert request == RunRequest(None, "other", ReconstructOptions(1.5, 4.0, 10.0, 60, True, 100, rotate=270))


@pytest.mark.parametrize(
    "values",
    [
        (-1, 0, 0, 10),
        (0, 0, -2, 10),
        (0, 0, 0, 601),
        (0, 0, 0, -3),
        ("soon", 0, 0, 10),
        (0, [1], 0, 10),
        (0, 0, "inf", 1),
    ],
)
def test_option_fields_out_of_range_are_one_sentence_with_a_remedy(values: tuple[object, ...]) -> None:
    with pytest.raises(InputError) as refusal:
        read_request(Settings(max_frames=600), NAMES, None, *values, "auto", False, 0, 0)

    assert refusal.value.remedy


def test_the_line_under_the_upload_says_what_will_be_used() -> None:
    clip = FakeEngine(num_frames=60).probe(Path("clip.mp4"))
    clip.rotation_deg = 90

    line = panels.clip_line(clip, 60, ReconstructOptions(), 0.3)

    assert "12.0 s, 64x48, rotated 90°; 60 frames, takes about 20 s" in line


def test_a_clip_that_is_cut_says_how_much_of_it_is_used() -> None:
    clip = FakeEngine(num_frames=60).probe(Path("clip.mp4"))

    assert "20 of 60 frames: 4 s at 5 fps" in panels.clip_line(clip, 20, ReconstructOptions(max_frames=20), None)


def test_a_clip_that_is_turned_by_a_quarter_says_so_and_swaps_its_sides() -> None:
    clip = FakeEngine(num_frames=60).probe(Path("clip.mp4"))

    assert "48x64, turned 90°" in panels.clip_line(clip, 60, ReconstructOptions(rotate=90), None)


def test_what_blender_has_to_be_told_is_a_whole_rate(store: ResultStore) -> None:
    outcome = replace(outcome_of(make_reconstruction(3), store.open("someone"), 1.0, ()), fps=9.976)

    assert "set the scene to 10 fps before you import scene.glb" in panels.result(outcome)


def test_text_from_a_file_cannot_become_markup() -> None:
    assert "<script>" not in panels.problem("<script>alert(1)</script>")
    assert "<script>" not in panels.status("<script>", note="<script>")


def test_scene_glb_is_the_first_download_and_the_arrays_the_second(store: ResultStore) -> None:
    outcome = outcome_of(make_reconstruction(3), store.open("someone"), 1.0, ("reconstruction.npz", "player.viser"))

    markup = changes_of(Update("done", outcome=outcome))[4]

    names = [part.split('"')[0] for part in markup.split('download="')[1:]]
    assert names[:2] == ["scene.glb", "reconstruction.npz"]
    assert "overlay.mp4" not in names


def test_the_link_of_a_result_says_how_long_it_lives_and_an_example_has_no_end(store: ResultStore) -> None:
    visitors = outcome_of(make_reconstruction(3), store.open("someone"), 1.0, ())
    examples = outcome_of(make_reconstruction(3), store.open(""), 1.0, ())

    assert (
        f'data-path="./?result={visitors.folder.token}">Copy link · kept for 1 hour<'
        in changes_of(Update("", outcome=visitors))[4]
    )
    assert ">Copy link<" in changes_of(Update("", outcome=examples))[4]


def test_points_of_single_frames_are_offered_where_a_run_has_kept_them(store: ResultStore) -> None:
    outcome = outcome_of(make_reconstruction(3), store.open("someone"), 1.0, ("moments.bin",))

    assert "&amp;moments=1" in panels.recorded_viewer(outcome)
    assert "moments.bin" not in changes_of(Update("", outcome=outcome))[4]


def test_every_format_is_offered_with_what_it_is_for(store: ResultStore) -> None:
    outcome = outcome_of(make_reconstruction(3), store.open("someone"), 1.0, ("reconstruction.npz", "player.viser"))

    markup = changes_of(Update("", outcome=outcome))[4]

    for name in ("everything.zip", "bvh.zip", "amass.zip", "colmap.zip", "cameras_tum.txt", "scene_static.glb"):
        assert f'download="{name}"' in markup
    assert "SMPL-X motion per person" in markup


def test_the_viewer_of_a_result_is_an_iframe_with_a_relative_address(store: ResultStore) -> None:
    outcome = outcome_of(make_reconstruction(3), store.open("someone"), 1.0, ())

    viewer = panels.recorded_viewer(outcome)

    assert f'src="./viewer/{outcome.folder.token}/play/?playbackPath=../player.viser"' in viewer


def test_the_player_is_not_reloaded_when_only_downloads_were_added(store: ResultStore) -> None:
    outcome = outcome_of(make_reconstruction(3), store.open("someone"), 1.0, ("reconstruction.npz",))

    viewer = changes_of(Update("done", outcome=outcome, is_complete=True))[2]

    assert viewer == {"__type__": "update"}


def test_the_last_frame_stands_in_for_the_video_only_while_that_is_written(store: ResultStore) -> None:
    outcome = outcome_of(make_reconstruction(3), store.open("someone"), 1.0, ("reconstruction.npz",))

    assert panels.messages.WRITING_VIDEO in panels.preview(np.zeros((4, 6, 3), np.uint8))
    assert changes_of(Update("done", outcome=outcome))[3] == {"__type__": "update"}
    assert changes_of(Update("done", outcome=outcome, is_complete=True))[3] == ""


def test_an_error_gives_the_buttons_back() -> None:
    *_, reconstruct, stop = changes_of(Update("", problem="No."))

    assert (reconstruct["interactive"], stop["interactive"]) == (True, False)


def test_the_tiles_keep_their_pictures_when_the_files_of_visitors_go(
    engine: FakeEngine, runs, store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    page = build_page(Services(Settings(), engine, runs, store, Gallery(engine, store), ("auto",)))
    icons = [Path(block.icon["path"]) for block in page.blocks.values() if getattr(block, "icon", None)]

    delete_files_created_by_app(page, age=0)

    assert len(icons) == len(EXAMPLES)
    assert all(icon.is_relative_to(tmp_path) and icon.is_file() for icon in icons)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [([], "reconstruct takes 9 values; 0 came"), ([{"path": "x"}] + [None] * 8, "values of the wrong kind")],
)
def test_wrong_values_of_a_program_are_one_sentence(
    engine: FakeEngine, runs, store: ResultStore, values: list, sentence: str
) -> None:
    page = build_page(Services(Settings(), engine, runs, store, Gallery(engine, store), ("auto",)))
    function = next(each for each in page.fns.values() if each.api_name == "reconstruct")
    with pytest.raises(gr.Error, match=sentence) as raised:
        ThreadPoolExecutor(1).submit(asyncio.run, page.preprocess_data(function, values, None)).result()
    assert not raised.value.print_exception
