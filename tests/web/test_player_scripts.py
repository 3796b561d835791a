"""The player's own logic in a browser without viser: the tape, seeking in it, and what the visitor has hidden."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from human3r.exporting.viewer import player
from human3r.exporting.viewer.tape import BodyPose, TapeFrame, TapeWriter

pytestmark = [pytest.mark.web, pytest.mark.timeout(600)]

PLAYER = Path(player.__file__).parent
BODY = "/people/person_4/body"
STAND_IN = """
window.sent = [];
h3r.client = { isReady: true, isIdle: true, send: (...messages) => sent.push(...messages) };
window.bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
window.tape = new h3r.Tape();
window.newest = (type, name) => sent.filter((message) => message.type === type && message.name === name).pop();
window.bone = (name) => newest("SetBonePositionMessage", name).position[0];
window.visible = (name) => newest("SetSceneNodeVisibilityMessage", name).visible;
"""


def pose(x_m: float) -> BodyPose:
    """A body whose joints are all at ``(x, 1, 0)``, unturned."""
    return BodyPose(np.tile([1.0, 0, 0, 0], (55, 1)), np.tile([x_m, 1.0, 0], (55, 1)))


def frame(
    index: int, bodies: dict[int, BodyPose], points: str | None = None, picture: bytes | None = None
) -> TapeFrame:
    """One frame of 0.1 s, with the camera at x = index."""
    T = np.eye(4)
    T[0, 3] = index
    return TapeFrame(0.1 * index, 0.5, T, bodies, picture, points)


CLIP = [frame(0, {4: pose(0)}), frame(1, {4: pose(1)}, picture=b"jpeg"), frame(2, {}), frame(3, {4: pose(3)})]
FACTS: dict[str, object] = {"aspect": 1.5, "views": None, "fps": 10.0}


@pytest.fixture
def blank(chromium) -> Iterator[object]:
    context = chromium.new_context()
    page = context.new_page()
    for name in ("tape.js", "stage.js"):
        page.add_script_tag(content=(PLAYER / name).read_text(encoding="utf-8"))
    page.add_script_tag(content=STAND_IN)
    page.append = lambda chunk: page.evaluate("text => tape.append(bytes(text))", base64.b64encode(chunk).decode())
    yield page
    context.close()


@pytest.fixture
def clip(blank) -> object:
    """A page with a whole clip on its tape, and a stage."""
    blank.append(TapeWriter().chunk(CLIP, FACTS))
    blank.evaluate("window.stage = new h3r.Stage(tape)")
    return blank


@pytest.fixture
def live(blank) -> object:
    """A page with three chunks of a run that goes on; its writer and first chunks are attributes."""
    blank.writer = TapeWriter()
    frames = [
        frame(0, {4: pose(0)}, "/points/00000"),
        frame(1, {4: pose(1), 5: pose(7)}),
        frame(2, {5: pose(8)}, "/points/00001"),
    ]
    scenes = [{**FACTS, "is_live": True}, None, None]
    blank.chunks = [blank.writer.chunk([each], scene) for each, scene in zip(frames, scenes, strict=True)]
    for chunk in blank.chunks:
        blank.append(chunk)
    blank.evaluate("window.stage = new h3r.Stage(tape)")
    return blank


def test_a_tape_of_a_run_keeps_every_frame_and_who_was_in_it(live) -> None:
    assert live.evaluate("[tape.numFrames, tape.numRepeats, tape.scene.is_live]") == [3, 0, True]
    assert live.evaluate("tape.scene.times_s") == pytest.approx([0, 0.1, 0.2])
    assert live.evaluate("tape.scene.fps") == pytest.approx(10)
    assert live.evaluate("tape.scene.point_bands") == ["/points/00000", "/points/00001"]
    assert live.evaluate("[4, 5].map((id) => tape.bodies.get(id).frames)") == [[0, 1], [1, 2]]
    assert live.evaluate("tape.scene.people.map((person) => person.id)") == [4, 5]


def test_a_stage_shows_frames_that_come_after_it_was_made(live) -> None:
    live.append(live.writer.chunk([frame(3, {4: pose(9)})]))
    live.evaluate("stage.show(0.3)")

    assert live.evaluate(f"[stage.frame, bone('{BODY}'), visible('{BODY}')]") == [3, 9, True]


def test_without_a_graphics_card_a_run_moves_bodies_of_few_triangles(live) -> None:
    few = BODY.replace("/body", "/few")
    live.evaluate("h3r.drawsInSoftware = true; sent.length = 0; stage.show(0.1)")

    assert live.evaluate(f"[bone('{few}'), visible('{few}')]") == [1, True]
    assert live.evaluate(f"sent.some((message) => message.name === '{BODY}')") is False


def test_repeated_chunks_change_nothing_but_everything_is_announced_again(live) -> None:
    live.evaluate("stage.show(0.1); stage.setVisible('/people/person_4', false); sent.length = 0")
    for chunk in live.chunks:
        live.append(chunk)
    assert live.evaluate("[tape.numFrames, tape.scene.times_s.length, stage.isStale]") == [3, 3, True]
    live.evaluate("stage.show(0.1)")

    assert live.evaluate(f"[visible('/people/person_4'), visible('{BODY}'), bone('{BODY}')]") == [False, True, 1]
    assert live.evaluate("stage.isStale") is False


def test_any_frame_can_be_shown_after_any_other(clip) -> None:
    shown = clip.evaluate(f"[0.3, 0, 0.1, 0.2, 0.3, 0.1].map((time) => {{ stage.show(time); return bone('{BODY}'); }})")

    assert shown == [3, 0, 1, 1, 3, 1]


def test_bodies_are_interpolated_between_frames_and_held_across_gaps(clip) -> None:
    between, in_gap = clip.evaluate(f"[0.05, 0.15].map((time) => {{ stage.show(time); return bone('{BODY}'); }})")

    assert between == pytest.approx(0.5)
    assert in_gap == 1


def test_the_camera_is_interpolated_between_frames_with_its_picture(clip) -> None:
    clip.evaluate("stage.show(0.15)")

    assert clip.evaluate("newest('SetPositionMessage', '/camera/current').position[0]") == pytest.approx(1.5)
    picture = "String.fromCharCode(...newest('SceneNodeUpdateMessage', '/camera/current').updates._image_data)"
    assert clip.evaluate(picture) == "jpeg"


def test_absence_hides_the_body_in_its_frames_only(clip) -> None:
    seen = clip.evaluate(f"[0, 0.2, 0.3, 0.2].map((time) => {{ stage.show(time); return visible('{BODY}'); }})")

    assert seen == [True, False, True, False]


def test_a_person_hidden_by_the_visitor_stays_hidden_at_every_time(clip) -> None:
    clip.evaluate("stage.show(0); stage.setVisible('/people/person_4', false)")
    clip.evaluate("[0.3, 0.1, 0.2, 0].forEach((time) => stage.show(time))")

    assert clip.evaluate("visible('/people/person_4')") is False


def test_nothing_is_sent_twice_while_nothing_changes(clip) -> None:
    clip.evaluate("stage.show(0.1); sent.length = 0; stage.show(0.1)")

    assert clip.evaluate("sent.length") == 0


def test_where_the_processor_draws_all_who_ask_share_the_next_picture(blank) -> None:
    blank.evaluate("window.__VISER_EMBED_DATA__ = ''")
    blank.add_script_tag(content=(PLAYER / "fit.js").read_text(encoding="utf-8"))
    assert blank.evaluate("h3r.drawsInSoftware && document.documentElement.matches('.h3p-software')")

    order = blank.evaluate(
        """() => new Promise((done) => {
          const order = [], errors = [];
          window.addEventListener("error", (event) => { errors.push(event.message); event.preventDefault(); });
          const say = (name) => (now) => order.push([name, now]);
          requestAnimationFrame(say("first"));
          cancelAnimationFrame(requestAnimationFrame(say("canceled")));
          requestAnimationFrame(() => { throw new Error("of a client"); });
          requestAnimationFrame(say("second"));
          requestAnimationFrame(() => requestAnimationFrame((now) => { say("next")(now); done([order, errors]); }));
        })"""
    )

    (first, second, following), errors = order
    assert [first[0], second[0], following[0]] == ["first", "second", "next"]
    assert first[1] == second[1] < following[1]
    assert "of a client" in errors[0]


def test_scenes_of_former_versions_have_all_views(blank) -> None:
    view = {"position": [0, 2, 5], "look_at": [0, 1, 0], "up": [0, 1, 0], "fov": 0.85}
    blank.append(TapeWriter().chunk(CLIP, {**FACTS, "views": {"world": view, "top": view | {"fov": 0.8}}}))
    views = blank.evaluate("tape.scene.views")
    assert views["tall"] == views["world"] == view | {"aspect": 1.5}
    assert views["near"] == views["top"] == view | {"fov": 0.8, "aspect": 1.5}
