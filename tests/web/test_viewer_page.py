"""The viewer of a result as a visitor uses it: views, people, the video beside it, keys, and the link to it."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.web, pytest.mark.timeout(1800)]

IS_SEEN = "(name) => __viserSceneTree.getState()[name].effectiveVisibility"


@pytest.fixture
def example(page):
    """The page with an example open, and the frame of its viewer, paused at the start."""
    page.locator("button.h3-tile").last.click()
    viewer = page.locator("[data-h3=recording] iframe").element_handle().content_frame()
    viewer.wait_for_function("window.h3r && h3r.player")
    viewer.evaluate("h3r.player.seek(0)")
    return page, viewer


def test_a_hidden_person_stays_hidden_while_the_timeline_moves(example) -> None:
    _, viewer = example
    person = viewer.evaluate("h3r.player.scene.people[0].id")
    viewer.evaluate("document.querySelector('.h3p-eye').click()")
    node = f"/people/person_{person}/body"

    viewer.wait_for_function(f"!({IS_SEEN})('{node}')")
    for part in (0.7, 0.2, 0.5):
        viewer.evaluate(f"h3r.player.seek({part} * h3r.player.end_s)")
    viewer.wait_for_function("__viserMutable.messageQueue.length === 0")

    assert viewer.evaluate(IS_SEEN, node) is False


def test_the_camera_view_stands_where_the_camera_stood_and_hides_its_pictures(example) -> None:
    _, viewer = example
    viewer.evaluate("h3r.player.seek(0.6 * h3r.player.end_s)")
    viewer.get_by_role("button", name="Camera", exact=True).first.evaluate("button => button.click()")
    viewer.wait_for_function(f"!({IS_SEEN})('/camera/current')")

    distance = """() => {
      const [x, y, z] = h3r.player.stage.camera().position, eye = __viserMutable.camera.position;
      return Math.hypot(eye.x + x, eye.y - y, eye.z + z);
    }"""
    viewer.wait_for_function(f"({distance})() < 0.02")


def test_the_video_follows_the_viewer_and_leads_it(example) -> None:
    page, viewer = example
    fps = float(page.locator("[data-h3=overlay]").get_attribute("data-fps"))
    page.wait_for_function("document.querySelector('[data-h3=overlay]').readyState > 1")

    viewer.evaluate("h3r.player.seek(h3r.player.stage.times_s[12])")
    page.wait_for_function(
        f"Math.abs(document.querySelector('[data-h3=overlay]').currentTime - {12.5 / fps}) < {0.5 / fps}"
    )
    page.evaluate(f"document.querySelector('[data-h3=overlay]').currentTime = {30.5 / fps}")

    viewer.wait_for_function("h3r.player.stage.frame === 30")


def test_keys_step_and_play(example) -> None:
    page, viewer = example
    page.locator("body").press("ArrowRight")
    viewer.wait_for_function("h3r.player.stage.frame === 1")
    page.locator("body").press("ArrowLeft")
    viewer.wait_for_function("h3r.player.stage.frame === 0")
    page.locator("body").press("Space")
    viewer.wait_for_function("h3r.player.isPlaying")


def test_the_link_opens_the_result_again_and_a_dead_one_says_so(example, app) -> None:
    page, _ = example
    page.wait_for_function("new URL(location.href).searchParams.get('result')")
    page.reload()
    page.locator("[data-h3=recording] iframe").wait_for()
    assert page.locator(".h3-downloads a").first.inner_text() == "scene.glb"

    page.goto(f"{app.url}?result=AAAAAAAAAAAAAAAAAAAAAA")
    sentence = page.locator(".h3-problem")
    sentence.wait_for()
    assert "expired" in sentence.inner_text()
