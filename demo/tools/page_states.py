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
_DESKTOP, _PHONE = (1360, 840), (390, 780)
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


def _options(visit: Visit) -> None:
    _upload(visit.page, EXAMPLES[1].clip)
    visit.page.get_by_role("button", name="Options").click()
    visit.page.get_by_label("Model").first.wait_for()
    visit.page.get_by_label("Model").first.scroll_into_view_if_needed()


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


def _live(visit: Visit) -> None:
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
    _live(visit)
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


def _recorded(visit: Visit) -> None:
    _webcam(visit)
    camera = visit.page.locator("#h3-webcam")
    camera.get_by_text("Record", exact=True).click()
    camera.get_by_text("Stop", exact=True).wait_for()
    visit.page.wait_for_timeout(3000)  # records three seconds
    camera.get_by_text("Stop", exact=True).click()
    visit.page.locator("p.h3-facts, .h3-problem").first.wait_for()


State = tuple[Callable[[Visit], object], tuple[int, int], bool]
STATES: dict[str, State] = {
    "empty": (_empty, _DESKTOP, False),
    "empty_dark": (_empty, _DESKTOP, True),
    "empty_phone": (_empty, _PHONE, False),
    "options": (_options, _DESKTOP, False),
    "options_phone_dark": (_options, _PHONE, True),
    "no_clip": (_no_clip, _DESKTOP, False),
    "webcam": (_webcam, _DESKTOP, False),
    "webcam_phone": (_webcam, _PHONE, False),
    "recorded": (_recorded, _DESKTOP, False),
    "result": (lambda visit: _example(visit, 2), _DESKTOP, False),
    "result_dark": (_example, _DESKTOP, True),
    "result_portrait": (lambda visit: _example(visit, 1, 0.3), _DESKTOP, False),
    "result_phone": (lambda visit: _example(visit, 2), _PHONE, False),
    "result_phone_dark": (lambda visit: _example(visit, 1), _PHONE, True),
    "downloads": (_downloads, _DESKTOP, False),
    "downloads_phone": (_downloads, _PHONE, True),
    "views": (_views, _DESKTOP, False),
    "live": (_live, _DESKTOP, False),
    "live_dark": (_live, _DESKTOP, True),
    "live_phone": (_live, _PHONE, False),
    "queued": (_queued, _DESKTOP, False),
    "left_queue": (_left_queue, _DESKTOP, False),
    "stopped": (_stopped, _DESKTOP, False),
    "bad_file": (_bad_file, _DESKTOP, False),
    "bad_file_phone": (_bad_file, _PHONE, True),
    "too_large": (_too_large, _DESKTOP, False),
    "expired": (_expired, _DESKTOP, False),
    "nobody": (_nobody, _DESKTOP, False),
}
