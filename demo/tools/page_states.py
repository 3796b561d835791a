"""The states of the page worth a picture, and how a visitor reaches them; ``demo.tools.screenshots`` takes them."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from demo.examples import EXAMPLES
from human3r.video.writer import VideoWriter

if TYPE_CHECKING:
    from playwright.sync_api import Frame, Page

HELD_AT_FRAME = 24
"""Runs that are looked at while they go on wait here."""
_DESKTOP, _PHONE = (1360, 840), (390, 780)
_DRAWINGS = 8
"""Pictures that the viewer draws before it is looked at: textures and meshes arrive over several."""


@dataclass(frozen=True)
class Look:
    """One visitor's page and what a state needs beside it."""

    page: Page
    url: str
    go: threading.Event
    """Cleared, it holds every run at ``HELD_AT_FRAME``."""
    clips: Path
    new_page: Callable[[], Page]
    shoot: Callable[[str], None]
    """Take a picture with a suffix to the state's name."""


def _upload(page: Page, clip: Path) -> None:
    page.set_input_files("#h3-clip input[type=file]", str(clip))
    page.locator("p.h3-facts, .h3-problem").first.wait_for()


def _drawn(frame: Frame) -> None:
    """Wait until the viewer has worked off what it was told and has drawn it."""
    frame.wait_for_function("h3r.player.isPosed && __viserMutable.messageQueue.length === 0")
    frame.evaluate(
        "count => new Promise(done => { const next = () => count-- ? (__viserMutable.requestRender(),"
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
    _drawn(viewer)
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
    page.wait_for_timeout(1500)  # the page was empty before, too
    page.locator(".h3-empty:not(.h3-working)").wait_for()


def _empty(look: Look) -> None:
    look.page.locator(".h3-tile img").last.evaluate("image => image.decode()")


def _options(look: Look) -> None:
    _upload(look.page, EXAMPLES[1].clip)
    look.page.get_by_role("button", name="Options").click()
    look.page.get_by_label("Model").first.wait_for()
    look.page.get_by_label("Model").first.scroll_into_view_if_needed()


def _no_clip(look: Look) -> None:
    look.page.get_by_role("button", name="Reconstruct").click()
    look.page.locator(".h3-problem").wait_for()


def _downloads(look: Look) -> None:
    _example(look, 2)
    look.page.get_by_text("More formats").click()
    look.page.locator(".h3-more dd").last.scroll_into_view_if_needed()


def _example(look: Look, number: int = 0, part: float = 0.45) -> None:
    look.page.locator("button.h3-tile").nth(number).click()
    _result(look.page, part)


def _views(look: Look) -> None:
    look.page.locator("button.h3-tile").nth(2).click()
    viewer = _result(look.page)
    for name in ("Follow", "Camera", "Top", "World"):
        viewer.locator(".h3p-views").get_by_role("button", name=name).click()
        _drawn(viewer)
        look.shoot(f"_{name.lower()}")
    viewer.get_by_role("button", name="This moment").click()
    _drawn(viewer)


def _live(look: Look) -> None:
    look.go.clear()
    _run(look.page, EXAMPLES[0].clip)
    look.page.locator(".h3-status", has_text=f"frame {HELD_AT_FRAME + 1}").wait_for()
    _drawn(_viewer(look.page))


def _queued(look: Look) -> Page:
    look.go.clear()
    _run(look.page, EXAMPLES[0].clip)
    look.page.locator(".h3-status", has_text="frame ").wait_for()
    second = look.new_page()
    _run(second, EXAMPLES[1].clip)
    second.get_by_text("before yours").first.wait_for()
    return second


def _left_line(look: Look) -> None:
    second = _queued(look)
    second.get_by_role("button", name="Stop").click()
    second.locator(".h3-problem").wait_for()


def _stopped(look: Look) -> None:
    _live(look)
    look.page.get_by_role("button", name="Stop").click()
    look.go.set()
    _result(look.page)


def _bad_file(look: Look) -> None:
    path = look.clips / "notes.mp4"
    path.write_text("This is text.\n" * 50)
    _refused(look.page, path)


def _too_large(look: Look) -> None:
    path = look.clips / "large.png"
    Image.new("L", (4000, 3000)).save(path)
    _refused(look.page, path)


def _too_long(look: Look) -> None:
    path = look.clips / "long.mp4"
    _write_pictures(path, 62, fps=0.03)
    _refused(look.page, path)


def _expired(look: Look) -> None:
    look.page.goto(f"{look.url}?result=AAAAAAAAAAAAAAAAAAAAAA")
    look.page.locator(".h3-problem").wait_for()


def _nobody(look: Look) -> None:
    path = look.clips / "nobody.mp4"
    _write_pictures(path, 12, fps=10)
    _run(look.page, path)
    _result(look.page)


def _gif(look: Look) -> None:
    path = look.clips / "walk.gif"
    pictures = list(_frames(EXAMPLES[2].clip))
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    _run(look.page, path)
    _result(look.page)


def _zip(look: Look) -> None:
    path = look.clips / "frames.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for index, picture in enumerate(_frames(EXAMPLES[1].clip)):
            picture.save(look.clips / "one.jpg")
            archive.write(look.clips / "one.jpg", f"{index:04d}.jpg")
    _run(look.page, path)
    _result(look.page)


def _webcam(look: Look) -> None:
    look.page.locator("#h3-record").click()
    look.page.locator("#h3-webcam button").first.click()
    look.page.locator("#h3-webcam video").first.wait_for()


def _recorded(look: Look) -> None:
    _webcam(look)
    camera = look.page.locator("#h3-webcam")
    camera.get_by_text("Record", exact=True).click()
    camera.get_by_text("Stop", exact=True).wait_for()
    look.page.wait_for_timeout(3000)  # what is recorded
    camera.get_by_text("Stop", exact=True).click()
    look.page.locator("p.h3-facts, .h3-problem").first.wait_for()


def _frames(clip: Path, count: int = 10) -> Iterator[Image.Image]:
    from human3r.video.reader import FrameReader
    from human3r.video.sampling import Sampling

    with FrameReader(clip, Sampling(fps=5, max_frames=count)) as reader:
        for frame in reader:
            picture = Image.fromarray(frame.image)
            picture.thumbnail((480, 480))
            yield picture


def _write_pictures(path: Path, count: int, fps: float) -> None:
    rows, columns = np.mgrid[0:144, 0:256]
    with VideoWriter(path, fps=fps) as writer:
        for index in range(count):
            writer.append(np.stack([rows + 60, columns // 2 + 4 * index, 200 - rows], axis=-1).astype(np.uint8))


State = tuple[Callable[[Look], object], tuple[int, int], bool]
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
    "result": (lambda look: _example(look, 2), _DESKTOP, False),
    "result_dark": (_example, _DESKTOP, True),
    "result_portrait": (lambda look: _example(look, 1, 0.3), _DESKTOP, False),
    "result_phone": (lambda look: _example(look, 2), _PHONE, False),
    "result_phone_dark": (lambda look: _example(look, 1), _PHONE, True),
    "downloads": (_downloads, _DESKTOP, False),
    "downloads_phone": (_downloads, _PHONE, True),
    "views": (_views, _DESKTOP, False),
    "live": (_live, _DESKTOP, False),
    "live_dark": (_live, _DESKTOP, True),
    "live_phone": (_live, _PHONE, False),
    "queued": (_queued, _DESKTOP, False),
    "left_line": (_left_line, _DESKTOP, False),
    "stopped": (_stopped, _DESKTOP, False),
    "bad_file": (_bad_file, _DESKTOP, False),
    "bad_file_phone": (_bad_file, _PHONE, True),
    "too_large": (_too_large, _DESKTOP, False),
    "too_long": (_too_long, _DESKTOP, False),
    "expired": (_expired, _DESKTOP, False),
    "nobody": (_nobody, _DESKTOP, False),
    "gif": (_gif, _DESKTOP, False),
    "zip": (_zip, _DESKTOP, False),
}
