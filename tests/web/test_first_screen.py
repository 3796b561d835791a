"""The first screen: an example, still where less motion is asked for, its words, the options, and dropped clips."""

from __future__ import annotations

import pytest
from conftest import ROOT
from web_steps import upload

pytestmark = [pytest.mark.web, pytest.mark.timeout(1800)]

DROP = """name => {
  const carried = new DataTransfer();
  carried.items.add(new File(["x".repeat(50)], name, { type: "video/mp4" }));
  for (const kind of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
  }
}"""


def test_the_first_screen_is_an_example_that_pauses_with_reduced_motion(example) -> None:
    page, viewer = example

    assert "made earlier from every third frame" in page.locator(".h3-status").inner_text()
    assert page.locator("#h3-clip").inner_text().strip() == "Drop a video here, or choose one"
    assert not viewer.evaluate("h3r.player.isPlaying")
    assert viewer.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 27, 33)"
    names = viewer.locator(".h3p-views button").all_inner_texts()
    assert names == ["Overview", "Follow", "Through the camera", "From above"]
    layers = viewer.locator(".h3p-chip").all_inner_texts()
    assert {"Labels", "Trails", "Cameras", "Scene without people", "Points", "This frame's points"} <= set(layers)
    viewer.evaluate("localStorage.removeItem('h3r_hint'); h3r.player._hint(); h3r.player._hint()")
    assert viewer.locator(".h3p-hint").last.inner_text() == "Drag to turn, scroll to zoom"
    assert viewer.evaluate("document.querySelectorAll('.h3p-hint').length") <= 2


def test_a_label_at_the_edge_is_moved_into_the_view(example) -> None:
    _, viewer = example
    place = "x => { const set = {}, style = { setProperty: (name, value) => { set[name] = value; } };"
    place += " h3r.player.labels._place({ size: [80, 20], style }, [x, 300], []);"
    place += " return [parseFloat(style.transform.slice(10)), set['--aside']]; }"
    width = viewer.evaluate("h3r.client.canvas.clientWidth")

    assert viewer.evaluate(place, 5) == [40, "-35.0px"]
    assert viewer.evaluate(place, width - 5) == [width - 40, "35.0px"]
    assert viewer.evaluate(place, -5) == [-5, "0.0px"]  # its head is out of sight


def test_until_the_scene_is_drawn_a_veil_in_the_color_of_the_page_covers_it(example) -> None:
    _, viewer = example
    veil = "part => { const { display, position, zIndex, backgroundColor } = getComputedStyle(document.body, part);"
    veil += " return [display !== 'none', position, zIndex > 10, backgroundColor]; }"
    assert not viewer.evaluate(veil, "::before")[0]
    viewer.evaluate("document.documentElement.classList.remove('h3p-ready')")

    assert viewer.evaluate(veil, "::before") == [True, "fixed", True, "rgb(23, 27, 33)"]
    assert viewer.evaluate(veil, "::after")[:3] == [True, "fixed", True]
    viewer.evaluate("document.documentElement.classList.add('h3p-ready')")


def test_a_wrong_option_is_named_at_once_and_the_camera_panel_can_be_closed(example) -> None:
    page, _ = example
    upload(page, ROOT / "examples" / "pose2sim_two_people_portrait.mp4")
    page.get_by_role("button", name="Options").evaluate("button => button.click()")
    start = page.get_by_label("Start, seconds")
    words = page.locator("#h3-options").inner_text()
    for name in (
        "Length, seconds (0: to the end)",
        "At most … frames (up to 600)",
        "Restart memory every … frames (0: automatic)",
        "Steadier on long clips (TTT3R)",
    ):
        assert name in words
    assert "Model" not in words  # there is one
    for value, sentence in (("-1", "Start must be 0 or more"), ("99", "after the end of the clip")):
        start.fill(value)
        page.locator(".h3-problem", has_text=sentence).wait_for()
    start.fill("0")
    page.locator(".h3-facts", has_text="frames, takes about").wait_for()
    page.get_by_role("button", name="Options").evaluate("button => button.click()")

    page.locator("#h3-clip .top-panel button").first.click()
    page.get_by_role("button", name="or record one with the camera").click()
    page.locator("#h3-webcam").wait_for()
    page.get_by_role("button", name="Close the camera").click()
    page.locator("#h3-webcam").wait_for(state="hidden")


def test_a_clip_dropped_on_the_page_or_the_viewer_replaces_the_last_one(example) -> None:
    page, viewer = example

    page.evaluate(DROP, "first.mp4")
    page.locator("#h3-clip .file-preview", has_text="first").wait_for()
    viewer.evaluate(DROP, "second.mp4")
    page.locator("#h3-clip .file-preview", has_text="second").wait_for()
