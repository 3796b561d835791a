"""The states of the page and the steps that lead to them; ``demo.tools.screenshots`` takes their pictures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import imageio.v3 as iio
import numpy as np
from PIL import Image

from demo.examples import EXAMPLES

if TYPE_CHECKING:
    from playwright.sync_api import Frame, Page

HELD_AT_FRAME = 24
"""Frame at which the states of an active run pause it."""
_DRAWINGS = 8
"""Frames that the viewer draws before a picture: textures and meshes arrive over several."""


@dataclass(frozen=True)
class Visit:
    """One visitor's page, and what the steps need besides."""

    page: Page
    url: str
    go: threading.Event
    """Cleared, it pauses every run at ``HELD_AT_FRAME``."""
    clips: Path
    new_page: Callable[[], Page]
    shoot: Callable[[str], None]
    """Take a picture; the argument is appended to the state's name."""


def _upload(page: Page, clip: Path) -> None:
    page.set_input_files("#h3-clip input[type=file]", str(clip))
    page.locator("p.h3-facts, .h3-problem").first.wait_for()


def _wait_until_drawn(frame: Frame) -> None:
    """Wait until the viewer has processed its messages and drawn the result."""
    frame.wait_for_function("h3r.player.isPosed")
    frame.evaluate(
        "count => new Promise(done => { const next = () => count-- ? (h3r.client.send(),"
        " requestAnimationFrame(next)) : done(); next(); })",
        _DRAWINGS,
    )


def _viewer(page: Page) -> Frame:
    page.locator(".h3-viewer iframe").wait_for()
    frame = page.locator(".h3-viewer iframe").element_handle().content_frame()
    assert frame is not None  # an iframe has one
    frame.wait_for_function("window.h3r && h3r.player")
    return frame


def _result(page: Page, part: float = 0.45) -> Frame:
    page.locator("[data-h3=recording] iframe").wait_for()
    viewer = _viewer(page)
    viewer.evaluate("part => h3r.player.seek(part * h3r.player.end_s)", part)
    _wait_until_drawn(viewer)
    frame = viewer.evaluate("h3r.player.stage.frame")
    page.locator("[data-h3=overlay]").wait_for()
    page.wait_for_function(
        "frame => { const video = document.querySelector('[data-h3=overlay]');"
        " return !video.seeking && Math.abs(video.currentTime * video.dataset.fps - frame - 0.5) < 0.5; }",
        arg=frame,
    )
    return viewer


def _run(page: Page, clip: Path) -> None:
    _upload(page, clip)
    page.get_by_role("button", name="Reconstruct").click()


def _refused(page: Page, clip: Path) -> None:
    _run(page, clip)
    page.wait_for_timeout(1500)  # the page was empty before the run, too
    page.locator(".h3-empty:not(.h3-working)").wait_for()


def _empty(visit: Visit) -> None:
    visit.page.locator(".h3-tile img").last.evaluate("image => image.decode()")


def _first(visit: Visit) -> None:
    visit.page.goto(visit.url)
    _viewer(visit.page).wait_for_function("document.documentElement.matches('.h3p-ready')")  # it plays


def _dropping(visit: Visit) -> None:
    _example(visit)
    visit.page.evaluate(
        """() => {
          const carried = new DataTransfer();
          carried.items.add(new File(["x"], "clip.mp4"));
          document.body.dispatchEvent(new DragEvent("dragover", { dataTransfer: carried, bubbles: true }));
        }"""
    )


def _options(visit: Visit) -> None:
    _upload(visit.page, EXAMPLES[1].clip)
    visit.page.get_by_role("button", name="Options").click()
    visit.page.get_by_label("Turn the clip").scroll_into_view_if_needed()


