"""The player's own logic in a browser without any viewer: the tape, seeking in it, and what the visitor has hidden."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.web, pytest.mark.timeout(600)]

PLAYER = Path(__file__).resolve().parents[2] / "human3r" / "export" / "viewer" / "player"
RECORDING = """
(() => {
  const body = window.body = "/people/person_4/body";
  const script = (source) => ({ type: "RunJavascriptMessage", source });
  const bone = (value) => [
    { type: "SetBoneOrientationMessage", name: body, owner: "", bone_index: 0, wxyz: [1, 0, 0, 0] },
    { type: "SetBonePositionMessage", name: body, owner: "", bone_index: 0, position: [value, 0, 0] },
  ];
  const seen = (visible) =>
    ({ type: "SetSceneNodeVisibilityMessage", name: body, owner: "", visible });
  const facts = { times_s: [0, 0.1, 0.2, 0.3], fps: 10, people: [{ id: 4, color: [1, 2, 3] }] };
  window.recording = [
    { type: "SkinnedMeshMessage", name: body, owner: "" },
    { type: "SetSceneNodeVisibilityMessage", name: "/people", owner: "", visible: true },
    script("/*h3r " + JSON.stringify({ scene: facts }) + "*/"),
    script('/*h3r {"frame":0}*/'), seen(true), ...bone(0),
    script('/*h3r {"frame":1}*/'), ...bone(1),
    script('/*h3r {"frame":2}*/'), seen(false),
    script('/*h3r {"frame":3}*/'), seen(true), ...bone(3),
  ];
  window.sent = [];
  window.viewer = { messageQueue: [], nodePoseData: {}, requestRender() {},
    skinnedMeshState: { ["\\u0000" + body]: { dirty: false, poses: [{ wxyz: [1, 0, 0, 0], position: [9, 9, 9] }] } } };
  window.tape = new h3r.Tape();
  window.passed = recording.filter((message) => tape.take(message));
  h3r.send = (message) => sent.push(message);
  window.stage = new h3r.Stage(tape, viewer);
  window.bone = () => viewer.skinnedMeshState["\\u0000" + body].poses[0].position[0];
  window.eye = (name) => sent.filter((message) => message.name === name).map((message) => message.visible).pop();
})();
"""


@pytest.fixture
def blank(chromium) -> Iterator[object]:
    context = chromium.new_context()
    page = context.new_page()
    for name in ("capture.js", "stage.js"):
        page.add_script_tag(content=(PLAYER / name).read_text(encoding="utf-8"))
    page.evaluate(RECORDING)
    yield page
    context.close()


LIVE = """
(() => {
  const mark = (content) => ({ type: "RunJavascriptMessage", source: "/*h3r " + JSON.stringify(content) + "*/" });
  const bones = (value) => ({ bones: new Array(55).fill([1, 0, 0, 0, value, 0, 0]).flat(), label: [value, 2, 0] });
  const moment = (frame, bodies, people, points) => mark({ frame, time_s: 0.1 * frame, half_height: 0.5, points,
    people: people.map((id) => ({ id, color: [1, 2, 3] })), bodies,
    camera: { wxyz: [1, 0, 0, 0], position: [frame, 0, 0] } });
  window.live = new h3r.LiveTape();
  window.grown = 0;
  live.onFrame = () => { grown += 1; };
  window.taken = [mark({ scene: { aspect: 1.5, views: null } }),
    moment(0, { "/people/person_4": bones(0) }, [4], "/points/00000"),
    { type: "LineSegmentsMessage", name: "/people/person_4/trail", owner: "" },
    moment(1, { "/people/person_4": bones(1), "/people/person_5": bones(7) }, [4, 5], null),
    moment(2, { "/people/person_5": bones(8) }, [4, 5], "/points/00001"),
  ].filter((message) => live.take(message)).map((message) => message.type);
  window.again = moment;
})();
"""


PLAYBACK = """
(() => {
  document.body.innerHTML = '<div class="mantine-Paper-root"><input value="0.2">'
    + '<div role="slider" aria-valuemax="0.3" aria-valuenow="0"></div></div>';
  const slider = document.querySelector("[role=slider]");
  window.playback = { plays: true, time_s: 0 };
  document.querySelector("input").addEventListener("input", (event) => {
    playback.plays = false;
    slider.setAttribute("aria-valuenow", event.target.value);
  });
  setInterval(() => {
    if (!playback.plays) return;
    playback.time_s = (playback.time_s + 0.11) % 0.3;
    slider.setAttribute("aria-valuenow", playback.time_s);
  }, 5);
  h3r.runToTheEnd(tape, () => { playback.playsAtEnd = playback.plays; });
})();
"""


def test_a_clip_that_has_come_to_its_end_by_itself_is_stopped_all_the_same(blank) -> None:
    assert blank.evaluate("tape.isComplete")
    blank.evaluate(PLAYBACK)
    blank.wait_for_function("playback.playsAtEnd !== undefined")

    assert blank.evaluate("[playback.playsAtEnd, playback.plays]") == [False, False]


def test_a_live_tape_keeps_every_frame_and_who_was_in_it(blank) -> None:
    blank.add_script_tag(content=(PLAYER / "live.js").read_text(encoding="utf-8"))
    blank.evaluate(LIVE)

    assert blank.evaluate("taken") == ["LineSegmentsMessage"]
    assert blank.evaluate("[live.frame, grown, live.isComplete]") == [2, 3, False]
    assert blank.evaluate("live.scene.times_s") == pytest.approx([0, 0.1, 0.2])
    assert blank.evaluate("live.scene.point_bands") == ["/points/00000", "/points/00001"]
    present = (
        "(name) => { const track = live.presence.get(name);"
        " return [0, 1, 2].map((frame) => track.at(frame) >= 0 && track.values[track.at(frame)]); }"
    )
    assert blank.evaluate(present, "/people/person_4/body") == [True, True, False]
    assert blank.evaluate(present, "/people/person_5/label") == [False, True, True]
    assert blank.evaluate("live.takeRedrawn().concat(live.takeRedrawn())") == ["/people/person_4/trail"]


def test_a_live_tape_takes_nothing_twice_when_the_socket_comes_back(blank) -> None:
    blank.add_script_tag(content=(PLAYER / "live.js").read_text(encoding="utf-8"))
    blank.evaluate(LIVE)
    blank.evaluate("live.take(again(1, {}, [4, 5], null))")

    assert blank.evaluate("[live.frame, live.scene.times_s.length]") == [2, 3]


def test_what_does_not_move_is_left_to_viser_and_the_rest_is_taped(blank) -> None:
    assert blank.evaluate("passed.map((message) => message.type)") == [
        "SkinnedMeshMessage",
        "SetSceneNodeVisibilityMessage",
    ]
    assert blank.evaluate("[tape.isComplete, tape.frame]") == [True, 3]


def test_any_frame_can_be_shown_after_any_other(blank) -> None:
    shown = blank.evaluate("[0.3, 0, 0.1, 0.2, 0.3, 0.1].map((time) => { stage.show(time); return bone(); })")

    assert shown == [3, 0, 1, 1, 3, 1]


def test_between_two_frames_a_body_is_blended_and_across_a_gap_it_waits(blank) -> None:
    between, in_gap = blank.evaluate("[0.05, 0.15].map((time) => { stage.show(time); return bone(); })")

    assert between == pytest.approx(0.5)
    assert in_gap == 1


def test_absence_hides_the_body_in_its_frames_only(blank) -> None:
    seen = blank.evaluate(
        "[0, 0.2, 0.3, 0.2].map((time) => { stage.show(time); return eye('/people/person_4/body'); })"
    )

    assert seen == [True, False, True, False]


def test_a_person_whom_the_visitor_hid_stays_hidden_at_every_time(blank) -> None:
    blank.evaluate("stage.show(0); stage.setVisible('/people/person_4', false)")
    blank.evaluate("[0.3, 0.1, 0.2, 0].forEach((time) => stage.show(time))")

    assert blank.evaluate("eye('/people/person_4')") is False


def test_when_viser_starts_over_it_is_told_again_what_is_hidden_and_the_tape_stays_as_it_was(blank) -> None:
    blank.evaluate("for (let i = 0; i < 9; i++) stage.show(0); stage.setVisible('/people/person_4', false)")
    blank.evaluate("sent.length = 0; recording.slice(0, 6).forEach((message) => tape.take(message))")

    assert blank.evaluate("[stage.isStale, tape.frame]") == [True, 3]
    blank.evaluate("stage.show(0.3)")

    assert blank.evaluate("[eye('/people/person_4'), eye('/people/person_4/body'), bone()]") == [False, True, 3]


def test_poses_are_given_again_until_viser_has_taken_its_own_messages(blank) -> None:
    blank.evaluate("for (let i = 0; i < 9; i++) stage.show(0.1)")
    blank.evaluate(
        "recording.slice(0, 6).forEach((message) => tape.take(message)); viewer.messageQueue.push(recording[0])"
    )
    waiting = blank.evaluate("[1, 2, 3, 4].map(() => stage.show(0.1))")
    blank.evaluate(
        "viewer.messageQueue.length = 0; viewer.skinnedMeshState['\\u0000' + body].poses[0].position = [9, 9, 9]"
    )
    settling = blank.evaluate("[stage.show(0.1), stage.show(0.1), stage.show(0.1)]")

    assert waiting == [False] * 4
    assert settling[-1] is True
    assert blank.evaluate("bone()") == 1


def test_nothing_is_sent_twice_while_nothing_changes(blank) -> None:
    blank.evaluate("for (let i = 0; i < 9; i++) stage.show(0.1); sent.length = 0; stage.show(0.1)")

    assert blank.evaluate("sent.length") == 0
