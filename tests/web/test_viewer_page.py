"""The viewer of a result as a visitor uses it: views, people, the video beside it, keys, and the link to it."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.web, pytest.mark.timeout(1800)]

IS_SEEN = "(name) => __viserSceneTree.getState()[name].effectiveVisibility"


CLICK = """(canvas, [x, y]) => {
  const { left, top } = canvas.getBoundingClientRect(), at = { clientX: left + x, clientY: top + y, bubbles: true };
  for (const kind of ["pointermove", "pointerdown", "pointerup"]) canvas.dispatchEvent(new PointerEvent(kind, at));
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


def test_labels_stand_over_the_heads_and_keep_apart(example) -> None:
    _, viewer = example
    viewer.evaluate("h3r.player.seek(3)")
    viewer.wait_for_function("h3r.client.isIdle")
    labels = """() => {
      h3r.player.labels.tick();
      return [...document.querySelectorAll('.h3p-labels span:not([hidden])')].map((label) => {
        const { left, top, right, bottom } = label.getBoundingClientRect();
        return { text: label.textContent, left, top, right, bottom };
      });
    }"""
    heads = """() => h3r.player.scene.people.filter(({ id }) => h3r.player.stage.isPresent(id))
      .map(({ id }) => h3r.client.toPixels(h3r.player.stage.joints(id)[15]))"""
    seen, over = viewer.evaluate(labels), viewer.evaluate(heads)
    assert [label["text"] for label in seen] == [f"Person {number + 1}" for number in range(len(seen))]
    for label, (x, y) in zip(seen, over, strict=True):
        assert abs((label["left"] + label["right"]) / 2 - x) < 40
        assert -100 < label["bottom"] - y < 10
    viewer.evaluate("h3r.client.stand([0, 2, 60], [0, 1, 0], [0, 1, 0], false)")  # from there, all stand at one point
    viewer.wait_for_function("Math.abs(h3r.client.view.position[2] - 60) < 0.1")
    far = viewer.evaluate(labels)
    viewer.evaluate("h3r.player.viewButtons.world.click()")

    assert len(far) == len(seen) > 1
    for index, one in enumerate(far):
        for other in far[:index]:
            assert (
                one["right"] <= other["left"]
                or other["right"] <= one["left"]
                or one["bottom"] <= other["top"]
                or (other["bottom"] <= one["top"])
            )


def test_a_hovered_or_selected_person_is_framed_in_viewer_and_video_and_measured(example) -> None:
    page, viewer = example
    viewer.evaluate("h3r.player.seek(3)")
    viewer.wait_for_function(  # again while the view still flies: the body is elsewhere by the next picture
        f"""() => {{
          const box = h3r.player.people.onScreen(1);
          if (!h3r.client.isIdle || !box) return false;
          const [x0, y0, x1, y1] = box;
          ({CLICK})(h3r.client.canvas, [(x0 + x1) / 2, (y0 + y1) / 2]);
          return h3r.player.people.chosen === 1;
        }}"""
    )
    viewer.evaluate("h3r.player.people.hover(null)")

    page.locator(".h3-frames i").wait_for(state="attached")
    assert viewer.locator(".h3p-pick[aria-expanded=true]").get_attribute("aria-label") == "Person 2"
    picture = "canvas => canvas.getContext('2d').getImageData(0, 0, 64, 64).data.some((value) => value > 0)"
    assert viewer.locator(".h3p-pick[aria-expanded=true] canvas").evaluate(picture)
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
    canvas = viewer.locator("canvas[data-engine]")
    width, height = canvas.evaluate("({ clientWidth, clientHeight }) => [clientWidth, clientHeight]")
    viewer.evaluate("h3r.player.measure.turn(true)")
    asked = []
    for part in (0.4, 0.6):
        asked.append(viewer.locator(".h3p-notice").inner_text())
        canvas.evaluate(CLICK, [part * width, 0.7 * height])
    distance = viewer.locator(".h3p-measure output").inner_text()
    viewer.evaluate("h3r.player.measure.turn(false)")

    assert said[0].startswith("2.00 m")
    assert said[1].startswith("6.6 ft")
    assert asked == ["Click a point of the scene", "Click a second point"]
    assert float(distance.split(" m")[0]) > 0


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
    assert viewer.locator(".h3p-pick small:not([hidden])").first.text_content() == "not in view now"
    viewer.evaluate("h3r.player.viewButtons.world.click()")
    assert not viewer.locator(".h3p-notice").is_visible()


def test_a_link_contains_time_and_view(example) -> None:
    page, viewer = example
    viewer.evaluate("h3r.player.seek(2); h3r.client.stand([1, 2, 3], [0, 1, 0], [0, 1, 0], false)")
    stands = "Math.hypot(...h3r.client.view.position.map((value, axis) => value - [1, 2, 3][axis])) < 0.01"
    viewer.wait_for_function(stands)
    link = viewer.evaluate("h3r.Keep.link(h3r.player)")
    viewer.evaluate("h3r.player.viewButtons.top.click(); h3r.player.seek(0)")

    page.evaluate("link => { location.hash = link; }", link)
    viewer.evaluate("h3r.Keep.restore(h3r.player)")
    viewer.wait_for_function(stands)

    assert viewer.evaluate("h3r.player.time_s") == pytest.approx(2, abs=0.11)


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


def test_the_overview_still_shows_the_camera_when_the_layers_open_beside_it(example) -> None:
    page, viewer = example
    gear = viewer.locator(".h3p-gear")
    if gear.get_attribute("aria-expanded") == "true":
        gear.evaluate("button => button.click()")
    page.set_viewport_size({"width": 1280, "height": 800})
    viewer.evaluate("h3r.player.viewButtons.world.click()")
    camera = "h3r.client.toPixels(h3r.player.stage.camera().position)[0] / h3r.client.canvas.clientWidth"
    viewer.wait_for_function("() => h3r.client.canvas.clientWidth > 800")
    gear.evaluate("button => button.click()")
    viewer.wait_for_function("() => h3r.client.canvas.clientWidth < 700")

    viewer.wait_for_function(f"() => 0.03 < {camera} && {camera} < 0.97")
    page.set_viewport_size({"width": 900, "height": 640})


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


def test_the_video_of_a_clip_of_variable_rate_shows_the_viewers_moment(example) -> None:
    page, viewer = example
    fps = float(page.locator("[data-h3=overlay]").get_attribute("data-fps"))
    page.wait_for_function("document.querySelector('[data-h3=overlay]').readyState > 1")
    viewer.evaluate(f"h3r.player.stage.times_s.forEach((time, frame, all) => all[frame] += frame < 12 ? 0 : {8 / fps})")

    viewer.evaluate("h3r.player.seek(h3r.player.stage.times_s[12])")
    page.wait_for_function(
        f"Math.abs(document.querySelector('[data-h3=overlay]').currentTime - {20.5 / fps}) < {0.5 / fps}"
    )
    page.evaluate(f"document.querySelector('[data-h3=overlay]').currentTime = {38.5 / fps}")

    viewer.wait_for_function("h3r.player.stage.frame === 30")


def test_keyboard_shortcuts_step_and_play(example) -> None:
    page, viewer = example
    viewer.evaluate("h3r.player.seek(0)")
    scrolled = page.evaluate("scrollY")
    page.locator("body").press("End")
    viewer.wait_for_function("h3r.player.stage.frame === h3r.player.stage.times_s.length - 1")
    page.locator("body").press("Home")
    viewer.wait_for_function("h3r.player.stage.frame === 0")
    assert page.evaluate("scrollY") == scrolled
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

    assert viewer.evaluate("getComputedStyle(document.querySelector('.h3p-labels b')).display") == "none"  # "1", "2"
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


def test_without_webgl_a_sentence_takes_the_place_of_the_scene_and_the_video_has_controls(open_page, app) -> None:
    blind = open_page(app.url).context.new_page()
    blind.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    blind.goto(f"{app.url}?")

    alert = blind.frame_locator(".h3-viewer iframe").get_by_role("alert")
    assert alert.inner_text().startswith("This browser cannot draw in 3D")
    blind.wait_for_function("(document.querySelector('[data-h3=overlay]') || {}).controls")


def test_the_link_reopens_the_result_and_an_expired_one_says_so(example, app) -> None:
    page, _ = example
    page.set_viewport_size({"width": 1280, "height": 720})
    page.locator("button.h3-tile", has_text="In the lab").click()
    page.wait_for_function("new URL(location.href).searchParams.get('example')")
    page.reload()
    page.locator("[data-h3=recording] iframe").wait_for()
    page.wait_for_function("document.querySelector('[data-h3=overlay]').readyState > 0")
    ends = "name => document.querySelector(name).getBoundingClientRect().bottom + scrollY"
    for name in ("[data-h3=overlay]", ".h3-viewer"):
        assert page.evaluate(ends, name) <= 720  # a portrait clip needs no scrolling
    assert page.locator(".h3-downloads a").first.inner_text().startswith("scene.glb")

    page.goto(f"{app.url}?result=AAAAAAAAAAAAAAAAAAAAAA")
    sentence = page.locator(".h3-problem")
    sentence.wait_for()
    assert "expired" in sentence.inner_text()