def _no_clip(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Reconstruct").click()
    visit.page.locator(".h3-problem").wait_for()


def _downloads(visit: Visit) -> None:
    _example(visit, 2)
    visit.page.get_by_text("More formats").click()
    visit.page.locator(".h3-more dd").last.scroll_into_view_if_needed()


def _example(visit: Visit, number: int = 0, part: float = 0.45) -> None:
    visit.page.locator("button.h3-tile").nth(number).click()
    _result(visit.page, part)


def _views(visit: Visit) -> None:
    visit.page.locator("button.h3-tile").nth(2).click()
    viewer = _result(visit.page)
    for name in ("Follow", "Through the camera", "From above", "Overview"):
        viewer.locator(".h3p-views").get_by_role("button", name=name).click()
        _wait_until_drawn(viewer)
        visit.shoot(f"_{name.lower().replace(' ', '_')}")
    viewer.get_by_role("button", name="This frame's points").click()
    _wait_until_drawn(viewer)


def _people(visit: Visit) -> None:
    _example(visit, 1, 0.3)
    viewer = _viewer(visit.page)
    if viewer.locator(".h3p-gear").get_attribute("aria-expanded") == "false":
        viewer.locator(".h3p-gear").click()
    viewer.locator(".h3p-pick").first.click()
    _wait_until_drawn(viewer)


def _measure(visit: Visit) -> None:
    _example(visit)
    viewer = _viewer(visit.page)
    viewer.evaluate("h3r.player.measure.turn(true)")
    visit.shoot("_asks")
    canvas = viewer.locator("canvas[data-engine]")
    width, height = canvas.evaluate("({ clientWidth, clientHeight }) => [clientWidth, clientHeight]")
    for part in (0.35, 0.6):
        canvas.click(position={"x": part * width, "y": 0.75 * height})
    _wait_until_drawn(viewer)


def _compare(visit: Visit) -> None:
    _example(visit, 1, 0.3)
    visit.page.locator(".h3-compare").evaluate("button => button.click()")  # phones show both anyway
    _wait_until_drawn(_viewer(visit.page))


def _camera(visit: Visit) -> None:
    visit.page.locator("[data-h3-live=start]").click()
    visit.page.locator("[data-h3-live=line]", has_text=" fps · ").wait_for()
    visit.page.wait_for_timeout(4000)  # people and scene come one after the other


def _no_webgl(visit: Visit) -> None:
    visit.page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    visit.page.goto(visit.url)
    visit.page.frame_locator(".h3-viewer iframe").get_by_role("alert").wait_for()


def _running(visit: Visit) -> None:
    visit.go.clear()
    _run(visit.page, EXAMPLES[0].clip)
    visit.page.locator(".h3-status", has_text=f"frame {HELD_AT_FRAME + 1}").wait_for()
    _wait_until_drawn(_viewer(visit.page))


def _queued(visit: Visit) -> Page:
    visit.go.clear()
    _run(visit.page, EXAMPLES[0].clip)
    visit.page.locator(".h3-status", has_text="frame ").wait_for()
    second = visit.new_page()
    _run(second, EXAMPLES[1].clip)
    second.get_by_text("before yours").first.wait_for()
    return second


def _left_queue(visit: Visit) -> None:
    second = _queued(visit)
    second.get_by_role("button", name="Stop").click()
    second.locator(".h3-problem").wait_for()


def _stopped(visit: Visit) -> None:
    _running(visit)
    visit.page.get_by_role("button", name="Stop").click()
    visit.go.set()
    _result(visit.page)


def _bad_file(visit: Visit) -> None:
    path = visit.clips / "notes.mp4"
    path.write_text("This is text.\n" * 50)
    _refused(visit.page, path)


def _too_large(visit: Visit) -> None:
    path = visit.clips / "large.png"
    Image.new("L", (4000, 3000)).save(path)
    _refused(visit.page, path)


def _expired(visit: Visit) -> None:
    visit.page.goto(f"{visit.url}?result=AAAAAAAAAAAAAAAAAAAAAA")
    visit.page.locator(".h3-problem").wait_for()


def _nobody(visit: Visit) -> None:
    path = visit.clips / "nobody.mp4"
    rows, columns = np.mgrid[0:144, 0:256]
    pictures = [np.stack([rows + 60, columns // 2 + 4 * index, 200 - rows], axis=-1) for index in range(12)]
    iio.imwrite(path, np.stack(pictures).astype(np.uint8), plugin="pyav", codec="libx264", fps=10)
    _run(visit.page, path)
    _result(visit.page)


def _webcam(visit: Visit) -> None:
    visit.page.locator("#h3-record").click()
    visit.page.locator("#h3-webcam button").first.click()
    visit.page.locator("#h3-webcam video").first.wait_for()
    visit.page.wait_for_timeout(1000)  # the first picture of a camera is black


def _recorded(visit: Visit) -> None:
    _webcam(visit)
    camera = visit.page.locator("#h3-webcam")
    camera.get_by_text("Record", exact=True).click()
    camera.get_by_text("Stop", exact=True).wait_for()
    visit.page.wait_for_timeout(3000)  # records three seconds
    camera.get_by_text("Stop", exact=True).click()
    visit.page.locator("p.h3-facts, .h3-problem").first.wait_for()


STATES: dict[str, Callable[[Visit], object]] = {
    "empty": _empty,
    "first": _first,
    "dropping": _dropping,
    "options": _options,
    "no_clip": _no_clip,
    "webcam": _webcam,
    "recorded": _recorded,
    "camera": _camera,
    "running": _running,
    "queued": _queued,
    "left_queue": _left_queue,
    "stopped": _stopped,
    "result": lambda visit: _example(visit, 2),
    "result_portrait": lambda visit: _example(visit, 1, 0.3),
    "result_landscape": _example,
    "views": _views,
    "people": _people,
    "measure": _measure,
    "compare": _compare,
    "downloads": _downloads,
    "nobody": _nobody,
    "bad_file": _bad_file,
    "too_large": _too_large,
    "expired": _expired,
    "no_webgl": _no_webgl,
}
LOOKS = {
    "_desktop": ((1360, 840), False),
    "_desktop_dark": ((1360, 840), True),
    "_phone": ((390, 780), False),
    "_phone_dark": ((390, 780), True),
}
"""Size of the window and whether the page is dark, by the ending of a picture's name."""
PICTURES = {state + ending: (act, *look) for state, act in STATES.items() for ending, look in LOOKS.items()}
"""Name of a picture: the steps to its state, size, darkness."""
