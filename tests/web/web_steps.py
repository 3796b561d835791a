"""What a visitor does on the page, as steps of the browser tests. Waits end when something happens, never earlier."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pictures import canvas_picture, settled

TIMEOUT_S = 600
"""No test measures with it."""


def eventually(page, is_so: Callable[[], bool], sentence: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline, sentence
        page.wait_for_timeout(200)


def open_first(page, url: str) -> None:
    """Open the demo and wait for its first button; where it never comes, say which requests failed."""
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(f"{request.url} ({request.failure})"))
    page.goto(url)
    try:
        page.get_by_role("button", name="Reconstruct").wait_for()
    except Exception as error:
        raise AssertionError(f"The page has no button; failed requests: {failed}") from error


def upload(page, clip: Path) -> None:
    """Choose a clip and wait for the line that describes it."""
    page.set_input_files("#h3-clip input[type=file]", str(clip))
    page.locator(".h3-facts, .h3-problem").first.wait_for()


def start_run(page, clip: Path) -> None:
    """Upload, press Reconstruct, and wait for the first frame's picture."""
    upload(page, clip)
    page.get_by_role("button", name="Reconstruct").click()
    page.locator(".h3-status", has_text="frame ").wait_for()
    page.locator(".h3-side img").wait_for()


def note_statuses(page) -> None:
    """Have the page keep every line over the viewer from now on, for ``frames_said``."""
    page.locator("#h3-status").wait_for(state="attached")
    page.evaluate(
        "() => { window.h3_said = []; new MutationObserver(() => { const line = document.querySelector('.h3-status');"
        " if (line) window.h3_said.push(line.innerText); }).observe(document.getElementById('h3-status'),"
        " {childList: true, subtree: true, characterData: true}); }"
    )


def frames_said(page) -> list[int]:
    """Return the frame numbers of the lines, in order."""
    lines = page.evaluate("window.h3_said")
    return [int(found[1]) for line in lines if (found := re.match(r"frame (\d+)/", line))]


def viewer_token(page) -> str:
    """Return the token of the viewer on the page."""
    return page.locator(".h3-viewer iframe").get_attribute("src").split("viewer/")[1].split("/")[0]


def paused_player(page):
    """Return the frame of the recording's player, paused."""
    page.locator("[data-h3=recording] iframe").wait_for()
    eventually(page, lambda: any("/play/" in frame.url for frame in page.frames), "the player's frame did not load")
    player = next(frame for frame in page.frames if "/play/" in frame.url)
    player.wait_for_function("window.h3r && window.h3r.player")
    tell(page, {"h3r": "seek", "time_s": 0})  # who seeks pauses
    player.wait_for_function("!window.h3r.player.isPlaying")
    return player


def tell(page, message: dict[str, object]) -> None:
    """Send the player a message, as the page's own script does."""
    page.evaluate(
        "m => document.querySelector('[data-h3=recording] iframe').contentWindow.postMessage(m, location.origin)",
        message,
    )


def time_s(player) -> float:
    """Return where the player is."""
    return player.evaluate("window.h3r.player.time_s")


def last_s(player) -> float:
    """Return the time of the last frame."""
    return player.evaluate("window.h3r.player.stage.last_s")


def seek(page, player, to_s: float) -> np.ndarray:
    """Move the timeline and return the picture once it has come to rest at the frame of that time."""
    tell(page, {"h3r": "seek", "time_s": to_s})
    is_there = "to_s => window.h3r.player.stage.frame === window.h3r.player.stage.frameAt(to_s)"
    return settled(player, lambda: canvas_picture(player), lambda: player.evaluate(is_there, to_s))
