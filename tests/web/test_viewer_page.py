"""The viewer of a result as a visitor uses it: views, people, the video beside it, keys, and the link to it."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.web, pytest.mark.timeout(1800)]

IS_SEEN = "(name) => __viserSceneTree.getState()[name].effectiveVisibility"


DROP = """name => {
  const carried = new DataTransfer();
  carried.items.add(new File(["x".repeat(50)], name, { type: "video/mp4" }));
  for (const kind of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
  }
}"""


FAULTS = """(place) => [...document.querySelectorAll(place)].flatMap(area =>
    [...area.querySelectorAll("button, a[href], select, summary, input:not([type=file])")])
  .filter(control => control.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !control.disabled)
  .flatMap(control => {
    const target = control.closest("label") || control, { width, height } = target.getBoundingClientRect();
    const name = control.getAttribute("aria-label") || target.textContent.trim() || control.title;
    const looks = () => { const { outline, boxShadow } = getComputedStyle(control); return outline + boxShadow; };
    document.activeElement.blur();
    const before = looks();
    control.focus();
    const faults = [[!name, "has no name"], [looks() === before, "does not show its focus"],
      [width < 31.5 || height < 31.5, `is ${Math.round(width)} x ${Math.round(height)}`]];
    return faults.filter(([isSo]) => isSo).map(([, text]) => `${name || control.outerHTML} ${text}`);
  })"""
"""Controls without a name, without a visible focus, or too small for a finger."""


@pytest.fixture(scope="module")
def example(example_page):
    """The first screen, and the frame of its viewer, at the start."""
    viewer = example_page.locator("[data-h3=recording] iframe").element_handle().content_frame()
    viewer.wait_for_function("window.h3r && h3r.player && document.documentElement.matches('.h3p-ready')")
    viewer.evaluate("h3r.player.seek(0)")
    return example_page, viewer


def test_the_first_screen_is_an_example_that_pauses_with_reduced_motion(example) -> None:
    page, viewer = example

    assert "made earlier from every third frame" in page.locator(".h3-status").inner_text()
    assert page.locator("#h3-clip").inner_text().strip() == "Drop a video here, or choose one"
    assert not viewer.evaluate("h3r.player.isPlaying")
    assert viewer.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 27, 33)"
    names = viewer.locator(".h3p-views button").all_inner_texts()
    assert names == ["Overview", "Follow", "Through the camera", "From above"]


def test_a_hovered_or_selected_person_is_framed_in_viewer_and_video_and_measured(example) -> None:
    page, viewer = example
    viewer.evaluate("h3r.player.seek(3); h3r.player.people.choose(1)")

    page.locator(".h3-frames i").wait_for(state="attached")
    assert viewer.evaluate("!h3r.player.people.frame.hidden")
    assert viewer.locator(".h3p-facts:not([hidden]) dt").all_inner_texts()[:3] == ["Height", "Path", "Mean speed"]
    viewer.evaluate("h3r.player.people.choose(1)")
    page.locator(".h3-frames i").wait_for(state="detached")
    box = viewer.evaluate("h3r.player.people.inPicture(1)")
    page.locator("[data-h3=overlay]").evaluate(
        """(video, [x0, y0, x1, y1]) => {
          const { left, top, width, height } = video.getBoundingClientRect();
          const at = { clientX: left + (x0 + x1) / 2 * width, clientY: top + (y0 + y1) / 2 * height };
          video.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, buttons: 0, ...at }));
        }""",
        box,
    )
    viewer.wait_for_function("h3r.player.people.hovered === 1")
    viewer.evaluate("h3r.player.people.hover(null)")


def test_two_points_give_a_distance_in_meters_or_feet(example) -> None:
    _, viewer = example
    said = viewer.evaluate(
        """() => {
          const { measure } = h3r.player;
          measure.turn(true);
          measure.add([0, 0, 0]);
          measure.add([0, 0, 2]);
          return [measure.text, (measure.usesFeet = true, measure.text), (measure.usesFeet = false)];
        }"""
    )
    hit = viewer.evaluate("h3r.client.hit([h3r.client.canvas.clientWidth / 2, h3r.client.canvas.clientHeight / 2])")
    viewer.evaluate("h3r.player.measure.turn(false)")

    assert said[0].startswith("2.00 m")
    assert said[1].startswith("6.6 ft")
    assert len(hit) == 3


def test_a_followed_person_who_is_absent_is_reported_absent(example) -> None:
    _, viewer = example
    viewer.evaluate(
        """() => {
          const { stage, scene } = h3r.player, [{ id }] = scene.people, { frames } = stage.tape.bodies.get(id);
          h3r.player.follow(id);
          h3r.player.seek(stage.times_s[[...stage.times_s.keys()].find((frame) => !frames.includes(frame))]);
        }"""
    )

    assert viewer.locator(".h3p-notice").inner_text() == "Person 1 is not in view now."
    viewer.evaluate("h3r.player.viewButtons.world.click()")
    assert not viewer.locator(".h3p-notice").is_visible()


def test_a_link_contains_time_and_view_and_a_picture_can_be_saved(example) -> None:
    page, viewer = example
    viewer.evaluate("h3r.player.seek(2); h3r.client.stand([1, 2, 3], [0, 1, 0], [0, 1, 0], false)")
    stands = "Math.hypot(...h3r.client.view.position.map((value, axis) => value - [1, 2, 3][axis])) < 0.01"
    viewer.wait_for_function(stands)
    link = viewer.evaluate("h3r.Keep.link(h3r.player)")
    viewer.evaluate("h3r.player.viewButtons.top.click(); h3r.player.seek(0)")

    page.evaluate("link => { location.hash = link; }", link)
    viewer.evaluate("h3r.Keep.restore(h3r.player)")
    viewer.wait_for_function(stands)
    with page.expect_download() as download:
        viewer.locator(".h3p-chip", has_text="Save a picture").evaluate("chip => chip.click()")

    assert viewer.evaluate("h3r.player.time_s") == pytest.approx(2, abs=0.11)
    assert download.value.suggested_filename == "human3r.png"


def test_a_clip_dropped_on_the_page_or_the_viewer_replaces_the_last_one(example) -> None:
    page, viewer = example

    page.evaluate(DROP, "first.mp4")
    page.locator("#h3-clip .file-preview", has_text="first").wait_for()
    viewer.evaluate(DROP, "second.mp4")
    page.locator("#h3-clip .file-preview", has_text="second").wait_for()


def test_a_hidden_person_stays_hidden_while_the_timeline_moves(example) -> None:
    _, viewer = example
    person = viewer.evaluate("h3r.player.scene.people[0].id")
    viewer.evaluate("document.querySelector('.h3p-eye').click()")
    node = f"/people/person_{person}/body"

    viewer.wait_for_function(f"!({IS_SEEN})('{node}')")
    for part in (0.7, 0.2, 0.5):
        viewer.evaluate(f"h3r.player.seek({part} * h3r.player.end_s)")
    viewer.wait_for_function("h3r.client.isIdle")

    assert viewer.evaluate(IS_SEEN, node) is False


def test_the_camera_view_is_at_the_camera_and_hides_its_pictures(example) -> None:
    _, viewer = example
    viewer.evaluate("h3r.player.seek(0.6 * h3r.player.end_s)")
    viewer.get_by_role("button", name="Through the camera", exact=True).first.evaluate("button => button.click()")
    viewer.wait_for_function(f"!({IS_SEEN})('/camera/current')")

    distance = """() => {
      const stood = h3r.player.stage.camera().position, eye = h3r.client.view.position;
      return Math.hypot(...stood.map((value, axis) => value - eye[axis]));
    }"""
    viewer.wait_for_function(f"({distance})() < 0.02")


def test_video_and_viewer_follow_each_other(example) -> None:
    page, viewer = example
    fps = float(page.locator("[data-h3=overlay]").get_attribute("data-fps"))
    page.wait_for_function("document.querySelector('[data-h3=overlay]').readyState > 1")

    viewer.evaluate("h3r.player.seek(h3r.player.stage.times_s[12])")
    page.wait_for_function(
        f"Math.abs(document.querySelector('[data-h3=overlay]').currentTime - {12.5 / fps}) < {0.5 / fps}"
    )
    page.evaluate(f"document.querySelector('[data-h3=overlay]').currentTime = {30.5 / fps}")

    viewer.wait_for_function("h3r.player.stage.frame === 30")


def test_keyboard_shortcuts_step_and_play(example) -> None:
    page, viewer = example
    viewer.evaluate("h3r.player.seek(0)")
    page.locator("body").press("End")
    viewer.wait_for_function("h3r.player.stage.frame === h3r.player.stage.times_s.length - 1")
    page.locator("body").press("Home")
    viewer.wait_for_function("h3r.player.stage.frame === 0")
    assert page.evaluate("scrollY") == 0
    page.locator("body").press("ArrowRight")
    viewer.wait_for_function("h3r.player.stage.frame === 1")
    page.locator("body").press("ArrowLeft")
    viewer.wait_for_function("h3r.player.stage.frame === 0")
    page.locator("body").press("Space")
    viewer.wait_for_function("h3r.player.isPlaying")


def test_side_by_side_the_clip_stands_beside_what_the_camera_saw(example) -> None:
    page, viewer = example
    page.set_viewport_size({"width": 1200, "height": 700})
    compare = page.get_by_role("button", name="Side by side")
    compare.evaluate("button => button.click()")
    viewer.wait_for_function("h3r.player.views.mode === 'camera'")

    video, scene = (page.locator(name).bounding_box() for name in ("[data-h3=overlay]", ".h3-viewer"))
    assert video["x"] + video["width"] <= scene["x"]
    assert video["width"] > 400
    assert max(each["y"] + each["height"] for each in (video, scene)) <= 700
    assert compare.get_attribute("aria-pressed") == "true"
    compare.evaluate("button => button.click()")
    viewer.wait_for_function("h3r.player.views.mode === 'world'")
    assert page.get_by_role("button", name="Reconstruct").is_visible()
    page.set_viewport_size({"width": 900, "height": 640})


def test_on_a_phone_the_layers_are_a_sheet_below_the_view_and_everything_can_be_touched_named_and_focused(
    example,
) -> None:
    page, viewer = example
    page.set_viewport_size({"width": 390, "height": 780})
    gear = viewer.locator(".h3p-gear")
    viewer.wait_for_function("h3r.client.canvas.clientWidth < 390")
    assert gear.get_attribute("aria-expanded") == "false"
    gear.evaluate("button => button.click()")

    viewer.wait_for_function(
        "h3r.client.canvas.getBoundingClientRect().bottom"
        " <= document.querySelector('.h3p-layers').getBoundingClientRect().top + 1"
    )
    viewer.evaluate("Object.defineProperty(document, 'fullscreenEnabled', { value: false })")  # as on iPhones
    full = viewer.locator(".h3p-full")
    full.evaluate("button => button.click()")
    page.locator(".h3-fill").wait_for()
    assert page.locator(".h3-viewer").bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 780}
    full.evaluate("button => button.click()")
    page.locator(".h3-fill").wait_for(state="detached")
    page.locator(".h3-more summary").evaluate("summary => summary.click()")
    page.get_by_role("button", name="Options").evaluate("button => button.click()")
    page.get_by_label("Turn the clip").wait_for()
    page.locator("body").press("Tab")  # from now on the browser shows the focus
    assert page.evaluate(FAULTS, "#h3-top, #h3-stage") == []
    assert viewer.evaluate(FAULTS, ".h3p") == []
    gear.evaluate("button => button.click()")
    page.set_viewport_size({"width": 900, "height": 640})


def test_without_webgl_a_sentence_takes_the_place_of_the_scene(example, open_page) -> None:
    page, _ = example
    address = page.locator(".h3-viewer iframe").evaluate("frame => frame.src")

    blind = open_page(page.url).context.new_page()
    blind.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    blind.goto(address)

    assert blind.get_by_role("alert").inner_text().startswith("This browser cannot draw in 3D")


def test_the_link_reopens_the_result_and_an_expired_one_says_so(example, app) -> None:
    page, _ = example
    page.locator("button.h3-tile").last.click()
    page.wait_for_function("new URL(location.href).searchParams.get('example')")
    page.reload()
    page.locator("[data-h3=recording] iframe").wait_for()
    assert page.locator(".h3-downloads a").first.inner_text().startswith("scene.glb")

    page.goto(f"{app.url}?result=AAAAAAAAAAAAAAAAAAAAAA")
    sentence = page.locator(".h3-problem")
    sentence.wait_for()
    assert "expired" in sentence.inner_text()
